"""Stages of the study, one module each: load, call one function, publish; run by `engine`.

The large libraries that a build computes with are imported inside it: the wiring of a study, and a
run that reuses everything, then do without them.
"""
