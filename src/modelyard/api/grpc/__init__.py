"""The Open Inference Protocol v2 over gRPC. Needs grpcio, which only the gateway imports."""
