"""Flow `next_steps`: what to do next, by questions to the models of all other parts."""

from importlib.util import find_spec

from flowers17.config import MemberSettings, RunOptions, StudySettings
from flowers17.environment import keras_backend
from flowers17.stages import Stage, in_order
from flows import ensemble, features, finetune, learners
from flows.part import Part, data
from tasks import costs, cross_validation, training
from tasks import next_steps as questions
from tasks import split as split_stage

MODELS = ("training", "finetuning", "fitted", "stacking")  # stages whose artifacts predict


def parts(settings: StudySettings, options: RunOptions) -> list[Stage]:
    """Stages of the questions that are asked, each by itself."""
    own, (images, duplicates, splits) = settings.next_steps, data(settings)
    measures = [stage.inputs["measures"] for stage in features.parts(settings, options)]
    best = cross_validation.stage(settings, measures, splits, duplicates)
    models = _models(settings, options)
    trained = {member.name: _trainings(settings, options, member) for member in own.learners}
    runs_onnx = find_spec("onnxruntime") is not None and keras_backend() == "tensorflow"
    labels, sets = questions.judged_stages(settings, best, images, duplicates)
    by_question = {
        "more_images": questions.learning_curve_stage(settings, best, splits, duplicates, trained),
        "labels": labels,
        "certainty": sets,
        "saliency": costs.stage(options, models, "saliency", n_images=own.n_saliency_images),
        "costs": costs.stage(options, models, "costs", onnx=runs_onnx),
    }
    return [by_question[question] for question in dict.fromkeys(own.questions)]


def _models(settings: StudySettings, options: RunOptions) -> list[Stage]:
    """The models of all parts, each on the first of its splits; none of a single fold."""
    parts = (features, learners, finetune, ensemble)
    first: dict[tuple[str, str], Stage] = {}
    for stage in in_order(each for part in parts for each in part.parts(settings, options)):
        split = stage.inputs.get("split")
        if stage.name in MODELS and (split is None or split.name == "split"):
            first.setdefault((stage.name, stage.config), stage)
    return list(first.values())


def _trainings(settings: StudySettings, options: RunOptions, member: MemberSettings) -> list[Stage]:
    """A network's trainings on each share of each repeated clean split, split by split."""
    own, (images, duplicates, splits) = settings.next_steps, data(settings)
    n_splits = min(own.n_splits, settings.splits.n_repeats)
    names = [f"repeat-{k:02d}" for k in range(1, n_splits + 1)] or ["clean"]
    shares = [
        questions.share_stage(settings, share, split_stage.stage(name, splits), duplicates)
        for name in names
        for share in sorted(set(own.shares))
    ]
    return [training.stage(settings, options, member, images, share) for share in shares]


PART = Part("next", "what to do next", parts)
stages = PART.stages
next_steps = PART.flow("next_steps")
