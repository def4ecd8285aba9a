"""Planted wrong labels of real features: are they the first suspects? Beside cleanlab, a peer only.

The labels of a share of the images become another class, drawn evenly. A classifier on the features
of a store is fitted on five folds by them. Printed of each share: suspects, how many of them were
planted and how many chance explains; precision among the first k, k the number planted, and area
under the ROC curve, of self-confidence, which ranks, and of the margin. PEER is a Python that has
cleanlab, whose two scores and issues are printed beside.
"""

import subprocess
import tempfile
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

OF_PEER = """
import sys, numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
data = np.load(sys.argv[1])
labels, proba = data["labels"], data["proba"]
names = ("self_confidence", "normalized_margin")
scores = [get_label_quality_scores(labels, proba, method=name) for name in names]
np.savez(sys.argv[2], scores=scores, issues=find_label_issues(labels, proba))
"""


def peer_scores(peer: str, labels: np.ndarray, proba: np.ndarray) -> tuple[np.ndarray, int]:
    """Cleanlab's two scores, (2, n), and the number of its issues."""
    with tempfile.TemporaryDirectory() as folder:
        given, scored = Path(folder, "given.npz"), Path(folder, "scored.npz")
        np.savez(given, labels=labels, proba=proba)
        subprocess.run([peer, "-c", OF_PEER, str(given), str(scored)], check=True)
        return np.load(scored)["scores"], int(np.load(scored)["issues"].sum())


def main() -> None:
    """Plant 0, 2, 5 and 10 % of wrong labels, and rank."""
    options = options_of(
        __doc__, store={"required": True, "type": Path}, peer={}, n_seeds={"default": 3}
    )
    store = Store(options.store)
    by_stage = {manifest["stage"]: Reference.from_json(manifest) for manifest in store.manifests()}
    rows = row_space([store.open(by_stage["features"]).mapped("features")])
    groups = store.open(by_stage["duplicates"]).array("groups")
    labels = store.open(by_stage["splits"]).array("labels")
    n, n_classes = len(labels), int(labels.max()) + 1
    for share, seed in (
        (share, seed) for share in (0, 0.02, 0.05, 0.1) for seed in range(options.n_seeds)
    ):
        random = np.random.default_rng(SEED + seed)
        planted = random.permutation(n) < round(share * n)
        given = (labels + planted * random.integers(1, n_classes, n)) % n_classes
        folds = search_folds(
            given, groups, Split("", "clean", None, np.arange(n), np.empty(0, int)), SEED
        )
        parts = [Split(str(k), "repeated", None, *fold) for k, fold in enumerate(folds)]
        proba = np.empty((n, n_classes))
        results = evaluate(
            "logistic_regression",
            ClassifierSettings(),
            rows=rows,
            labels=given,
            splits=parts,
            seed=SEED,
        )
        for part, result in zip(parts, results, strict=True):
            proba[part.validation] = result.proba
        errors = label_errors(proba, given, SEED)
        scores = {"self-confidence": errors.self_confidence, "margin": errors.margin}
        if options.peer:
            peers, n_issues = peer_scores(options.peer, given, proba)
            scores |= {"cleanlab self-confidence": peers[0], "cleanlab margin": peers[1]}
            print(f"cleanlab: {n_issues} issues")
        k, suspects = int(planted.sum()), errors.is_suspect
        chance = "{:.0f} ({:.0f}-{:.0f})".format(*errors.n_by_chance)
        n_planted = f"{(suspects & planted).sum()} of {k} planted"
        print(f"{share:.0%}, seed {seed}: {suspects.sum()} suspects, {n_planted}, chance {chance}")
        for name, score in scores.items() if k else ():
            precision = planted[np.argsort(score, kind="stable")[:k]].mean()
            print(f"  {name}: precision {precision:.3f}, area {roc_auc_score(planted, -score):.4f}")


if __name__ == "__main__":
    main()
