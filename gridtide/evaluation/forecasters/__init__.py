"""Forecasters that are compared: each predicts windows of a set from what was known at their t0."""
