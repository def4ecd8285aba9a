"""CNNs from scratch: the learners, how they are trained, and what a training leaves behind."""

from flowers17.learners.networks import build

__all__ = ["build"]
