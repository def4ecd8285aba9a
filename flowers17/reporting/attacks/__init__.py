"""Part C of the report: attacks, defences, poisoning."""
