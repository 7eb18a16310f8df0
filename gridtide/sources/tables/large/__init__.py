"""Answers that are read block by block: how they are cut, and what must be judged over all of their blocks."""
