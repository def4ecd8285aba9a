"""The best of each part: what the highlights, Table 10 and the report's metrics tell."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from flowers17.artifacts import Reference
from flowers17.reporting.ensembles.ensemble import ensembles_of
from flowers17.reporting.features.tables import evaluation_title
from flowers17.reporting.finetuning.networks import (
    networks_of_table_9,
    own_networks,
    phase_title,
    tag_of,
)
from flowers17.reporting.finetuning.records import FineTuning
from flowers17.reporting.inputs import ReportInputs
from flowers17.reporting.metrics import Interval, MeanSpread
from flowers17.reporting.records import (
    HEADLINE,
    Evaluation,
    Score,
    TrainedNetwork,
    Training,
    over_repeats,
)
from flowers17.reporting.titles import method_title, trained_tag
from flowers17.reporting.wording import counted


@dataclass(frozen=True)
class Best:
    """A part's most accurate result: its score on one split, or its mean over clean splits.

    method: how an ensemble combines its members on the one split. comparable: whether the study's
    number of the same title measures the same on the same images.
    """

    title: str
    score: Score | MeanSpread
    source: Reference
    tag: str = ""
    method: str = ""
    comparable: bool = False

    @property
    def accuracy(self) -> float:
        """The score's headline, or the mean; balanced accuracy where classes differ in size."""
        return self.score.headline if isinstance(self.score, Score) else self.score.mean

    @property
    def interval(self) -> Interval | None:
        """The accuracy's 95 % interval; None for a mean over a single split."""
        score = self.score
        return score.headline_interval if isinstance(score, Score) else score.interval

    @property
    def split(self) -> str | None:
        """The split that it was measured on; None for a mean over several."""
        return self.score.split if isinstance(self.score, Score) else None

    @property
    def where(self) -> str:
        """What it was measured on: `clean split`, `mean over 3 clean splits`."""
        if isinstance(self.score, Score):
            return split_text(self.score)
        return f"mean over {counted(self.score.n_splits, 'clean split')}"


@dataclass(frozen=True)
class BestOfPart:
    """The best of a part on one split, and by its mean over repeated clean splits."""

    on_one_split: Best | None
    over_clean: Best | None

    @property
    def both(self) -> tuple[Best | None, Best | None]:
        """The one over clean splits, where near-duplicates flatter nothing, stands first."""
        return self.over_clean, self.on_one_split

    @property
    def overall(self) -> Best | None:
        """The first of both that there is."""
        return self.over_clean or self.on_one_split


def split_text(score: Score) -> str:
    """What a score was measured on: `report’s split`, `clean split`."""
    return "report’s split" if score.kind == "report" else f"{score.split} split"


def baseline(inputs: ReportInputs, best: Best, part: str = "validation") -> float | None:
    """What naming the largest class for every image reaches, on the same images if they are known.

    In the measure that stands first: see `data.balance`.
    """
    if not inputs.images or not inputs.splits:
        return None
    if not inputs.is_balanced:
        return 1 / len(inputs.class_names)
    splits = [split["name"] for split in inputs.divided if split["kind"] == "repeated"]
    if part == "test":
        return inputs.majority("report", part)
    splits = [best.score.split] if isinstance(best.score, Score) else splits
    return sum(map(inputs.majority, splits)) / len(splits)


def highest(bests: Iterable[Best]) -> Best | None:
    """The most accurate, the first of them if several are; None of none."""
    return max(bests, key=lambda best: best.accuracy, default=None)


def best_classifiers(inputs: ReportInputs) -> BestOfPart:
    """The best of Table 8, and the best of all classifiers on features over clean splits."""
    on_split = inputs.best
    score = on_split.score("report") if on_split else None
    means = ((run, run.headline) for run in inputs.evaluations)
    return BestOfPart(
        evaluated(inputs, on_split, score) if on_split and score else None,
        highest(evaluated(inputs, run, mean) for run, mean in means if mean),
    )


def evaluated(inputs: ReportInputs, evaluation: Evaluation, score: Score | MeanSpread) -> Best:
    """A classifier on features, by one of its scores."""
    title, tag = evaluation_title(inputs, evaluation), trained_tag(evaluation.random_weights)
    return Best(title, score, evaluation.artifact.reference, tag)


def best_training(inputs: ReportInputs, trainings: Iterable[Training]) -> Best | None:
    """The best of networks trained from scratch, on the report's split."""
    return highest(trained(inputs, t, t.score) for t in trainings if t.score.kind == "report")


def trained(inputs: ReportInputs, training: Training, score: Score | MeanSpread) -> Best:
    """A network trained from scratch, by one of its scores."""
    title, source = training.title, training.artifact.reference
    compares = inputs.network_comparable(training)
    return Best(title, score, source, training.tag, comparable=compares)


def best_networks(inputs: ReportInputs) -> BestOfPart:
    """The best networks trained from scratch."""
    means = ((group[0], _headline_mean(group)) for group in inputs.own_trainings.values())
    over_clean = highest(trained(inputs, first, mean) for first, mean in means if mean)
    return BestOfPart(best_training(inputs, inputs.trainings), over_clean)


def best_fine_tuned(inputs: ReportInputs) -> BestOfPart:
    """The best phase of Table 9, and the best fine-tuned network over clean splits."""
    on_split = [tuning for network in networks_of_table_9(inputs) for tuning in network.tunings]
    phases = [group for network in own_networks(inputs) for group in network.phases.values()]
    means = ((group[0], _headline_mean(group)) for group in phases if group)
    return BestOfPart(
        highest(tuned(inputs, tuning, tuning.score) for tuning in on_split),
        highest(tuned(inputs, first, mean) for first, mean in means if mean),
    )


def _headline_mean(networks: Sequence[TrainedNetwork]) -> MeanSpread | None:
    return over_repeats((network.score for network in networks), HEADLINE)


def tuned(inputs: ReportInputs, tuning: FineTuning, score: Score | MeanSpread) -> Best:
    """A phase of a fine-tuned network, by one of its scores."""
    title, source = phase_title(inputs, tuning), tuning.artifact.reference
    return Best(
        title, score, source, tag_of([tuning]), comparable=inputs.network_comparable(tuning)
    )


def best_ensembles(inputs: ReportInputs) -> BestOfPart:
    """The best ensemble by its chosen method: over clean splits if there are several."""
    over_clean, on_one_split = [], []
    for ensemble in ensembles_of(inputs):
        if not ensemble.first:
            continue
        title, source, tag = ensemble.capital_title, ensemble.first.reference, ensemble.tag
        if mean := over_repeats((r.chosen_score for r in ensemble.repeated), HEADLINE):
            over_clean.append(Best(title, mean, source, tag))
        else:
            method = method_title(ensemble.first.chosen[0])
            on_one_split.append(Best(title, ensemble.first.chosen_score, source, tag, method))
    return BestOfPart(None if over_clean else highest(on_one_split), highest(over_clean))


def bests_by_metric(inputs: ReportInputs) -> dict[str, Best]:
    """The best of each part by the name of its metric in the report's overview."""
    measure = "accuracy" if inputs.is_balanced else "balanced accuracy"
    bests: dict[str, Best | None] = {}
    for name, part in (
        ("", best_classifiers(inputs)),
        (", fine-tuned", best_fine_tuned(inputs)),
        (" from scratch", best_networks(inputs)),
    ):
        bests[f"best {measure}{name} (report)"] = part.on_one_split
        bests[f"best mean {measure}{name} (clean splits)"] = part.over_clean
    if ensemble := best_ensembles(inputs).overall:
        bests[f"best ensemble {measure} ({ensemble.split or 'clean splits'})"] = ensemble
    return {name: best for name, best in bests.items() if best}


def headline(inputs: ReportInputs) -> dict[str, Any] | None:
    """The most accurate result of all parts as plain JSON; None if no part has one.

    kind: of what it is the best. interval: both ends of 95 %, None for a mean over one split.
    """
    bests = {
        "best ensemble": best_ensembles(inputs).overall,
        "best fine-tuned network": best_fine_tuned(inputs).overall,
        "best classifier on features": best_classifiers(inputs).overall,
        "best network from scratch": best_networks(inputs).overall,
    }
    kind = max(bests, key=lambda kind: best.accuracy if (best := bests[kind]) else -1.0)
    best = bests[kind]
    names = ("title", "where", "accuracy", "interval", "tag")
    return {"kind": kind, **{name: getattr(best, name) for name in names}} if best else None
