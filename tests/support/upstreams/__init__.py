"""Upstreams of the tests, in this process, and the servers that they need."""
