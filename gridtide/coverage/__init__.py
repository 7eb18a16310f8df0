"""What the lake lacks of the due data: gaps, revisions, late runs, holes of the upstream, failed periods."""
