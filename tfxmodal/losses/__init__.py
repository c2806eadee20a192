"""One formula a file: tensors in, scalar out."""
