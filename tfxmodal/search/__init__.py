"""Galleries and their search: index, landmarks."""
