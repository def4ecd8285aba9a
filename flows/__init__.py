"""Flows of the study, one module each: which stages, in which order, and what the UI shows."""
