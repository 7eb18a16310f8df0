"""Reads and checks `api_config.json`: what is collected, one entry per API."""

from gridtide.config.loading import load, parse
from gridtide.entries.entry import Available, Config, Entry, RateLimit, Schedule

__all__ = ["Available", "Config", "Entry", "RateLimit", "Schedule", "load", "parse"]
