"""Asking the HTTP APIs of others, at addresses that this server may connect to."""
