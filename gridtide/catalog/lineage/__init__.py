"""The lineage of files and training sets: what they were made from, and what was made from them."""
