"""Tables 7 and 8 of the report."""
