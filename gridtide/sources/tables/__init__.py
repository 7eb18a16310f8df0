"""From a table of cells to observations: which columns are what, when, where, and what is not stored."""
