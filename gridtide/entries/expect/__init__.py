"""What the answers to an entry must contain."""
