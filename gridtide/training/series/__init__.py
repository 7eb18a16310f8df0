"""Observations as series by the hour: the latest vintages known at each hour, cleaned."""
