"""Raw input to features: pictures and texts."""
