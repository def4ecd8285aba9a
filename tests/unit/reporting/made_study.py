"""A study's artifacts made by hand in a real store: known images, splits and predictions."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from flowers17.config import (
    CombinationSettings,
    DatasetSettings,
    FeatureMapSettings,
    FeatureSettings,
    LearnersSettings,
    RecipeSettings,
    SplitSettings,
    StudySettings,
)
from flowers17.data.balance import counts_by_class
from flowers17.digests import sha256_of
from flowers17.reporting.absences import AbsentStage
from flowers17.reporting.inputs import ReportInputs

from .made_trainings import publish_examples, publish_trainings
from .maker import Maker, absent_stage

SHAPES = {
    "vgg16": ([4, 4, 512], 14_714_688, 19),
    "inceptionv3": ([2, 2, 2048], 21_768_352, 311),
    "mobilenet": ([4, 4, 1024], 3_206_976, 86),
    "xception": ([4, 4, 2048], 20_806_952, 132),
}
REASON = "no weights for InceptionV3 in the weights folder <here>, and no download"


def _splits(labels: np.ndarray, n_repeats: int) -> list[dict[str, Any]]:
    """Return splits that hold out every fourth image of a class, each from another start."""
    names = [("report", "report"), ("clean", "clean")]
    names += [(f"repeat-{i + 1:02}", "repeated") for i in range(n_repeats)]
    splits = []
    for shift, (name, kind) in enumerate(names):
        index = np.concatenate([np.arange(np.sum(labels == c)) for c in np.unique(labels)])
        held = (index + shift) % 4 == 0
        splits.append(
            {
                "name": name,
                "kind": kind,
                "seed": shift,
                "train": np.flatnonzero(~held).tolist(),
                "validation": np.flatnonzero(held).tolist(),
                "test": [],
            }
        )
    return splits


def out_of_fold(truth: np.ndarray) -> np.ndarray:
    """Probabilities of training images: the second class at 0.8, every fourth of either at 0.4."""
    proba = np.where(truth == 1, 0.8, 0.2)
    proba[::4] = 0.4
    return np.column_stack([1 - proba, proba])


def _classified(
    maker: Maker,
    settings: StudySettings,
    combination: CombinationSettings,
    labels: np.ndarray,
    splits: Sequence[Mapping[str, Any]],
    n_wrong: int,
) -> None:
    """Publish a classifier that errs on the first `n_wrong` held-out images of each split.

    n_wrong: below 0, it errs on so many of the last ones. Two classes have out-of-fold arrays.
    """
    n_classes = int(labels.max()) + 1
    arrays, scores = {}, []
    for shift, split in enumerate(splits):
        truth = labels[split["validation"]]
        wrong = min(len(truth), abs(n_wrong) + (shift % 2))
        predicted, rows = truth.copy(), slice(wrong) if n_wrong >= 0 else slice(-wrong, None)
        predicted[rows] = (predicted[rows] + 1) % n_classes
        proba = np.full((len(truth), n_classes), 0.1 / (n_classes - 1))
        proba[np.arange(len(truth)), predicted] = 0.9
        arrays[f"{split['name']}-predicted"] = predicted.astype(np.int64)
        arrays[f"{split['name']}-proba"] = proba
        if n_classes == 2:
            arrays[f"{split['name']}-out-of-fold"] = out_of_fold(labels[split["train"]])
        scores.append(
            {
                "name": split["name"],
                "kind": split["kind"],
                "n_train": len(split["train"]),
                "n_validation": len(truth),
                "n_correct": len(truth) - wrong,
                "by_class": counts_by_class(labels, truth, predicted),
                "accuracy": (len(truth) - wrong) / len(truth),
                "chosen": {},
            }
        )
    names = [feature_map.name for feature_map in combination.maps]
    label = f"{combination.classifier} on {' + '.join(names)}"
    label += f", {combination.n_components} components" if combination.n_components else ""
    label += ", searched" if combination.search else ""
    config = {
        "maps": names,
        "classifier": combination.classifier,
        "n_components": combination.n_components,
        "search": combination.search,
        "random_weights": settings.features.weights == "random",
    }
    reads = {name: maker.artifacts[f"features {name}"] for name in names}
    maker.publish(
        "classifier",
        label,
        {**reads, "splits": maker.artifacts["splits"]},
        arrays,
        {"result": {**config, "features": " + ".join(names), "splits": scores}},
        config,
    )


def make_study(
    root: Path,
    settings: StudySettings,
    *,
    images: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    verified: bool | None,
    kind: str,
    n_wrong: Callable[[CombinationSettings], int],
    without: Sequence[str] = (),
    missing_trainings: Mapping[str, str] | None = None,
    created: str = "2026-01-02T03:04:05Z",
) -> ReportInputs:
    """Return the inputs of a report over artifacts made by hand.

    n_wrong: how many held-out images of a split each classifier gets wrong.
    without: extractors that have no weights. missing_trainings: reasons by label; None: of all
    trainings.
    """
    maker = Maker(root, created=created)
    names = [f"image_{i + 1:04}.jpg" for i in range(len(labels))]
    size = images.shape[1]
    items = {
        "class_names": list(class_names),
        "names": names,
        "sha256": [sha256_of(name) for name in names],
        "original_sizes": [[size + i % 3, size] for i in range(len(labels))],
        "source": {"kind": kind, "digest": "d" * 64},
        "verified": verified,
    }
    arrays = {"images": images, "labels": labels}
    pictures = maker.publish("images", f"images@{size}", {}, arrays, {"items": items})
    pairs = [
        {
            "first": first,
            "second": first + 1,
            "first_name": names[first],
            "second_name": names[first + 1],
            "distance": 3,
            "method": "perceptual hash",
        }
        for first in (0, 5)
    ]
    groups = np.arange(len(labels))
    groups[[1, 6]] = [0, 5]
    near = maker.publish(
        "duplicates", "duplicates", {"images": pictures}, {"groups": groups}, {"pairs": pairs}
    )
    splits = _splits(labels, settings.splits.n_repeats)
    inputs = {"images": pictures, "duplicates": near}
    splits_artifact = maker.publish("splits", "splits", inputs, {}, {"splits": {"splits": splits}})
    sheet = {"n_images": len(labels)}
    maker.publish(
        "datasheet", "datasheet", {**inputs, "splits": splits_artifact}, {}, {"datasheet": sheet}
    )
    random = settings.features.weights == "random"
    combinations = [
        CombinationSettings(maps=(feature_map,), classifier=name)
        for feature_map in settings.features.table
        for name in settings.features.classifiers.names
    ]
    combinations += settings.features.combinations
    maps = {
        feature_map.name: feature_map
        for combination in combinations
        for feature_map in combination.maps
    }
    absent: list[AbsentStage] = []
    if missing_trainings is not None:
        absent += publish_trainings(maker, settings, labels, splits, without=missing_trainings)
        publish_examples(maker, images[:1])
    for feature_map in maps.values():
        if feature_map.extractor in without:
            label = f"features {feature_map.name}"
            absent.append(
                absent_stage(
                    "b1", "features", label, REASON, lacks_weights=True, name=feature_map.name
                )
            )
            continue
        shape, n_parameters, n_layers = SHAPES[feature_map.extractor]
        maker.publish(
            "features",
            f"features {feature_map.name}",
            {"images": pictures},
            {"features": np.zeros((len(labels), int(np.prod(shape))), dtype=np.float16)},
            {
                "extractor": {
                    "name": feature_map.name,
                    "extractor": feature_map.extractor,
                    "input_size": feature_map.input_size or size,
                    "pixels": feature_map.pixels,
                    "pooling": feature_map.pooling,
                    "map_shape": shape,
                    "n_parameters": n_parameters,
                    "n_layers": n_layers,
                    "weights": {"kind": "random" if random else "file", "sha256": None},
                    "random_weights": random,
                }
            },
        )
    for combination in combinations:
        if any(feature_map.extractor in without for feature_map in combination.maps):
            map_names = [feature_map.name for feature_map in combination.maps]
            label = f"{combination.classifier} on {' + '.join(map_names)}"
            identity = {"maps": map_names, **combination.model_dump(exclude={"maps"})}
            absent.append(absent_stage("b1", "classifier", label, REASON, **identity))
        elif f"{combination}" not in maker.artifacts:
            _classified(maker, settings, combination, labels, splits, n_wrong(combination))
    return ReportInputs(maker.artifacts, absent, settings.model_dump(mode="json"))


TINY_TABLE = tuple(FeatureMapSettings(extractor=name) for name in ("inceptionv3", "mobilenet"))
TOGETHER = CombinationSettings(
    maps=(
        FeatureMapSettings(extractor="mobilenet"),
        FeatureMapSettings(extractor="xception", input_size=299, pooling="average"),
    )
)


def tiny_settings(
    *,
    random: bool,
    size: int = 128,
    epochs: int | None = None,
    own: tuple[str, ...] = ("residual",),
) -> StudySettings:
    """Return settings of a study of three classes, two extractors and one combination.

    epochs: of every training; None: as in the study, and 40 of our own recipe. own: which learners
    are trained by it.
    """
    defaults = LearnersSettings()
    recipe = defaults.best_recipe.model_copy(update={"epochs": epochs or 40})
    return StudySettings(
        learners=LearnersSettings(
            best=own,
            best_splits=2,
            recipe=RecipeSettings(epochs=epochs or 50),
            augmented_epochs=epochs or 150,
            best_recipe=recipe,
        ),
        dataset=DatasetSettings(
            source="rendered" if random else "../private/17flowers.tgz", image_size=size
        ),
        splits=SplitSettings(n_repeats=3),
        features=FeatureSettings(
            weights="random" if random else "imagenet", table=TINY_TABLE, combinations=(TOGETHER,)
        ),
    )


def tiny_study(
    root: Path,
    *,
    random: bool = False,
    epochs: int | None = None,
    own: tuple[str, ...] = ("residual",),
    **changes: Any,
) -> ReportInputs:
    """Return a study of 3 × 16 images, 12 held out; InceptionV3 has no weights.

    On the report's split naive Bayes errs on 4 images, k-NN on 3, the SVM on 1, logistic regression
    on none, the random forest on 2, and the combination on 1.
    """
    labels = np.repeat(np.arange(3), 16)
    pixels = np.random.default_rng(3).integers(0, 256, (48, 128, 128, 3), dtype=np.uint8)
    errors = {"naive_bayes": 4, "knn": 3, "svm": 1, "logistic_regression": 0, "random_forest": 2}
    arguments: dict[str, Any] = {
        "images": pixels,
        "labels": labels,
        "class_names": ["daffodil", "<b>lily</b> & co", "=iris"],
        "verified": None if random else True,
        "kind": "rendered" if random else "archive",
        "n_wrong": lambda combination: (
            1 if len(combination.maps) > 1 else errors[combination.classifier]
        ),
        "without": ("inceptionv3",),
    }
    settings = tiny_settings(random=random, epochs=epochs, own=own)
    return make_study(root, settings, **{**arguments, **changes})
