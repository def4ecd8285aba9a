"""Stages of the study, one module each: load, call one function, publish; run by `engine`."""
