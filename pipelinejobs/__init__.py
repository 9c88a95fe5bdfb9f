"""For the people who run it: the command line, over the catalog and the gateway."""
