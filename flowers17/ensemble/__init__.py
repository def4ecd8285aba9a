"""Ensembles: out-of-fold probabilities, averaging, stacking, calibration."""
