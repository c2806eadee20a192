"""What is exported: signatures, inputs in the graph, galleries, and the files of a version."""
