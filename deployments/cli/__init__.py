"""The `gridtide` command: its commands, how they run flows, and what they print."""

from deployments.cli.commands import app, main

__all__ = ["app", "main"]
