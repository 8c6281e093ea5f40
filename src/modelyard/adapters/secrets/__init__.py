"""Secrets that are kept: sealed under a key in the home."""
