"""The ports' implementations: databases, blobs, processes, telemetry."""
