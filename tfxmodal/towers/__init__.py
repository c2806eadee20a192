"""Networks from raw input to features: VGG-19, EfficientNet-Lite0, TensorFlow Hub."""
