"""Methods in closed form."""
