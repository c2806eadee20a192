"""Checks of a version, as a server would run it."""
