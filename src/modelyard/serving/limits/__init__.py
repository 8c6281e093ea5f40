"""Quotas at the data plane: what a request may use is reserved before it runs."""
