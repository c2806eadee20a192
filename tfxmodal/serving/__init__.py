"""What a served model is: signatures, inputs in the graph, gallery, files of a version."""
