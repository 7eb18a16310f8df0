"""Scores of forecasters on a training set: what is compared, on which windows, by which measures."""
