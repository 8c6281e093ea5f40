"""Runtimes: one library each, imported when a model needs it."""
