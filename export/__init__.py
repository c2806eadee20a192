"""Commands that export a trained run, serve it and query it, and what a deployment holds."""
