"""TensorFlow Serving's messages as the client sends them; `make protos` generates the module."""
