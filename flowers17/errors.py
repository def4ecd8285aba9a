"""Every error that flowers17 raises on purpose.

A message says what was expected, what came, where, and what to do next.
"""


class Flowers17Error(Exception):
    """Base of all errors raised on purpose; its message is fit to be shown as it is."""


class InvalidInput(Flowers17Error, ValueError):
    """An argument, image, archive, folder or file does not hold what it should."""


class InvalidSettings(InvalidInput):
    """A setting is unknown, of the wrong type or out of its range."""


class ChecksumMismatch(InvalidInput):
    """A file's digest is not the expected one."""


class DownloadFailed(Flowers17Error):
    """A download did not complete; `transient` tells whether a retry may help."""

    def __init__(self, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.transient = transient


class WeightsMissing(Flowers17Error):
    """No weights for an extractor: neither in the weights folder nor downloadable."""


class ArtifactMissing(Flowers17Error):
    """The store holds no such artifact."""


class ArtifactDamaged(Flowers17Error):
    """A stored file is not the one its manifest describes."""


class StoreUnusable(Flowers17Error):
    """The store cannot be written: read-only, full, or not a store."""


class StageFailed(Flowers17Error):
    """A stage's process ended without a result, for instance killed by a signal."""


class CheckpointDamaged(Flowers17Error):
    """A training's checkpoint is not as it was written."""


class CheckpointsInUse(Flowers17Error):
    """Another process is training with the same checkpoints."""


class TrainingDiverged(Flowers17Error):
    """A training's loss is no longer a finite number."""


class ServerLost(Flowers17Error):
    """The Prefect server no longer answers in the middle of a run, or refuses what it is told."""


class TrackingFailed(Flowers17Error):
    """A tracking server cannot be reached, or refuses what it is sent."""
