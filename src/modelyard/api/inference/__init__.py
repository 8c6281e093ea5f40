"""The data plane's protocols: Open Inference Protocol v2 and KServe V1, as raw ASGI."""
