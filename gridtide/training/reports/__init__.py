"""What a training set tells its readers: a page of pictures, and its report as text."""
