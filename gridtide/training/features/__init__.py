"""Features: columns derived from the series of a location, one file a group."""
