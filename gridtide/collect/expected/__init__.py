"""What the entry expects of an answer, and the rows that are not as expected."""
