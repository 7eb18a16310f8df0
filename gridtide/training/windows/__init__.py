"""Windows over a base of T steps: which start where, how they are split and scaled."""
