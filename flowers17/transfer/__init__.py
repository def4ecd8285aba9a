"""Pre-trained extractors and classical classifiers on their features (Part B.1)."""
