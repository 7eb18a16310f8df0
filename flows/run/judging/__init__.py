"""Judges the hours of entries, each series by itself and together, and reports it."""
