"""How Gridtide is started, scheduled and watched."""
