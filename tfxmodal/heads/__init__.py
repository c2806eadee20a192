"""Networks on features: projectors, discriminator, classifier."""
