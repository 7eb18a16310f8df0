"""Support for the tests of several rooms: lakes, grids, servers, upstreams."""
