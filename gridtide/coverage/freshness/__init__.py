"""Which series of an entry have no new values although others have."""
