"""Tables 9 of the report, Figure 8."""
