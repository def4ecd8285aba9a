"""Tables 4 to 6 of the report, and what ensembles add."""
