"""Windows over a base of T steps: their starts, splits and scaling."""
