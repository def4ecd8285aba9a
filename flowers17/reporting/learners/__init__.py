"""Tables 1 to 3 of the report, learning curves, our own recipe."""
