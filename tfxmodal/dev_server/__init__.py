"""A server with TensorFlow Serving's gRPC interface, in Python: for trying and testing."""
