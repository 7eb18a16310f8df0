"""Measures the speed of the hot paths, beside other libraries and the limits of the hardware."""
