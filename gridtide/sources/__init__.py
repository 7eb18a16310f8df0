"""The upstreams, one file each: request → pages → observations, pure, no I/O."""
