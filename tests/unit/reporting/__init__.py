"""Tests of flowers17.reporting."""
