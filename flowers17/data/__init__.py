"""Sources, verification, decoding, near-duplicates and splits."""

from flowers17.packages import offer

offer(__name__)
