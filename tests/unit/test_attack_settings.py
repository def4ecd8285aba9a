"""Settings of attacks: what makes no sense is refused with its name, before anything runs."""

import json

import pytest

from flowers17.config import RunOptions
from flowers17.errors import InvalidInput, InvalidSettings
from flowers17.profiles import PROFILES
from flowers17.request import request_from
from flowers17.stages import in_order
from flows import attacks


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("budgets=[0]", "expected more than 0, got 0"),
        ("budgets=[-1, 4]", "expected more than 0, got -1"),
        ("budgets=[.nan]", "finite number"),
        ("budget=256", "expected at most 255, got 256"),
        ("jsma.theta=0", "a theta other than 0"),
        ("jsma.theta=1.5", "expected at most 1, got 1.5"),
        ("jsma.gamma=0", "expected more than 0, got 0"),
        ("one_pixel.population=2", "expected at least 3, got 2"),
        ("pgd_steps=0", "expected at least 1, got 0"),
        ("n_images=0", "expected at least 1, got 0"),
        ("attacks=[deepfool]", "got 'deepfool'"),
        ("methods=[stacking]", "got 'stacking'"),
        ("models=[{learner: mk-2, classifier: svm}]", "expected either `learner`, or `classifier`"),
        ("models=[{}]", "expected"),
        ("epsilon=1", "attacks.epsilon"),
        ("pgd_restarts=0", "expected at least 1, got 0"),
        ("pgd_losses=[hinge]", "got 'hinge'"),
        ("pgd_losses=[]", "attacks.pgd_losses"),
        ("exploratory.n_seeds=0", "expected at least 1, got 0"),
        ("exploratory.step=0.4", "expected at least 1, got 0.4"),
        ("exploratory.learner=mine:net", "attacks.exploratory.learner"),
        ("exploratory.epochs=0", "expected at least 1, got 0"),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(setting: str, message: str) -> None:
    with pytest.raises(InvalidSettings, match="attacks") as refusal:
        assert request_from([f"attacks.{setting}"]).settings
    assert message in str(refusal.value)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_profile_attacks_a_network_and_a_stacked_forest_or_what_was_chosen(
    profile: str,
) -> None:
    settings = request_from(profile=profile).settings
    labels = [stage.label for stage in attacks.parts(settings, RunOptions())]
    network = settings.attacks.models[0].name
    split = settings.attacks.split
    for attack in settings.attacks.attacks:
        assert f"attack {attack} on {network}, {split} split" in labels
    assert any("by random_forest" in label and "attack one_pixel" in label for label in labels)
    assert f"transfer, {split} split" in labels


def test_every_model_is_learned_by_a_surrogate_too_small_for_none_of_the_images() -> None:
    settings = request_from().settings
    learned = [
        stage for stage in attacks.parts(settings, RunOptions()) if stage.name == "exploratory"
    ]
    names = {json.loads(stage.config)["model"] for stage in learned}
    assert names == {settings.attacks.models[0].name, "small by random_forest"}
    small = request_from(["attacks.exploratory.learner=mk-5", "dataset.image_size=32"]).settings
    with pytest.raises(InvalidInput, match="mk-5"):
        attacks.attacked(small, RunOptions())


def test_the_report_profile_searches_one_pixel_as_the_paper_does_and_pgd_by_two_losses() -> None:
    settings = request_from(profile="report").settings.attacks
    search = settings.one_pixel
    assert (search.population, search.generations) == (400, 100)
    assert search.n_images >= 30
    assert settings.pgd_restarts > 1
    assert settings.pgd_losses == ("cross_entropy", "margin")


def test_the_models_attacked_are_those_of_the_ensembles() -> None:
    settings = request_from().settings
    options = RunOptions()
    labels = [stage.label for stage in in_order(attacks.parts(settings, options))]
    assert "stacking of small, clean split" in labels
    name = settings.attacks.models[0].name
    [fgsm] = [
        stage
        for stage in attacks.parts(settings, options)
        if stage.label == f"attack fgsm on {name}, clean split"
    ]
    assert fgsm.inputs["model"].label == f"{name} refit, clean split"


def test_nothing_to_attack_leaves_nothing_to_do() -> None:
    off = ["attacks.models=[]", "ensemble.ensembles=[]", "defences.networks=[]"]
    settings = request_from([*off, "poisoning.networks=[]"]).settings
    assert attacks.parts(settings, RunOptions()) == []
