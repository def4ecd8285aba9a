"""Planted wrong labels of real features: are they the first suspects? Beside cleanlab, a peer only.

The labels of a share of the images become another class, drawn evenly. A classifier on the features
of a store is fitted on five folds by them. Printed of each share: suspects, how many of them were
planted and how many chance explains; precision among the first k, k the number planted, and area
under the ROC curve, of self-confidence, which ranks, and of the margin. In a Python that has
cleanlab, its two scores and its issues are printed beside.
"""

import importlib.util
from itertools import product
from pathlib import Path

import numpy as np
from measuring import SEED, options_of
from sklearn.metrics import roc_auc_score

from flowers17.artifacts import Reference, Store
from flowers17.config import ClassifierSettings
from flowers17.data.splits import Split
from flowers17.small_data.label_errors import label_errors
from flowers17.transfer.classifier_evaluation import evaluate, search_folds
from flowers17.transfer.rowspace import row_space


def main() -> None:
    """Plant 0, 2, 5 and 10 % of wrong labels, and rank."""
    stored = {"required": True, "type": Path, "help": "the store of a run"}
    options = options_of(__doc__, store=stored, n_seeds={"default": 3})
    store = Store(options.store)
    by_stage = {manifest["stage"]: Reference.from_json(manifest) for manifest in store.manifests()}
    rows = row_space([store.open(by_stage["features"]).mapped("features")])
    groups = store.open(by_stage["duplicates"]).array("groups")
    labels = store.open(by_stage["splits"]).array("labels")
    n, n_classes = len(labels), int(labels.max()) + 1
    for share, seed in product((0, 0.02, 0.05, 0.1), range(options.n_seeds)):
        random = np.random.default_rng(SEED + seed)
        planted = random.permutation(n) < round(share * n)
        given = (labels + planted * random.integers(1, n_classes, n)) % n_classes
        folds = search_folds(
            given, groups, Split("", "clean", None, np.arange(n), np.empty(0, int)), SEED
        )
        parts = [Split(str(k), "repeated", None, *fold) for k, fold in enumerate(folds)]
        proba = np.empty((n, n_classes))
        data = {"rows": rows, "labels": given, "splits": parts, "seed": SEED}
        results = evaluate("logistic_regression", ClassifierSettings(), **data)
        for part, result in zip(parts, results, strict=True):
            proba[part.validation] = result.proba
        errors = label_errors(proba, given, SEED)
        scores = {"self-confidence": errors.self_confidence, "margin": errors.margin}
        if importlib.util.find_spec("cleanlab"):
            from cleanlab.filter import find_label_issues
            from cleanlab.rank import get_label_quality_scores

            for name in ("self_confidence", "normalized_margin"):
                scores[f"cleanlab {name}"] = get_label_quality_scores(given, proba, method=name)
            print(f"cleanlab: {find_label_issues(given, proba).sum()} issues")
        k, suspects = int(planted.sum()), errors.is_suspect
        chance = "{:.0f} ({:.0f}-{:.0f})".format(*errors.n_by_chance)
        n_planted = f"{(suspects & planted).sum()} of {k} planted"
        print(f"{share:.0%}, seed {seed}: {suspects.sum()} suspects, {n_planted}, chance {chance}")
        for name, score in scores.items() if k else ():
            precision = planted[np.argsort(score, kind="stable")[:k]].mean()
            print(f"  {name}: precision {precision:.3f}, area {roc_auc_score(planted, -score):.4f}")


if __name__ == "__main__":
    main()
