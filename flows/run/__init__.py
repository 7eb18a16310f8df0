"""What every flow run needs: a server, a session, progress, a report."""
