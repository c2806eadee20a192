"""The search service: HTTP between users, a model server and a gallery that changes."""
