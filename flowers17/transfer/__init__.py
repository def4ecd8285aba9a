"""Pre-trained extractors and classical classifiers on their features (Part B.1)."""

from flowers17.packages import offer

offer(__name__)
