"""What each base model contributes to a stacked random forest: four answers.

Impurity is the study's (Tables 6 and Figure 6), measured on the images the forest was fitted on.
Permutation and leaving out are measured on images that neither forest nor base models saw.
"""

from typing import Any

import numpy as np

from flowers17.ensemble.meta_learners import fitted, n_correct, probabilities
from flowers17.ensemble.predictions import Predictions, column_names
from flowers17.seeds import generator

N_DRAWS = 20


def permutation(
    model: Any, predictions: Predictions, *, seed: int, n_draws: int = N_DRAWS
) -> dict[str, Any]:
    """What accuracy and recalls lose when a member's columns are shuffled, ready for JSON.

    All columns of a member are shuffled by one permutation, the same for every member in a draw.
    Images are the validation images, as averages of fold models predict them.
    permutation: by member, `mean` and `spread` over the draws, the standard deviation (n - 1).
    per_class: by class and member, the mean drop of the class's recall; None where no image is of
    the class.
    Source: Breiman 2001, "Random Forests", section 10.
    """
    rows, classes = predictions.validation, predictions.classes
    matrix, labels = predictions.average[rows], predictions.labels[rows]
    orders = [
        generator(seed, "permutation", draw).permutation(len(rows)) for draw in range(n_draws)
    ]
    is_right = probabilities(model, matrix).argmax(axis=1) == labels
    by_member: dict[str, dict[str, float]] = {}
    per_class: dict[str, dict[str, float | None]] = {name: {} for name in classes}
    for member in predictions.members:
        columns = predictions.columns_of(member)
        shuffled = np.tile(matrix, (n_draws, 1, 1))
        for draw, order in enumerate(orders):
            shuffled[draw, :, columns] = matrix[order, columns]
        predicted = probabilities(model, shuffled.reshape(-1, matrix.shape[1])).argmax(axis=1)
        loss = is_right.astype(np.float64) - (predicted.reshape(n_draws, -1) == labels)
        drops = loss.mean(axis=1)
        by_member[member] = {"mean": float(drops.mean()), "spread": float(drops.std(ddof=1))}
        for label, name in enumerate(classes):
            of_class = loss[:, labels == label]
            per_class[name][member] = float(of_class.mean()) if of_class.size else None
    return {"permutation": by_member, "per_class": per_class}


def left_out(
    name: str, predictions: Predictions, *, seed: int, class_weight: str | None = None
) -> dict[str, int]:
    """Return how many validation images a meta-learner gets right without each member.

    class_weight: see `meta_learners.fitted`.
    """
    p, n_correct_without = predictions, {}
    for member in p.members:
        matrix, average = (
            np.delete(each, np.r_[p.columns_of(member)], axis=1)
            for each in (p.out_of_fold[p.train], p.average[p.validation])
        )
        model = fitted(name, matrix, p.labels[p.train], seed, class_weight)
        proba = probabilities(model, average)
        n_correct_without[member] = n_correct(proba, p.labels[p.validation])
    return n_correct_without


def of_forest(forest: Any, predictions: Predictions, *, seed: int) -> dict[str, Any]:
    """Importances of the members in a random forest fitted on out-of-fold probabilities, for JSON.

    impurity: mean decrease in impurity of each column, all summing to one. The others: see
    `permutation` and `left_out`.
    Source: Breiman et al. 1984, "Classification and Regression Trees", section 5.3.4.
    """
    columns, weight = column_names(predictions.members, predictions.classes), forest.class_weight
    return {
        "impurity": dict(zip(columns, forest.feature_importances_.tolist(), strict=True)),
        **permutation(forest, predictions, seed=seed),
        "left_out": left_out("random_forest", predictions, seed=seed, class_weight=weight),
    }
