"""Files of observations: drafting, encoding, metadata, checksums."""
