"""How series of different entries agree: sums, two sources of one quantity, forecasts, revisions."""
