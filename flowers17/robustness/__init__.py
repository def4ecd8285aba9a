"""Attacks on image classifiers, one a file over one small base, and what they are measured by."""
