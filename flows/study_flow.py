"""A flow of the study: named for what its run is, and refused in one line if its input is wrong.

Where its form says so, it shows its plan first, and waits until a person lets it go on.
"""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import PurePath
from typing import Any, Literal, ParamSpec, get_type_hints

from prefect import Flow, flow, get_client
from prefect.artifacts import create_table_artifact
from prefect.context import FlowRunContext
from prefect.exceptions import Abort
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from prefect.runtime import flow_run
from prefect.states import Cancelled, Failed, State
from pydantic import Field

from flowers17.config.run_options import weights_folder
from flowers17.data.source import dataset_source
from flowers17.errors import InvalidInput
from flowers17.estimates import cost_sentence, rough_duration
from flowers17.plan import plan
from flowers17.request import AT_ONCE, FORMS, StudyRequest
from flowers17.shared.store import open_store
from flowers17.stages import in_order
from flowers17.sweeps.combinations import SweepSettings, setting_tail
from flowers17.validation import validated
from flows.flow_names import FLOWS
from tasks.conclusion import RULE_BROKEN, RulesBroken, conclusion, with_page
from tasks.leftovers import at_work
from tasks.published import plain_text
from tasks.results import Results, StagesFailed

P = ParamSpec("P")
MAX_WAIT_S = 7 * 24 * 3600
POLL_S = 2


def study_flow(function: Callable[P, Results]) -> Flow[P, Results]:
    """Flow of a function of the same name, whose parameter `request` is the flow's form.

    Prefect would log two tracebacks of wrong parameters, and one of stages that failed or rules
    that are broken. So the run ends as Failed with the reason as its message; a caller gets the
    error.
    """
    name, signature = function.__name__, inspect.signature(function)
    run: Callable[..., Results] = function
    types = get_type_hints(function) | {"request": FORMS[name]}

    @wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> Any:
        call = signature.bind(*args, **kwargs)
        call.apply_defaults()
        try:
            values = {name: validated(types[name], value) for name, value in call.arguments.items()}
            weights_folder(values["request"].weights_dir)
            dataset_source(values["request"].settings.dataset)
            _add_tags(values["request"])
            waits = getattr(values["request"], "start", AT_ONCE) != AT_ONCE
            if waits and not is_approved(name, values["request"]):
                return _ended(Cancelled(message="stopped by a person, who saw its plan"))
            options = values["request"].options
            with at_work(options):
                try:
                    return conclusion(run(**values), options)
                except StagesFailed as problem:
                    raise with_page(problem, options) from problem
        except (InvalidInput, StagesFailed, RulesBroken) as problem:
            state = RULE_BROKEN if isinstance(problem, RulesBroken) else "Failed"
            message = "; ".join(str(problem).splitlines())
            return _ended(Failed(name=state, message=message, data=problem))

    parameters = dict(signature.parameters)
    parameters["request"] = parameters["request"].replace(
        annotation=FORMS[name], default=FORMS[name]()
    )
    checked.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=list(parameters.values())
    )
    named = flow(name=name, flow_run_name=lambda: _run_name(name), validate_parameters=False)
    return named(checked)


def _ended(state: State[Any]) -> State[Any]:
    """The state of a run that does not succeed; a deployment's run ends with it at once.

    Prefect would log the traceback of what it got from a state that a deployment's flow returned.
    """
    context = FlowRunContext.get()
    if context and context.flow_run and context.flow_run.deployment_id:
        end = Abort(state.message)
        with get_client(sync_client=True) as client:
            state.data = None
            result = client.set_flow_run_state(context.flow_run.id, state)
        end.state = result.state  # type: ignore[attr-defined]  # as the engine looks for it
        raise end
    return state


def run_name(name: str, request: StudyRequest, over: SweepSettings | None = None) -> str:
    """Display name of a flow's run, e.g. `features, quick, oxford17, seed 17`.

    Data of one's own go by the name of their folder or archive.
    """
    settings = request.settings
    swept = [setting for setting, _ in over.values_by_axis] if over else []
    if over:
        name = f"{name} of {over.flow} over {', '.join(map(setting_tail, swept)) or 'variants'}"
    words = [name, request.profile, _data_name(request)]
    return ", ".join(words if "seed" in swept else [*words, f"seed {settings.seed}"])


def _run_name(name: str) -> str:
    """Name of the run at hand, whose parameters may be wrong."""
    try:
        parameters = flow_run.get_parameters()
        request = validated(FORMS[name], parameters["request"])
        over = parameters.get("over")
        return run_name(name, request, validated(SweepSettings, over) if over else None)
    except InvalidInput:
        return f"{name}, refused"


def _data_name(request: StudyRequest) -> str:
    source = request.settings.dataset.source
    return PurePath(source).name or source


def _add_tags(request: StudyRequest) -> None:
    """Let runs be found by their profile and data."""
    context = FlowRunContext.get()
    if context and context.flow_run:
        tags = {*context.flow_run.tags, request.profile, _data_name(request)}
        with get_client(sync_client=True) as client:
            client.update_flow_run(context.flow_run.id, tags=tags)


class Approval(RunInput):
    """A person's answer to a plan, in the form that Prefect shows to resume a paused run."""

    answer: Literal["go on", "stop"] = Field("go on", description="whether the plan is carried out")


def is_approved(flow: str, request: StudyRequest) -> bool:
    """Whether a person lets the run at hand go on; its plan is an artifact of it, key `plan`.

    A run that was let go on before, and died, is not asked again.
    """
    options = request.options
    steps = plan(in_order(FLOWS[flow].stages(request.settings, options)), open_store(options.store))
    costs = [step.estimate for step in steps if step.estimate]
    n_reused = len(steps) - len(costs)
    sentence = f"{len(costs)} stages to build, {n_reused} in the store; "
    sentence += cost_sentence(costs, options, n_reused=n_reused)
    rows = [
        {
            "action": step.action,
            "stage": plain_text(step.label),
            "time": rough_duration(cost.seconds) if cost and cost.seconds is not None else "",
            "why": plain_text("; ".join(step.why)),
        }
        for step in steps
        for cost in [step.estimate]
    ]
    create_table_artifact(rows, key="plan", description=sentence)
    form = Approval.with_initial_data(description=f"{sentence}. The artifact `plan` lists them.")
    answer = pause_flow_run(form, timeout=MAX_WAIT_S, poll_interval=POLL_S, key="plan")
    return answer is None or answer.answer == "go on"
