"""Sources, verification, decoding, near-duplicates and splits."""
