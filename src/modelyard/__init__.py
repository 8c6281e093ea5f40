"""Modelyard: train, register, deploy, serve, meter and bill AI models on your own machines."""

__version__ = "0.1.0"
