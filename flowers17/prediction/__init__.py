"""Prediction of a person's own images by the models of a store."""
