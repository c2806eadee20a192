"""Served models: what is exported and verified, how versions are released, and the client."""
