"""The one training loop: strategy, checkpoints, summaries."""
