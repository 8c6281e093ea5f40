"""The algorithms: which exist, what may be set on each, and how each is built."""
