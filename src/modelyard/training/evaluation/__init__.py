"""How well a model does on rows that it has never seen, and how sure that is."""
