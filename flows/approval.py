"""A run that shows its plan first, and waits until a person lets it go on."""

from typing import Literal

from prefect.artifacts import create_table_artifact
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from pydantic import Field

from flowers17.estimates import cost_sentence, rough_duration
from flowers17.plan import Step, plan
from flowers17.request import StudyRequest
from flowers17.shared.store import open_store
from flowers17.stages import in_order
from flows.flow_names import FLOWS
from tasks.published import plain_text

MAX_WAIT_S = 7 * 24 * 3600
POLL_S = 2


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
    create_table_artifact([_row(step) for step in steps], key="plan", description=sentence)
    form = Approval.with_initial_data(description=f"{sentence}. The artifact `plan` lists them.")
    answer = pause_flow_run(form, timeout=MAX_WAIT_S, poll_interval=POLL_S, key="plan")
    return answer is None or answer.answer == "go on"


def _row(step: Step) -> dict[str, str]:
    seconds = step.estimate.seconds if step.estimate else None
    return {
        "action": step.action,
        "stage": plain_text(step.label),
        "time": "" if seconds is None else rough_duration(seconds),
        "why": plain_text("; ".join(step.why)),
    }
