"""Which of the two forms of features each kind of classifier reads; imports no library.

Row-space coordinates keep all inner products, which is all that most classifiers look at; those
that look at single columns need the columns themselves.
"""

from types import MappingProxyType
from typing import Literal

from flowers17.errors import InvalidSettings

READS: MappingProxyType[str, Literal["rows", "features"]] = MappingProxyType(
    {
        "naive_bayes": "features",
        "knn": "rows",
        "svm": "rows",
        "logistic_regression": "rows",
        "random_forest": "features",
    }
)


def needs(classifier: str) -> Literal["rows", "features"]:
    """Return what a classifier reads, unless components are asked for: they come from rows.

    Raises InvalidSettings if there is no such classifier.
    """
    try:
        return READS[classifier]
    except KeyError:
        raise InvalidSettings(
            f"classifier: expected one of {', '.join(READS)}, got {classifier!r}"
        ) from None
