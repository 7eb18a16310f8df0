"""Readers of response formats: JSON, CSV and XML as tables of cells; times, pages, request bodies."""
