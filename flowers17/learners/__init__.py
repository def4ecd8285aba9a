"""CNNs from scratch: the learners, how they are trained, and what a training leaves behind."""

from flowers17.packages import offer

offer(__name__)
