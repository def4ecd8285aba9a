"""Stages of the study, one module each; the one Prefect task, which runs them all, is in `engine`.

A stage's module loads its inputs, calls one function of the library and publishes the result. The
large libraries that it computes with are imported inside that function: the wiring of a study, and
a run that reuses everything, then do without them.
"""
