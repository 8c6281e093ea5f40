"""The protocols: inference and management over HTTP. Edges translate; no rule lives here."""
