"""Methods: a config, networks, named loss terms, a scorer."""
