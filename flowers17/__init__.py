"""flowers17: a small-data image-classification study as a library of plain functions."""

__version__ = "0.1.0"
