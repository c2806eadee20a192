"""Methods trained layer by layer, in stages."""
