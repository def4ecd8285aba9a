"""Requests for a study, and the refusal of wrong ones."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from flowers17.artifacts import Reference
from flowers17.cli import main
from flowers17.config import RunOptions, StudySettings
from flowers17.errors import InvalidInput, InvalidSettings
from flowers17.profiles import PROFILES
from flowers17.reporting import best
from flowers17.reporting.metrics import MeanSpread
from flowers17.request import FORMS, StudyRequest, request_from
from flowers17.rules import rule_problem
from flowers17.validation import validated
from flows.registration import form_of


class TestOverrides:
    @pytest.mark.parametrize("profile", PROFILES)
    def test_none_leave_the_profile_as_it_is(self, profile: str) -> None:
        assert request_from(profile=profile).settings == PROFILES[profile]  # type: ignore[index]

    def test_change_one_value_and_no_other(self) -> None:
        before = PROFILES["demo"].model_dump()
        after = request_from(["features.classifiers.svm.C=2.5"]).settings.model_dump()
        assert after["features"]["classifiers"]["svm"].pop("C") == 2.5
        assert before["features"]["classifiers"]["svm"].pop("C") != 2.5
        assert after == before

    @pytest.mark.parametrize(
        ("assignment", "holds"),
        [
            ("seed=3", lambda settings: settings.seed == 3),
            ("dataset.n_classes=3", lambda settings: settings.dataset.n_classes == 3),
            (
                "splits.validation_fraction=0.5",
                lambda settings: settings.splits.validation_fraction == 0.5,
            ),
            (
                "features.classifiers.naive_bayes.var_smoothing=1e-3",
                lambda settings: settings.features.classifiers.naive_bayes.var_smoothing == 0.001,
            ),
            ("features.combinations=[]", lambda settings: settings.features.combinations == ()),
            (
                "features.classifiers.names=[svm, knn]",
                lambda settings: settings.features.classifiers.names == ("svm", "knn"),
            ),
            (
                "features.table=[{extractor: mobilenet, input_size: 64, pooling: average}]",
                lambda settings: (
                    [maps.name for maps in settings.features.table] == ["mobilenet@64-average"]
                ),
            ),
            ("dataset.source=a=b", lambda settings: settings.dataset.source == "a=b"),
        ],
        ids=lambda settings: settings if isinstance(settings, str) else "",
    )
    def test_are_read_as_yaml(self, assignment: str, holds: Any) -> None:
        assert holds(request_from([assignment]).settings)

    @pytest.mark.parametrize(
        ("lines", "values"),
        [
            (["seed=3", "seed=4"], "3 and 4"),
            (["features={minutes: 1.0}", "features.minutes=2.0"], "1.0 and 2.0"),
            (["features.minutes=2.0", "features={table: auto}"], "{'minutes': 2.0} and {'table"),
            (["workers=2", "workers=3"], "2 and 3"),
        ],
    )
    def test_that_come_twice_are_refused_with_both_values(
        self, lines: list[str], values: str
    ) -> None:
        with pytest.raises(InvalidSettings, match=re.escape(f"expected one value, got {values}")):
            request_from(lines)
        assert request_from(["seed=3", "seed=3"]).settings.seed == 3

    def test_of_several_values_below_one_name_add_up(self) -> None:
        settings = request_from(["dataset.n_classes=3", "dataset.image_size=32"]).settings
        assert (settings.dataset.n_classes, settings.dataset.image_size) == (3, 32)

    @pytest.mark.parametrize("text", ["", "null", "~"])
    def test_are_none_where_a_setting_takes_it(
        self, text: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        adversary = "learners.recipe.adversary"
        hardened = request_from([f"{adversary}={{attack: fgsm}}"]).settings
        assert hardened.learners.recipe.adversary
        monkeypatch.setitem(PROFILES, "demo", hardened)
        assert request_from().settings == hardened
        request = request_from([f"{adversary}={text}"])
        again = StudyRequest.model_validate_json(request.model_dump_json())
        for stored in (request, again):
            assert stored.settings.learners.recipe.adversary is None
            assert stored.settings.learners.recipe.epochs == hardened.learners.recipe.epochs

    @pytest.mark.parametrize("empty", [None, "", []], ids=repr)
    @pytest.mark.parametrize("flow", FORMS)
    def test_of_a_forms_empty_fields_leave_the_profile_as_it_is(
        self, flow: str, empty: Any
    ) -> None:
        values = dict.fromkeys(FORMS[flow].model_fields, empty)
        form = validated(FORMS[flow], values)
        assert form.settings == PROFILES["demo"]
        assert form.options == RunOptions()
        assert json.loads(form.model_dump_json()) == json.loads(FORMS[flow]().model_dump_json())

    def test_leave_the_profiles_themselves_alone(self) -> None:
        before = PROFILES["demo"].model_dump_json()
        assert request_from(["seed=3", "features.combinations=[]"]).settings.seed == 3
        assert PROFILES["demo"].model_dump_json() == before

    def test_dataset_replaces_the_profiles_source(self) -> None:
        settings = request_from(profile="quick", dataset="flowers.tgz").settings
        assert settings.dataset.source == "flowers.tgz"
        assert settings.features == PROFILES["quick"].features


class TestWrongValues:
    @pytest.mark.parametrize(
        ("assignment", "message"),
        [
            ("sed=3", "setting sed: expected a known name, got an unknown one; did you mean seed?"),
            ("dataset.n_clases=3", "did you mean dataset.n_classes?"),
            ("features.classifiers.svm.c=1", "did you mean features.classifiers.svm.C?"),
            ("qqq_qqq=1", "unknown one; see `flowers17 settings`"),
            ("seed=-1", "expected at least 0, got -1"),
            ("seed=2147483648", "expected less than 2147483648, got 2147483648"),
            ("seed=1.5", "got 1.5"),
            ("seed=many", "expected a whole number"),
            ("seed=[1]", "expected a whole number"),
            ("dataset.n_classes=1", "expected at least 2, got 1"),
            ("dataset.n_classes=18", "expected at most 17, got 18"),
            ("dataset.image_size=15", "expected at least 16, got 15"),
            ("dataset.image_size=1025", "expected at most 1024, got 1025"),
            ("dataset.source=''", "at least 1 character"),
            ("splits.validation_fraction=0", "expected more than 0, got 0"),
            ("splits.validation_fraction=1", "expected less than 1, got 1"),
            ("splits.validation_fraction=.nan", "got nan"),
            ("features.classifiers.svm.C=-.inf", "a finite number, got -inf"),
            pytest.param(
                "features.classifiers.svm.C=.inf",
                "got inf",
            ),
            ("features.classifiers.svm.kernel=cubic", "'linear', 'rbf' or 'poly', got 'cubic'"),
            ("features.classifiers.names=[]", "expected a list of at least 1"),
            ("features.table=[{extractor: resnet}]", "got 'resnet'"),
            ("features.table=[{extractor: vgg16, size: 3}]", "setting features.table.0.size: "),
            ("features.table=vgg16", "expected a list"),
            (
                "fine_tuning.own=[{maps: {extractor: mobilenet, mirrored: true}}]",
                "set fine_tuning.own_augmentation to `mirrored`",
            ),
            ("fine_tuning.own_layer_decay=0", "expected more than 0, got 0"),
            ("fine_tuning.own_layer_decay=-0.5", "expected more than 0, got -0.5"),
            ("fine_tuning.own_layer_decay=1.5", "expected at most 1, got 1.5"),
            ("fine_tuning.own_layer_decay=.nan", "got nan"),
            ("features.weights=imagnet", "'imagenet' or 'random', got 'imagnet'"),
            ("learners.plain=", "setting learners.plain: expected a value, got null or nothing; "),
            ("learners.plain=null", "give [] for an empty list, or leave the setting out"),
            ("learners={plain: ~, best: []}", "setting learners.plain: expected a value, got null"),
            ("learners=", "setting learners: expected a value, got null"),
            ("dataset.source=", "setting dataset.source: expected a value, got null"),
            ("qqq_qqq=", "unknown one; see `flowers17 settings`"),
            (
                "learners.recipe.adversary={attack: }",
                "attack: expected a value, got null",
            ),
            ("seed", "expected KEY=VALUE, got 'seed'"),
            ("=3", "expected KEY=VALUE, got '=3'"),
            ("seed=[1", "expected a YAML value, got '[1'"),
            ("seed=!!python/object/apply:os.system [ls]", "expected a YAML value"),
        ],
    )
    def test_are_refused_with_the_reason(self, assignment: str, message: str) -> None:
        with pytest.raises(InvalidSettings) as caught:
            _ = request_from([assignment]).settings
        assert message in str(caught.value)
        assert assignment.partition("=")[0] in str(caught.value)
        assert "Value error" not in str(caught.value)

    def test_are_named_where_they_stand_and_their_list_is_not(self) -> None:
        with pytest.raises(InvalidSettings) as caught:
            request_from(["ensemble.meta_learners=[forest, bush]"])
        lines = str(caught.value).splitlines()
        prefixes = [line.partition(":")[0] for line in lines]
        assert prefixes == [f"setting ensemble.meta_learners.{number}" for number in (0, 1)]

    def test_are_all_named_at_once(self) -> None:
        with pytest.raises(InvalidSettings) as caught:
            request_from(["seed=-1", "dataset.n_classes=99", "nonsense=1"])
        assert len(str(caught.value).splitlines()) == 3

    @pytest.mark.parametrize("values", [["seed=1", "seed.deep=2"], ["dataset.source.deep=1"]])
    def test_below_a_single_value_are_refused(self, values: list[str]) -> None:
        with pytest.raises(InvalidSettings, match=r"setting dataset\.source|seed\.deep"):
            request_from(values)

    @pytest.mark.parametrize(
        ("name", "value", "message"),
        [
            ("profile", "quik", "'demo', 'quick', 'report' or 'best', got 'quik'"),
            ("runner", "cluster", "'local', 'processes' or 'ray', got 'cluster'"),
            ("workers", 0, "expected at least 1, got 0"),
            ("workers", 257, "expected at most 256, got 257"),
            ("gpus_per_training", 0, "expected more than 0, got 0"),
            ("gpus_per_training", 1.5, "a part of one GPU or a whole number of them, got 1.5"),
            ("dataset", "", "expected a value, got an empty text"),
            ("sed", 3, "expected a known name, got an unknown one; did you mean seed?"),
        ],
    )
    def test_of_options_are_refused(self, name: str, value: Any, message: str) -> None:
        with pytest.raises(InvalidSettings, match=f"setting {name}: ") as caught:
            request_from(**{name: value})
        assert message in str(caught.value)

    def test_are_wrong_input_of_a_caller(self) -> None:
        assert issubclass(InvalidSettings, InvalidInput)
        assert issubclass(InvalidInput, ValueError)

    def test_show_no_trace_of_pydantic(self) -> None:
        with pytest.raises(InvalidSettings) as caught:
            validated(StudySettings, {"seed": "x"})
        assert "pydantic" not in str(caught.value)


class TestModels:
    def test_are_frozen(self) -> None:
        with pytest.raises(ValidationError, match="frozen"):
            PROFILES["demo"].seed = 3  # type: ignore[misc]

    def test_options_are_no_part_of_the_settings(self) -> None:
        def names(model: type[BaseModel]) -> Iterator[str]:
            for name, info in model.model_fields.items():
                yield name
                if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
                    yield from names(info.annotation)

        assert set(RunOptions.model_fields) & set(names(StudySettings)) == set()

    def test_requests_survive_the_json_that_prefect_stores(self, tmp_path: Path) -> None:
        request = request_from(
            ["seed=3", "features.table=[{extractor: vgg16, input_size: 64}]"],
            profile="quick",
            store=tmp_path,
            workers=3,
        )
        again = StudyRequest.model_validate_json(request.model_dump_json())
        assert again.settings == request.settings
        assert again.options == request.options

    def test_python_and_the_command_line_ask_for_the_same(self) -> None:
        from_python = StudyRequest(profile="quick", set=("dataset.image_size=64",))
        from_shell = request_from(["dataset.image_size=64"], profile="quick")
        assert from_python == from_shell

    def test_options_without_a_field_are_lines(self, tmp_path: Path) -> None:
        request = request_from(["cpus_per_stage=2"], ray_address="here:1", tensorboard=tmp_path)
        options = RunOptions(cpus_per_stage=2, ray_address="here:1", tensorboard=tmp_path)
        assert request.options == options
        assert request_from(ray_address="auto", cpus_per_stage=1) == StudyRequest()
        with pytest.raises(InvalidSettings, match=r"setting cpus_per_stage: .* got 0"):
            request_from(["cpus_per_stage=0"])


class TestForms:
    @pytest.mark.parametrize("flow", FORMS)
    def test_become_those_of_other_flows(self, flow: str) -> None:
        study = FORMS["study"].model_validate(
            {"profile": "quick", "seed": 3, "learners.recipe.epochs": 5}
        )
        other = validated(FORMS[flow], study)
        assert (other.settings, other.options) == (study.settings, study.options)
        assert other.settings.learners.recipe.epochs == 5

    def test_show_lines_in_their_fields(self) -> None:
        lines = ["learners.recipe.epochs=5", "learners.best=[]", "splits.n_repeats=1", "seed=3"]
        form = validated(FORMS["learners"], request_from(lines))
        assert form.own_settings == {"learners.recipe.epochs": 5, "seed": 3}
        assert form.set == ("learners.best=[]", "splits.n_repeats=1")
        assert form.settings == request_from(lines).settings

    def test_refuse_a_setting_that_a_line_contradicts(self) -> None:
        values = {"learners.recipe.epochs": 5, "set": ["learners={recipe: {epochs: 5}}"]}
        assert validated(FORMS["study"], values).settings.learners.recipe.epochs == 5
        values["set"] = ["learners={recipe: {epochs: 6}}"]
        with pytest.raises(InvalidSettings, match="epochs: expected one value, got 5 in its field"):
            validated(FORMS["study"], values)

    @pytest.mark.parametrize(
        "values", [{"set": {"seed": 3}}, {"set": {}, "ray_address": "auto", "tensorboard": None}]
    )
    def test_of_older_versions_are_refused_with_what_to_do(self, values: dict[str, Any]) -> None:
        with pytest.raises(InvalidSettings, match="got the parameters of an older form"):
            validated(FORMS["study"], values)

    @pytest.mark.parametrize("flow", FORMS)
    def test_have_few_plain_fields_that_say_what_empty_means(self, flow: str) -> None:
        schema = FORMS[flow].model_json_schema()
        assert json.loads(json.dumps(schema)) == schema
        assert "$defs" not in schema
        assert len(schema["properties"]) <= 19
        for name, field in schema["properties"].items():
            assert field["type"] in ("string", "integer", "number", "array"), name
            assert len(field["description"]) > 15
            assert field.get("default") or "; empty: " in field["description"], name

    def test_tell_the_value_of_each_profile(self) -> None:
        fields = FORMS["learners"].model_json_schema()["properties"]
        epochs = fields["learners.recipe.epochs"]["description"]
        assert epochs.endswith("; empty: 4 (demo), 10 (quick), 50 (report, best)")
        assert fields["seed"]["description"].endswith("; empty: 17")
        assert fields["learners.augmented"]["description"].endswith(
            "; empty: mk-2 (demo, quick), mk-2 + mk-3 (report), none (best)"
        )


class TestRulesOfAFlow:
    """A rule that no study of the flow could keep is refused before anything runs."""

    @pytest.mark.parametrize(
        ("flow", "rule"),
        [
            ("features", "nothing missing"),
            ("features", "best accuracy >= 0.9"),
            ("features", "best balanced accuracy (report) >= 0.9"),
            ("finetune", "best accuracy, fine-tuned not worse"),
            ("ensemble", "best ensemble accuracy (clean) > 0.5"),
            ("study", "best mean accuracy from scratch (clean splits) not worse"),
            ("dataset", "nothing missing"),
        ],
    )
    def test_that_it_could_keep_is_taken(self, flow: str, rule: str) -> None:
        assert FORMS[flow](rules=(rule,)).options.rules == (rule,)

    @pytest.mark.parametrize(
        ("flow", "rule", "reason"),
        [
            ("features", "accuracy >= 0.5", "a metric of the study of features (best accuracy; "),
            ("features", "best ensemble accuracy > 0", "got 'best ensemble accuracy'"),
            ("study", "acuracy not worse", "best ensemble accuracy), got 'acuracy'"),
            ("dataset", "best accuracy > 0", "expected no metric, as dataset has none"),
            ("sweep", "nothing missing", "a sweep has many studies"),
        ],
    )
    def test_that_it_could_not_keep_is_refused(self, flow: str, rule: str, reason: str) -> None:
        with pytest.raises(InvalidSettings) as caught:
            validated(FORMS[flow], {"rules": [rule]})
        assert str(caught.value).startswith("setting rules: ")
        assert reason in str(caught.value)

    def test_is_refused_on_the_command_line_before_anything_is_written(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        store = tmp_path / "store"
        with pytest.raises(SystemExit) as end:
            main(["run", "features", "--rule", "accuracy > 1", "--store", str(store)])
        assert end.value.code == 2
        assert "expected a metric of the study of features" in capsys.readouterr().err
        assert not store.exists()

    def test_of_another_flow_is_left_out_of_a_deployment_s_form(self) -> None:
        request = request_from(rules=("best accuracy > 0", "nothing missing"))
        assert form_of("features", request).rules == request.rules
        assert form_of("dataset", request).rules == ("nothing missing",)


def test_metrics_in_rules_are_those_that_reports_have(monkeypatch: pytest.MonkeyPatch) -> None:
    score = best.Best("t", MeanSpread(0.5, 0.0, 1, None), Reference("s", "k", "d"))
    for part in ("classifiers", "fine_tuned", "networks", "ensembles"):
        both = best.BestOfPart(score, score)
        monkeypatch.setattr(best, f"best_{part}", lambda _, both=both: both)
    names = {
        name.partition(" (")[0].replace("balanced accuracy", "accuracy")
        for is_balanced in (True, False)
        for name in best.bests_by_metric(SimpleNamespace(is_balanced=is_balanced))  # type: ignore[arg-type]
    }
    for name in names:
        assert FORMS["study"](rules=(f"{name} not worse",)).rules
    listed = str(rule_problem("study", "unknown > 0")).partition("(")[2].partition(")")[0]
    assert {name for name in listed.split("; ") if not name.startswith("n_")} == names
