"""Attacks on image classifiers, one a file over a small base, their evaluation, and defences."""

from flowers17.packages import offer

offer(__name__)
