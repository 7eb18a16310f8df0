"""Tables of cells as observations: series, times, repeats, and cells that are not stored."""
