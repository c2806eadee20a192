"""Methods whose parts are trained against each other."""
