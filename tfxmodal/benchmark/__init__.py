"""Many trainings under one protocol: a grid of them, their tables, figures and significance."""
