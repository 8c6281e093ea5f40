"""Who may call: tenants and their API keys."""
