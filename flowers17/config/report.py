"""Settings of the report."""

from pydantic import Field

from flowers17.config.base import Model


class ReportSettings(Model):
    """What thresholds are chosen for where there are two classes."""

    recall: float = Field(0.95, gt=0, le=1)
    precision: float = Field(0.95, gt=0, le=1)
