"""Ensembles: out-of-fold probabilities, averaging, stacking, calibration."""

from flowers17.packages import offer

offer(__name__)
