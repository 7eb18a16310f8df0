"""Power-grid data, complete and on time: sources, lake and training sequences, without an orchestrator."""

__version__ = "0.2.0"
