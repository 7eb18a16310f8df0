"""The only access to databases: statements with bound parameters, read-only and with a limit of time."""
