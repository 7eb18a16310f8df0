"""What the tests of several rooms use: lakes, grids, servers, upstreams."""
