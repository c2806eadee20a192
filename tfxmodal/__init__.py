"""Cross-modal retrieval in TensorFlow and Keras: images find texts, texts find images."""
