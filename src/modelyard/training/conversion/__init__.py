"""Conversion: a fitted pipeline as one ONNX graph, and what an ONNX file says of itself."""
