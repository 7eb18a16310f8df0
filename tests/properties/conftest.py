"""Settings of all property tests."""

from hypothesis import settings

# a shared machine may pause in any example, which says nothing about the property
settings.register_profile("gridtide", deadline=None)
settings.load_profile("gridtide")
