"""flowers17: a small-data image-classification study as a library of plain functions."""

from flowers17.packages import install_finder, offer

__version__ = "0.3.0"

install_finder()
offer(__name__)
