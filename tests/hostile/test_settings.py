"""Settings that contradict each other: refused before anything runs, with what to change."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flowers17.config import (
    DatasetSettings,
    FeatureMapSettings,
    FineTunedSettings,
    RunOptions,
    SplitSettings,
    StudySettings,
)
from flowers17.data.splits import Split, study_splits
from flowers17.errors import InvalidSettings
from flowers17.request import StudyRequest, request_from
from flowers17.stages import Stage
from flows import attacks, ensemble, features, learners, report, study
from tasks import activations, finetuning, split, splits
from tasks import features as feature_maps
from tasks.finetuning import FineTuning
from tasks.results import Results
from tests.support.toy import number


def _n_stages(flow: Any, request: StudyRequest) -> int:
    return len(flow.stages(request.settings, request.options))


class TestSplits:
    @pytest.mark.parametrize("flow", [ensemble, attacks, report])
    @pytest.mark.parametrize(
        ("profile", "settings", "name"),
        [
            ("demo", ["ensemble.splits=[repeat-99]", "attacks.split=repeat-99"], "repeat-99"),
            ("demo", ["ensemble.splits=[nope]", "attacks.split=nope"], "nope"),
            ("demo", ["ensemble.splits=[repeat-1]", "attacks.split=repeat-1"], "repeat-1"),
            ("demo", ["ensemble.splits=[repeat-00]", "attacks.split=repeat-00"], "repeat-00"),
            ("demo", ["ensemble.splits=[official-1]", "attacks.split=official-1"], "official-1"),
            ("best", ["splits.n_repeats=0", "attacks.split=repeat-01"], "repeat-01"),
        ],
    )
    def test_that_there_are_not(
        self, flow: Any, profile: str, settings: list[str], name: str
    ) -> None:
        request = request_from([*settings, "dataset.source=rendered"], profile=profile)
        with pytest.raises(InvalidSettings, match=f"clean.*, got '{name}'; raise splits.n_repeats"):
            _n_stages(flow, request)

    def test_matter_to_what_reads_them_only(self) -> None:
        request = request_from(["splits.n_repeats=0", "dataset.source=rendered"], profile="best")
        assert _n_stages(features, request) == _n_stages(learners, request) == 1

    @pytest.mark.parametrize("with_official", [False, True])
    @pytest.mark.parametrize("n_repeats", [0, 3, 100])
    def test_that_there_are_have_their_stage(
        self, n_repeats: int, with_official: bool, tmp_path: Path
    ) -> None:
        (tmp_path / "17flowers.tgz").touch()
        official = [
            Split(f"official-{k}", "official", None, *[np.arange(2)] * 2) for k in (1, 2, 3)
        ]
        if with_official:
            (tmp_path / "datasplits.mat").touch()
        named_splits = study_splits(
            np.repeat([0, 1], 4),
            np.arange(8),
            validation_fraction=0.25,
            n_repeats=n_repeats,
            seed=1,
            official=official if with_official else None,
        )
        settings = StudySettings(splits=SplitSettings(n_repeats=n_repeats))
        source = {"source": str(tmp_path / "17flowers.tgz")}
        divided = splits.stage(settings, number("images", 1, resources=source), number("pairs", 1))
        for named in named_splits:
            assert split.stage(named.name, divided).label == f"{named.name} split"
        for name in {"official-1", "official-4", f"repeat-{n_repeats + 1:02d}"} - {
            named.name for named in named_splits
        }:
            with pytest.raises(InvalidSettings, match=f"got '{name}'.* need datasplits.mat"):
                split.stage(name, divided)


def _feature_map_stage(
    settings: StudySettings, options: RunOptions, feature_map: FeatureMapSettings
) -> Stage:
    return feature_maps.stage(settings, options, feature_map)


def _activations_stage(
    settings: StudySettings, options: RunOptions, feature_map: FeatureMapSettings
) -> Stage:
    return activations.stage(settings, options, feature_map)


def _fine_tuning_stage(
    settings: StudySettings, options: RunOptions, feature_map: FeatureMapSettings
) -> Stage:
    training = FineTuning(FineTunedSettings(maps=feature_map))
    return finetuning.stage(settings, options, training, number("split", 1))


@pytest.mark.parametrize("stage_of", [_feature_map_stage, _activations_stage, _fine_tuning_stage])
class TestExtractors:
    def _stage(self, stage_of: Any, size: int, weights: str = "random", **maps: Any) -> Stage:
        settings = StudySettings.model_validate(
            {"dataset": DatasetSettings(image_size=size), "features": {"weights": weights}}
        )
        stage: Stage = stage_of(settings, RunOptions(device="cpu"), FeatureMapSettings(**maps))
        return stage

    @pytest.mark.parametrize(
        ("extractor", "smallest"),
        [("vgg16", 32), ("inceptionv3", 75), ("mobilenet", 32), ("xception", 71)],
    )
    def test_that_images_are_too_small_for(
        self, stage_of: Any, extractor: str, smallest: int
    ) -> None:
        assert self._stage(stage_of, smallest, extractor=extractor)
        message = rf"{extractor}: expected .* {smallest} pixels .* got {smallest - 1}; .*image_size"
        with pytest.raises(InvalidSettings, match=message):
            self._stage(stage_of, smallest - 1, extractor=extractor)

    def test_may_have_small_images_made_larger(self, stage_of: Any) -> None:
        assert self._stage(stage_of, 16, extractor="xception", input_size=71)
        with pytest.raises(InvalidSettings, match=r"larger `input_size`"):
            self._stage(stage_of, 128, extractor="xception", input_size=70)

    def test_that_a_study_may_go_on_without_are_left_to_their_build(
        self, stage_of: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))
        assert self._stage(stage_of, 32, "imagenet", extractor="xception").optional


def test_a_study_is_refused_before_its_first_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[str] = []

    def part(request: object, name: str) -> Results:
        started.append(name)
        return Results()

    names = ("dataset", "learners", "features", "finetune", "ensemble", "attacks", "next_steps")
    for name in (*names, "report"):
        monkeypatch.setattr(study, name, partial(part, name=name))
    state = study.study.fn(request_from(["attacks.split=nope"], store=tmp_path / "store"))
    assert state.is_failed()
    assert "got 'nope'" in state.message
    assert started == []
    assert not (tmp_path / "store").exists()
    study.study.fn(request_from(store=tmp_path / "store"))
    assert len(started) == len(names) + 1
