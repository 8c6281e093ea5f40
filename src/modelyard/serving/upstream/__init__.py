"""Models that run at a provider's: asked in its OpenAI API, with fallback, retries and bounds."""
