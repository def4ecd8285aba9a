"""Tests of flowers17.prediction."""
