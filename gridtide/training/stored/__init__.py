"""Reads training sets: as they were prepared, or with other windows, columns and splits over the same base."""
