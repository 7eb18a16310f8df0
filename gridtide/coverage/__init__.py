"""What the lake lacks of what was due: gaps, revisions, late runs, holes of the upstream, failed periods."""
