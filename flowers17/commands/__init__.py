"""Implementation of the commands of `flowers17.cli`, one module each; only they import flows."""
