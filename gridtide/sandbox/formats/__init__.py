"""The wire formats of the upstreams that the sandbox imitates, one file each."""
