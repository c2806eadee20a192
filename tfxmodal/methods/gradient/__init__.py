"""Methods trained by gradients."""
