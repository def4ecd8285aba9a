"""Stages of the study; the one Prefect task, which runs them all, is in `engine`.

A stage loads its inputs, calls one function of the library and publishes the result. Stages that
are built one on another, and cheaply built again, share a module. The large libraries that a stage
computes with are imported inside its function: the wiring of a study, and a run that reuses
everything, then do without them.
"""
