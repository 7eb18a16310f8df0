"""The flows, each reading like the diagram in the README."""
