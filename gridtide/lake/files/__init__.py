"""Files of observations: how they are drafted, encoded, described and checked."""
