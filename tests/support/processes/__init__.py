"""Processes that tests start: Prefect servers, whole machines, and `gridtide serve`."""
