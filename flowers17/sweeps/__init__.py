"""Sweeps: a flow over many settings as one graph of stages, each built once."""
