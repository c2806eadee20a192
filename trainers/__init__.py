"""Commands: train a method, extract features, evaluate."""
