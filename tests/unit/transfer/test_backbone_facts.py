"""Facts of networks: derived anew they are those that are stored, and the study's Table 7."""

import hashlib
import json
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from flowers17.artifacts import Reference, Store
from flowers17.backbones import facts
from flowers17.backbones.choice import CURRENT, chosen_networks, keep_speeds, seconds_of
from flowers17.backbones.facts import Cuts, backbone_of, known_facts
from flowers17.config import FeatureSettings, FineTuningSettings, RunOptions, StudySettings
from flowers17.errors import InvalidSettings
from flowers17.plan import Step, plan
from flowers17.reporting.reference import EXTRACTORS, TABLE_7
from flowers17.request import request_from
from flowers17.stages import ensure, in_order
from flowers17.transfer.backbone_facts import facts_of, functions
from flowers17.transfer.backbones import pretrained
from flowers17.transfer.weights import check_input_size
from flows import features as features_flow
from flows import finetune as finetune_flow
from tasks import features, weights


def test_every_network_of_keras_is_known() -> None:
    assert set(known_facts()) == {function.lower() for function in functions()}


@pytest.mark.parametrize(
    "name",
    [
        *("vgg16", "mobilenetv3small"),
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in ("mobilenet", "efficientnetb0", "resnet50v2")
        ),
    ],
)
def test_facts_derived_anew_are_those_that_are_stored(name: str) -> None:
    assert facts_of(known_facts()[name].function) == known_facts()[name]


@pytest.mark.parametrize("name", EXTRACTORS)
def test_the_studys_four_meet_its_table_7(name: str) -> None:
    facts, study = known_facts()[name], TABLE_7[name]
    model, _ = pretrained(facts.function, (128, 128, 3))
    assert model.output_shape[1:] == study.shape
    assert facts.n_trainable == study.n_parameters
    # Today's MobileNet has a layer fewer than the study's.
    assert facts.n_layers == study.n_layers - (name == "mobilenet")


def test_the_studys_weight_files_have_the_names_they_had() -> None:
    names = {name: known_facts()[name].file_names for name in EXTRACTORS}
    assert names["vgg16"][0] == "vgg16_notop.weights.h5"
    assert {"inceptionv3_notop.weights.h5", "inception_v3_notop.weights.h5"} < {
        *names["inceptionv3"]
    }
    assert {"mobilenet_notop.weights.h5", "mobilenet_224_notop.weights.h5"} < {*names["mobilenet"]}
    assert names["xception"][0] == "xception_notop.weights.h5"
    # A file named after a family would not say which network it is for.
    assert not any(
        "efficientnet_v2" in name for name in known_facts()["efficientnetv2s"].file_names
    )


@pytest.mark.parametrize("name", ["mobilenetv3small", "xception", "inceptionv3", "vgg19"])
def test_smallest_input_is_what_keras_itself_accepts(name: str) -> None:
    facts = known_facts()[name]
    pretrained(facts.function, (facts.min_size, facts.min_size, 3))
    smaller = facts.min_size - 1
    with pytest.raises(ValueError, match=r"[Ii]nput size must be at least"):
        pretrained(facts.function, (smaller, smaller, 3))
    with pytest.raises(InvalidSettings, match=f"at least {facts.min_size} pixels"):
        check_input_size(name, smaller)


@pytest.mark.parametrize(
    ("name", "unfrozen", "point"),
    [
        ("vgg16", "block5", "block5"),
        ("vgg16", "block5_conv2", "block5_conv2"),
        ("resnet50", "0.2", "conv5_block1"),
        ("resnet50", "0.06", "conv5_block3"),
        ("convnexttiny", "stage_3_block_0", "stage_3_block_0"),
        ("nasnetmobile", "0.99", "reduction_conv_1_stem_1"),
    ],
)
def test_cut_is_by_block_by_layer_or_by_share_of_depth(
    name: str, unfrozen: str, point: str
) -> None:
    assert known_facts()[name].cuts.name_of(name, unfrozen) == point


@pytest.mark.parametrize(
    ("name", "unfrozen", "message"),
    [
        (
            "nasnetmobile",
            "0.2",
            r"share of the depth near .*--set fine_tuning.unfrozen.nasnetmobile=1.00$",
        ),
        ("resnet50", "conv5_block2_add", "expected one of conv2_block1, .*a branch or a shortcut"),
        ("resnet50", "2", "expected one of conv2_block1"),
    ],
)
def test_where_a_network_cannot_be_cut_is_said(name: str, unfrozen: str, message: str) -> None:
    with pytest.raises(InvalidSettings, match=rf"unfrozen, for {name}: .*{message}"):
        known_facts()[name].cuts.name_of(name, unfrozen)
    with pytest.raises(InvalidSettings, match="behind its first weights; leave it out"):
        Cuts({}, {}).name_of(name, unfrozen)


def test_unfrozen_takes_every_extractor_and_refuses_other_names() -> None:
    unfrozen = request_from(
        ["fine_tuning.unfrozen.resnet50=conv5_block2", "fine_tuning.unfrozen.others=0.3"]
    ).settings.fine_tuning.unfrozen
    assert (unfrozen.of("resnet50"), unfrozen.of("vgg16")) == ("conv5_block2", "block5")
    assert unfrozen.of("densenet121") == "0.3"
    assert FineTuningSettings().unfrozen.of("hub:vit") == "0.2"
    with pytest.raises(InvalidSettings, match="got 'resnet5'"):
        request_from(["fine_tuning.unfrozen.resnet5=x"])


MINE = "fine_tuning.table=[{extractor: 'file:/any/mine.keras'}]"


@pytest.mark.parametrize(
    "line",
    [
        "fine_tuning.unfrozen.file:mine.keras=0.43",  # as the error prints it
        "fine_tuning.unfrozen.file:/any/mine.keras=0.43",
        "fine_tuning.unfrozen={'file:mine.keras': 0.43}",
    ],
)
def test_unfrozen_takes_names_with_dots_with_and_without_folders(line: str) -> None:
    unfrozen = request_from([line, MINE]).settings.fine_tuning.unfrozen
    assert unfrozen.of("file:/any/mine.keras") == unfrozen.of("file:mine.keras") == "0.43"
    assert unfrozen.of("file:other.keras") == "0.2"


@pytest.mark.parametrize("share", ["2", "0", "-1", "0.0", "1.5", "1e-5"])
def test_a_number_that_is_no_share_of_the_depth_is_refused_by_its_settings_name(share: str) -> None:
    with pytest.raises(InvalidSettings, match=r"unfrozen.others: expected a share of the depth"):
        request_from([f"fine_tuning.unfrozen.others={share}", MINE])


def test_a_cut_of_an_own_network_that_is_not_fine_tuned_is_refused() -> None:
    with pytest.raises(InvalidSettings, match=r"'file:mien.keras'; did you mean file:mine.keras"):
        request_from(["fine_tuning.unfrozen.file:mien.keras=block9", MINE])


RESNET = "{extractor: resnet50}"
WRONG_CUT = "fine_tuning.unfrozen.others=block9"


@pytest.mark.parametrize(
    "lines",
    [
        ["fine_tuning.unfrozen.resnet50=block9"],  # whoever uses it
        [WRONG_CUT, f"fine_tuning.table=[{RESNET}]"],
        [WRONG_CUT, f"fine_tuning.own=[{{maps: {RESNET}}}]"],
        [WRONG_CUT, f"fine_tuning.repeated=[{{maps: {RESNET}}}]"],
        [WRONG_CUT, f"attacks.models=[{{fine_tuned: {{maps: {RESNET}}}}}]"],
        [
            WRONG_CUT,
            "ensemble.ensembles=[{name: pair, members: [{learner: mk-2}, "
            f"{{fine_tuned: {{maps: {RESNET}}}}}]}}]",
        ],
    ],
)
def test_wrong_cut_is_refused_with_the_settings(lines: list[str]) -> None:
    expected = (
        r"setting fine_tuning.unfrozen, for resnet50: expected one of conv2_block1, .*'block9'"
    )
    with pytest.raises(InvalidSettings, match=expected):
        request_from(lines)


def test_norms_that_a_network_lacks_are_refused_with_the_settings() -> None:
    head = "fine_tuning.heads=[{extractor_norms: inference}]"
    request_from([head, f"fine_tuning.table=[{RESNET}]"])
    for name in ("vgg16", "convnexttiny"):
        with pytest.raises(InvalidSettings, match=rf"batch normalisation in {name} .* leave"):
            request_from([head, f"fine_tuning.table=[{{extractor: {name}}}]"])


def test_facts_of_keras_are_of_its_own_networks_alone() -> None:
    assert backbone_of("resnet50").facts == known_facts()["resnet50"]
    for name in ("hub:resnet50", "file:/tmp/resnet50.keras", "mine:resnet50"):
        assert backbone_of(name).facts is None


class TestChoice:
    @pytest.fixture(autouse=True)
    def _no_speeds(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr("os.cpu_count", lambda: 2)

    def test_auto_takes_a_small_a_middle_and_a_large_network(self) -> None:
        settings = request_from(["features.table=auto", "features.minutes=30"]).settings
        names = [maps.extractor for maps in settings.features.table]
        operations = [known_facts()[name].n_operations for name in names]
        assert len(set(names)) == 3
        assert operations == sorted(operations)
        assert sum(seconds_of(name, {}) for name in names) <= 30 * 60
        assert [maps.input_size for maps in settings.features.table] == [
            known_facts()[name].native_size for name in names
        ]
        assert FeatureSettings.model_validate(settings.features.model_dump()) == settings.features

    def test_more_time_gives_larger_networks_and_too_little_none(self) -> None:
        def operations(minutes: float) -> list[int]:
            return [known_facts()[name].n_operations for name in chosen_networks(minutes)]

        assert operations(10) < operations(60) < operations(600)
        with pytest.raises(InvalidSettings, match=r"features.minutes: expected at least .* small"):
            chosen_networks(0.1)

    def test_measured_speeds_come_before_operations(self) -> None:
        before = chosen_networks(30)
        keep_speeds(dict.fromkeys(CURRENT, 1e-3))
        with pytest.raises(InvalidSettings):
            chosen_networks(30)
        keep_speeds(dict.fromkeys(CURRENT, 1e6))
        assert chosen_networks(30)[2] == "convnextxlarge"
        assert before[2] != "convnextxlarge"
        # Of a network that was not measured, the others' rate tells.
        assert seconds_of("vgg16", {"resnet50": 10.0}) == pytest.approx(
            100 * known_facts()["vgg16"].n_operations / known_facts()["resnet50"].n_operations
        )


def test_stages_of_the_studys_four_have_the_configuration_they_had(tmp_path: Path) -> None:
    """Their keys differ from before by the code's digests alone."""
    settings, options = StudySettings(), RunOptions(weights_dir=tmp_path)
    (tmp_path / "vgg16_notop.weights.h5").write_bytes(b"weights")
    stage = features.stage(settings, options, settings.features.table[0])
    assert json.loads(stage.config) == {
        "name": "vgg16",
        "extractor": "vgg16",
        "input_size": 128,
        "pixels": "dataset",
        "pooling": "flatten",
        "mirrored": False,
        "weights": {
            "kind": "file",
            "sha256": hashlib.sha256(b"weights").hexdigest(),
            "seed": None,
        },
    }
    assert json.loads(weights.stage("mobilenet").config) == {"extractor": "mobilenet", "md5": None}


def test_another_network_of_keras_changes_no_key_of_the_studys_four(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store from before: filled, by no real builds, when the four were all that was known."""
    table = json.loads(facts.FACTS_FILE.read_text())
    later = {**table["networks"], "resnet51": table["networks"]["resnet50"]}
    options = RunOptions(weights_dir=tmp_path, device="cpu")
    for name in EXTRACTORS:
        (tmp_path / known_facts()[name].file_names[0]).write_text(name)

    def steps(networks: dict[str, Any], *, builds: bool) -> list[Step]:
        path = tmp_path / "backbones.json"
        path.write_text(json.dumps({**table, "networks": networks}))
        monkeypatch.setattr(facts, "FACTS_FILE", path)
        known_facts.cache_clear()
        parts = (flow.parts(StudySettings(), options) for flow in (features_flow, finetune_flow))
        stages, done = in_order(chain(*parts)), dict[str, Reference | None]()
        for stage in stages if builds else ():
            monkeypatch.setattr(stage.build.replace(":", "."), lambda job: {})
            given = {name: done[needed.title] for name, needed in stage.inputs.items()}
            done[stage.title] = ensure(stage, given, store).reference
        assert all(facts_name not in name for stage in stages for name in stage.code())
        return plan(stages, store)

    facts_name, store = facts.FACTS_FILE.name, Store(tmp_path / "store")
    try:
        before = steps({name: table["networks"][name] for name in EXTRACTORS}, builds=True)
        assert {step.action for step in before} == {"reuse"}
        assert {"features", "activations", "finetuning"} < {step.stage for step in before}
        assert steps(later, builds=False) == before
        assert "resnet51" in known_facts()
    finally:
        monkeypatch.undo()
        known_facts.cache_clear()


class TestProfileBest:
    def test_takes_networks_of_today_for_own_images(self, tmp_path: Path) -> None:
        own = request_from(profile="best", dataset="my/images").settings
        names = {maps.extractor for row in own.features.combinations for maps in row.maps}
        assert names == {"efficientnetv2b3", "convnexttiny", "efficientnetv2s"}
        members = own.ensemble.ensembles[0].members
        assert {maps.extractor for member in members for maps in member.maps} == names
        for source in (None, "oxford17", "data/17flowers.tgz"):
            study = request_from(profile="best", dataset=source).settings
            assert study.features == request_from(profile="best").settings.features

    def test_takes_the_studys_where_their_weights_are_at_hand(self, tmp_path: Path) -> None:
        def features() -> FeatureSettings:
            request = request_from(profile="best", dataset="my/images", weights_dir=tmp_path)
            return request.settings.features

        (tmp_path / "vgg16_notop.weights.h5").touch()
        assert features() == request_from(profile="best").settings.features
        (tmp_path / "convnexttiny_notop.weights.h5").touch()
        assert features().table[1].extractor == "convnexttiny"

    def test_leaves_what_a_person_sets(self) -> None:
        lines = ["features.table=[{extractor: vgg19}]"]
        settings = request_from(lines, profile="best", dataset="my/images").settings
        assert [maps.extractor for maps in settings.features.table] == ["vgg19"]
