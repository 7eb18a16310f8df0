"""The processes on this machine: the local server, the worker, and serving without a worker."""
