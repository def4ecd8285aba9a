"""Input form of each kind of classifier: row-space coordinates or columns; imports no library.

Row-space coordinates keep all inner products, which are all that most classifiers use. Classifiers
that treat columns one by one need the columns themselves.
"""

from types import MappingProxyType
from typing import Literal

from flowers17.errors import InvalidSettings

INPUT_FORMS: MappingProxyType[str, Literal["rows", "features"]] = MappingProxyType(
    {
        "naive_bayes": "features",
        "knn": "rows",
        "svm": "rows",
        "logistic_regression": "rows",
        "random_forest": "features",
    }
)


def input_form(classifier: str) -> Literal["rows", "features"]:
    """Input form of a classifier without principal components, which are computed from rows.

    Raises InvalidSettings if there is no such classifier.
    """
    try:
        return INPUT_FORMS[classifier]
    except KeyError:
        raise InvalidSettings(
            f"classifier: expected one of {', '.join(INPUT_FORMS)}, got {classifier!r}"
        ) from None
