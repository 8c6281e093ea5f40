"""Logs of every process, in one form."""
