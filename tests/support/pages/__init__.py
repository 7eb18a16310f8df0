"""Catalogues for tests of their page."""
