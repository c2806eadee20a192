"""Metrics, the protocol, curves, figures, results of a split."""
