"""Flows that describe what the lake has, and collect nothing."""
