"""Scorer interface, top-k, metrics, curves, figures."""
