"""One API as frozen structs: what is asked, when, how politely, and where its files go."""
