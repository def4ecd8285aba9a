"""Prediction of new images by the models of a store."""
