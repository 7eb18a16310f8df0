"""One API as frozen structs: what is requested, when, how often, and where its files go."""
