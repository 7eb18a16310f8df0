"""The page of the catalogue: one HTML file with its data, and details beside it that it loads on demand."""
