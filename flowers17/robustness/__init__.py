"""Attacks on image classifiers, one a file over a small base, their evaluation, and defences."""
