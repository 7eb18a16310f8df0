"""Parts of source modules: what several of them use, and reports that are read in a way of their own."""
