"""Profiles: named presets over the settings.

Each profile below says what it runs, its command, how long that takes and which accuracy to expect,
as far as it was measured, and on which machine. Commands and intervals of these figures are in
`docs/results.md` and `benchmarks/README.md`.
"""

from typing import Any

from flowers17.config import (
    AdversarySettings,
    AttackSettings,
    ClassifierSettings,
    CombinationSettings,
    DatasetSettings,
    DefenceSettings,
    DetectorSettings,
    EnsembleDefinition,
    EnsembleSettings,
    ExtractorName,
    FeatureMapSettings,
    FeatureSettings,
    FilterSettings,
    FineTuningSettings,
    HeadSettings,
    JsmaSettings,
    LearnersSettings,
    MemberSettings,
    OnePixelSettings,
    PoisoningSettings,
    ProfileName,
    RandomForestSettings,
    RecipeSettings,
    SplitSettings,
    StudySettings,
    TargetedSettings,
)

MOBILENET_224 = FeatureMapSettings(
    extractor="mobilenet", input_size=224, pixels="original", pooling="average"
)
XCEPTION_299 = FeatureMapSettings(
    extractor="xception", input_size=299, pixels="original", pooling="average"
)
MOBILENET_224_UPSAMPLED = FeatureMapSettings(
    extractor="mobilenet", input_size=224, pooling="average"
)

MOBILENET = FeatureMapSettings(extractor="mobilenet")
VGG16 = FeatureMapSettings(extractor="vgg16")
BASELINE = MemberSettings(learner="baseline", augmentation="none")

BEST_RECIPE = LearnersSettings().best_recipe
OUR_LEARNERS = ("residual", "sequential", "aggregated")
FINE_TUNING = FineTuningSettings()


def _averaged_map(extractor: ExtractorName, input_size: int, **rest: Any) -> FeatureMapSettings:
    """Feature map averaged over positions, and over an image and its mirror image."""
    return FeatureMapSettings(
        extractor=extractor, input_size=input_size, pooling="average", mirrored=True, **rest
    )


def _short_fine_tuning(epochs_a: int, epochs_b: int, **rest: Any) -> FineTuningSettings:
    """Settings of fine-tuning with fewer epochs."""
    base = FINE_TUNING
    return base.model_copy(
        update={
            "phase_a": base.phase_a.model_copy(update={"epochs": epochs_a}),
            "phase_b": base.phase_b.model_copy(update={"epochs": epochs_b}),
            "own_phase_a": base.own_phase_a.model_copy(update={"epochs": epochs_a}),
            "own_phase_b": base.own_phase_b.model_copy(update={"epochs": epochs_b}),
            **rest,
        }
    )


_DEMO = StudySettings(
    dataset=DatasetSettings(source="rendered", image_size=80, n_classes=17, images_per_class=20),
    splits=SplitSettings(n_repeats=3),
    learners=LearnersSettings(
        plain=("baseline", "mk-2"),
        augmented=("mk-2",),
        recipe=RecipeSettings(epochs=4),
        augmented_epochs=4,
        best=OUR_LEARNERS,
        best_recipe=BEST_RECIPE.model_copy(update={"epochs": 6}),
        best_splits=1,
        convolutions="direct",  # in so few steps, compiling others costs more than they save
    ),
    features=FeatureSettings(
        weights="random",
        classifiers=ClassifierSettings(random_forest=RandomForestSettings(n_estimators=200)),
        combinations=(
            CombinationSettings(maps=(MOBILENET,), search=True),
            CombinationSettings(maps=(MOBILENET, VGG16)),
        ),
    ),
    fine_tuning=_short_fine_tuning(
        3,
        3,
        table=(MOBILENET,),
        heads=(HeadSettings(), HeadSettings(batch_norm=True, dropout=0.5)),
    ),
    ensemble=EnsembleSettings(
        ensembles=(
            EnsembleDefinition(
                name="small",
                members=(
                    BASELINE,
                    MemberSettings(classifier="svm", maps=(MOBILENET,)),
                    MemberSettings(classifier="random_forest", maps=(VGG16,)),
                ),
            ),
        ),
        n_folds=3,
    ),
    attacks=AttackSettings(
        models=(BASELINE,),
        n_images=34,
        budgets=(1, 4, 16, 64),
        budget=4,
        pgd_steps=5,
        targeted=TargetedSettings(n_images=17, n_targets=4),
        jsma=JsmaSettings(n_images=17, gamma=0.01, variant="single"),
        one_pixel=OnePixelSettings(n_images=2, population=16, generations=1),
        images_per_batch=64,
    ),
    defences=DefenceSettings(
        networks=(BASELINE,),
        adversaries=(AdversarySettings(n_steps=3),),
        filters=(
            FilterSettings(kind="median", strength=3),
            FilterSettings(kind="bits", strength=4),
        ),
        detectors=(
            DetectorSettings(
                budgets=(4,), recipe=DetectorSettings().recipe.model_copy(update={"epochs": 4})
            ),
        ),
        budgets=(1, 4),
    ),
    poisoning=PoisoningSettings(networks=(BASELINE,), shares=(0.1,)),
)
"""The whole study on rendered flowers with random weights: shows that everything works.

Command: flowers17 run study
Time: 196 s for 89 stages (2 cores of an AMD EPYC, 23 GiB, other work beside).
Accuracy: says nothing about photographs. The best classifier on features reached 0.600 and the best
network from scratch 0.200 on 85 images of 17 classes; chance is 0.059.
"""

_QUICK = StudySettings(
    dataset=DatasetSettings(source="oxford17"),
    learners=LearnersSettings(
        plain=("baseline", "mk-1", "mk-2"),
        augmented=("mk-2",),
        augmentations=("wide",),
        recipe=RecipeSettings(epochs=10),
        augmented_epochs=10,
        best=("residual",),
        best_recipe=BEST_RECIPE.model_copy(update={"epochs": 20}),
        best_splits=1,
    ),
    features=FeatureSettings(
        combinations=(
            CombinationSettings(maps=(MOBILENET_224_UPSAMPLED,)),
            CombinationSettings(maps=(MOBILENET_224,)),
            CombinationSettings(maps=(MOBILENET_224, XCEPTION_299)),
        )
    ),
    fine_tuning=_short_fine_tuning(10, 10, table=(MOBILENET,)),
    ensemble=EnsembleSettings(
        ensembles=(
            EnsembleDefinition(
                name="small",
                members=(
                    BASELINE,
                    MemberSettings(learner="mk-1", augmentation="none"),
                    MemberSettings(classifier="svm", maps=(MOBILENET,)),
                    MemberSettings(classifier="logistic_regression", maps=(MOBILENET,)),
                    MemberSettings(classifier="random_forest", maps=(VGG16,)),
                ),
            ),
        ),
        n_folds=3,
    ),
    attacks=AttackSettings(
        models=(
            BASELINE,
            MemberSettings(learner="mk-1", augmentation="none"),
        ),
        n_images=51,
        budgets=(0.5, 1, 2, 4, 8, 32, 128),
        budget=2,
        pgd_steps=7,
        targeted=TargetedSettings(n_images=17, n_targets=4),
        jsma=JsmaSettings(n_images=17, gamma=0.01, variant="single"),
        one_pixel=OnePixelSettings(n_images=5, population=32, generations=5),
    ),
    defences=DefenceSettings(networks=(BASELINE,)),
    poisoning=PoisoningSettings(
        networks=(BASELINE, MemberSettings(learner="mk-1", augmentation="none"))
    ),
)
"""Every part of the study on the real images, reduced: fewer networks, epochs and attacks.

Command: flowers17 run study --profile quick --dataset 17flowers.tgz --weights-dir weights/
Time: not measured as a whole. Table 8 for three extractors alone took 297 s (2 cores of a Xeon
2.80 GHz, 24 GiB, other work beside).
Accuracy: 0.915 for the best classifier on features of 128 × 128 pixels, on the report's split;
means over eight clean splits of 0.964 with MobileNet on the photographs, of 0.972 with Xception
beside it. Networks from scratch at these epochs: not measured.
"""

_REPORT = StudySettings(dataset=DatasetSettings(source="oxford17"))
"""The study to the letter, beside our own recipe and clean splits: the defaults of all settings.

Command: flowers17 run study --profile report --dataset 17flowers.tgz --weights-dir weights/
Time: not measured as a whole. An epoch of Mk-3 took 85 to 150 s (2 cores of a Xeon 2.50 GHz), and
it has 50 on plain data and 150 under each augmentation: count in days. The sixteen fine-tunings
take 115 min (the same machine, extrapolated from measured epochs).
Accuracy on the report's split: 0.553 for the best network from scratch on plain data, 0.915 for the
best classifier on features, 0.947 for the best fine-tuned network. Mk-2 and Mk-3 under augmentation
at 128 × 128 pixels: not measured.
"""

_PHOTOGRAPH_MAPS = (
    _averaged_map("mobilenet", 224, pixels="original"),
    _averaged_map("mobilenet", 320, pixels="original"),
    _averaged_map("xception", 299, pixels="original"),
    _averaged_map("vgg16", 224, pixels="original"),
)
# What 128 × 128 pixels hold, upsampled; and networks whose own input is that small.
_UPSAMPLED_MAPS = (
    _averaged_map("mobilenet", 224),
    _averaged_map("xception", 299),
    _averaged_map("vgg16", 224),
)
_SMALL_MAPS = tuple(_averaged_map(name, 128) for name in ("mobilenet", "xception", "vgg16"))

_BEST = StudySettings(
    dataset=DatasetSettings(source="oxford17"),
    splits=SplitSettings(n_repeats=16),
    learners=LearnersSettings(plain=(), augmented=(), best=OUR_LEARNERS),
    features=FeatureSettings(
        combinations=(
            CombinationSettings(maps=_PHOTOGRAPH_MAPS),
            CombinationSettings(maps=_PHOTOGRAPH_MAPS, n_components=256),
            *(
                CombinationSettings(maps=maps, classifier="svm", search=True)
                for maps in (_PHOTOGRAPH_MAPS, _UPSAMPLED_MAPS, _SMALL_MAPS)
            ),
        )
    ),
    ensemble=EnsembleSettings(
        ensembles=(
            EnsembleDefinition(
                name="best",
                members=(
                    MemberSettings(learner="residual", recipe="best"),
                    MemberSettings(classifier="logistic_regression", maps=_PHOTOGRAPH_MAPS),
                    MemberSettings(classifier="svm", maps=_PHOTOGRAPH_MAPS),
                    *(
                        MemberSettings(classifier="logistic_regression", maps=(feature_map,))
                        for feature_map in _PHOTOGRAPH_MAPS
                    ),
                ),
            ),
        ),
        splits=("clean", "repeat-01", "repeat-02"),
    ),
    attacks=AttackSettings(
        models=(MemberSettings(learner="residual", recipe="best"),),
        methods=("chosen", "random_forest"),
        one_pixel=OnePixelSettings(n_images=17, population=100, generations=20),
    ),
    defences=DefenceSettings(
        networks=(MemberSettings(learner="residual", recipe="best"),),
        adversaries=(AdversarySettings(),),
    ),
    poisoning=PoisoningSettings(networks=(MemberSettings(learner="residual", recipe="best"),)),
)
"""Our own recipes, for the highest accuracy on images that decided nothing.

Command: flowers17 run study --profile best --dataset 17flowers.tgz --weights-dir weights/
Time: not measured as a whole. `run features` with one extractor in Table 8 took 52 min for 32
stages (2 cores of a Xeon 2.80 GHz, 24 GiB, other work beside). `run learners` by the same recipe
took 5,885 s on three splits (2 cores of a Xeon with bfloat16, 24 GiB, two trainings at a time).
Accuracy: a mean of 0.982 over 16 clean splits for a support vector machine on features of the
photographs; of 0.936 over three for the average of three networks from scratch. Its ensemble of
both, its attacks and its defences: not measured.
"""

PROFILES: dict[ProfileName, StudySettings] = {
    "demo": _DEMO,
    "quick": _QUICK,
    "report": _REPORT,
    "best": _BEST,
}
