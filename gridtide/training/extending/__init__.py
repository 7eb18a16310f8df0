"""Adds new hours to a stored training set."""
