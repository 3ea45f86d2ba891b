"""Published signals beside disagreement: from labels, from activations, from weights alone."""
