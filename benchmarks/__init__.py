"""How fast the hot paths are, beside a peer and the limit, measured in one run."""
