"""Thin Prefect tasks: retries, cache key, names and the log line around the core."""
