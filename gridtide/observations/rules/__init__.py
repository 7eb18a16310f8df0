"""Judges observations by the rules of `expect`."""
