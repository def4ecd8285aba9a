"""Prediction of new images by the models of a store."""

from flowers17.packages import offer

offer(__name__)
