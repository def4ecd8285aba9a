"""What the commands of `flowers17.cli` do, one module each; the only part that imports flows."""
