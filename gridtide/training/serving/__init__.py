"""Features for predictions, outside the lake."""
