"""Settings of the report."""

from pydantic import Field

from flowers17.config.base import Model


class ReportSettings(Model):
    """What thresholds are chosen for where there are two classes."""

    recall: float = Field(
        0.95, gt=0, le=1, description="share of a class's images that a threshold must recognise"
    )
    precision: float = Field(
        0.95, gt=0, le=1, description="share that must be right of what a threshold takes for it"
    )
