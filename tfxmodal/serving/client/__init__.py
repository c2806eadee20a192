"""Asking a served model."""
