"""Tells other systems what a run wrote, and from what."""
