"""A team's set-up as it is shipped: PostgreSQL, a server that asks who calls, two workers, ends."""

import asyncio
import json
import os
import re
import signal
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx
import pytest
import yaml
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.client.orchestration import get_client
from prefect.settings import (
    PREFECT_API_AUTH_STRING,
    PREFECT_API_URL,
    PREFECT_CLIENT_CSRF_SUPPORT_ENABLED,
    temporary_settings,
)

from flowers17.artifacts import MANIFEST, Store
from flowers17.request import FORMS
from flowers17.validation import validated
from flows import prefect_api
from flows.learners import parts
from flows.registration import BLOCK, register_automations
from tests.support.builds import built
from tests.support.commands import called
from tests.support.processes import HANG_S, eventually, output_of
from tests.support.serving import SMALL, told
from tests.support.team import (
    DEPLOYMENTS,
    Team,
    heard,
    postgres_programs,
    shipped_settings,
    shipped_words,
)

pytestmark = [pytest.mark.server, pytest.mark.slow]
POSTGRES = postgres_programs()
needs_postgres = pytest.mark.skipif(
    POSTGRES is None, reason="needs PostgreSQL's programs (Debian: apt-get install postgresql)"
)
SETTINGS = (
    *(setting for setting in SMALL if not setting.startswith("learners.plain")),
    "learners.definitions=[{name: tiny, blocks: [[4]], dense: 8}]",
    "learners.plain=[tiny]",
    "learners.recipe.epochs=20",
    "learners.recipe.batch_size=1",
)
# Of Prefect's command line, in one process: each would import Prefect anew.
PREFECT_COMMANDS = """
import json, sys
from prefect.cli import app
for words in json.loads(sys.argv[1]):
    sys.argv = ["prefect", *words]
    try:
        app()
    except SystemExit as end:
        if end.code:
            raise
"""
# The private server of the test run, which its settings are for, wants none.
WITH_TOKENS = {PREFECT_CLIENT_CSRF_SUPPORT_ENABLED: True}
SITE_SETTINGS = {
    "FLOWERS17_ALLOWED_HOSTS",
    "FLOWERS17_SITE",
    "PREFECT_HOME",
    "PREFECT_API_URL",
    "PREFECT_SERVER_API_HOST",
    "PREFECT_SERVER_DATABASE_HOST",
    "PREFECT_SERVER_UI_STATIC_DIRECTORY",
}


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """Return a running team: a database, a server, two workers on one store."""
    assert POSTGRES is not None
    team = Team(tmp_path_factory.mktemp("team"), POSTGRES, *SETTINGS)
    try:
        yield team.start()
    finally:
        team.close()


@pytest.fixture(scope="module")
def schedule(team: Team) -> str:
    """Path of a schedule of `learners`, whose runs the pool holds up while it comes to its time."""
    _change_pool(team, is_paused=True)
    path = f"deployments/{team.deployment('learners')['id']}/schedules"
    reply = team.client.post(path, json=[{"schedule": {"interval": 10}, "active": True}])
    assert reply.status_code == 201, reply.text
    return f"{path}/{reply.json()[0]['id']}"


@pytest.fixture(scope="module")
def scheduled(team: Team, schedule: str) -> dict[str, Any]:
    """The only run of `learners`, which the schedule has started."""
    learners = team.deployment("learners")["id"]
    _change_pool(team, is_paused=False, concurrency_limit=1)
    assert told(lambda: team.scheduled_runs(learners)), team.logs()
    team.client.delete(schedule).raise_for_status()  # and with it what waits
    _change_pool(team, concurrency_limit=2)
    (run,) = team.scheduled_runs(learners)
    return run


def _change_pool(team: Team, **changes: bool | int) -> None:
    team.client.patch("work_pools/flowers17", json=changes).raise_for_status()


def _called(team: Team, *words: str, auth: str) -> tuple[int | str, str, str]:
    """What `called` returns of `flowers17 …` with somebody's credentials."""
    with patch.dict(os.environ), temporary_settings({PREFECT_API_AUTH_STRING: auth, **WITH_TOKENS}):
        return called(*words, api=team.member["PREFECT_API_URL"])


def _composed() -> dict[str, Any]:
    """Return the services of compose.yaml with the values of env.example."""
    lines = (DEPLOYMENTS / "env.example").read_text().splitlines()
    values = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    text = (DEPLOYMENTS / "compose.yaml").read_text()
    text = re.sub(r"\$\{(\w+)(:[-?][^}]*)?\}", lambda match: values[match.group(1)], text)
    services: dict[str, Any] = yaml.safe_load(text)["services"]
    return services


class TestShipped:
    @pytest.mark.parametrize("part", ["server", "worker"])
    def test_containers_and_services_are_told_the_same(self, part: str) -> None:
        inside, outside = _composed()[part], shipped_settings(part)
        assert inside["environment"].keys() == outside.keys()
        differing = {
            name for name, value in inside["environment"].items() if value != outside[name]
        }
        assert differing <= SITE_SETTINGS
        assert "--store" in inside["command"]
        words = [word for word in inside["command"] if not word.startswith("/")]
        assert words == [word for word in shipped_words(part) if not word.startswith("/")]

    def test_the_database_is_made_for_the_server(self) -> None:
        services = _composed()
        for name, value in services["database"]["environment"].items():
            setting = name.replace("POSTGRES_", "PREFECT_SERVER_DATABASE_").replace("_DB", "_NAME")
            assert services["server"]["environment"][setting] == value

    def test_only_this_machine_reaches_it_unless_told_otherwise(self) -> None:
        services = _composed()
        assert services["server"]["ports"] == ["127.0.0.1:4200:4200"]
        assert [name for name, service in services.items() if "ports" in service] == ["server"]
        assert shipped_settings("server")["PREFECT_SERVER_API_HOST"] == "127.0.0.1"

    @pytest.mark.parametrize("home", ["container", "service"])
    def test_the_server_writes_its_pages_where_its_user_may(self, home: str) -> None:
        inside = home == "container"
        settings = _composed()["server"]["environment"] if inside else shipped_settings("server")
        pages = Path(settings["PREFECT_SERVER_UI_STATIC_DIRECTORY"])
        assert pages.is_relative_to(settings["PREFECT_HOME"])

    def test_the_server_has_the_settings_of_serve(self) -> None:
        assert prefect_api.SETTINGS["server"].items() <= shipped_settings("server").items()


@needs_postgres
@pytest.mark.usefixtures("schedule")
class TestAccess:
    def test_the_pages_are_served_from_the_folder_that_is_set(self, team: Team) -> None:
        reply = httpx.get(
            f"{team.ui}/", headers={"Accept": "text/html"}, trust_env=False, timeout=HANG_S
        )
        assert reply.status_code == 200
        assert reply.text == next(team.home.glob("ui/*/index.html")).read_text()

    def test_without_credentials_the_api_answers_401(self, team: Team) -> None:
        for credentials in (None, ("admin", "guessed")):
            reply = httpx.get(
                f"{team.ui}/api/flows/count", auth=credentials, trust_env=False, timeout=HANG_S
            )
            assert reply.status_code == 401

    def test_the_command_line_says_whose_password_is_wanted(self, team: Team) -> None:
        store, guessed = str(team.store.with_name("unused")), "admin:guessed"
        for auth, *words in (
            (guessed, "serve", "--store", store),
            ("", "run", "dataset", "--store", store),
            (guessed, "recover"),
            ("", "doctor", "--store", store),
        ):
            code, printed, complaints = _called(team, *words, auth=auth)
            assert code == 1
            message = " ".join((printed + complaints).split())
            assert f"got {'other ones' if auth else 'none'}; set PREFECT_API_AUTH_STRING" in message
            assert "Traceback" not in message

    def test_a_write_needs_a_token_beside_the_password(self, team: Team) -> None:
        request = {"json": {"name": "any", "value": 1}, "auth": team.client.auth}
        forged = httpx.post(f"{team.ui}/api/variables/", trust_env=False, timeout=HANG_S, **request)
        assert (forged.status_code, forged.json()) == (403, {"detail": "Missing CSRF token."})
        assert team.client.post("variables/", **request).status_code == 201

    def test_limits_are_set_as_documented(self, team: Team) -> None:
        commands = (
            ("work-pool", "set-concurrency-limit", "flowers17", "2"),
            ("concurrency-limit", "create", "training", "2"),
        )
        env = {**team.member, "PREFECT_HOME": str(team.home)}
        output_of(PREFECT_COMMANDS, json.dumps(commands), env=env)
        assert team.client.get("work_pools/flowers17").json()["concurrency_limit"] == 2
        assert team.limit("training")["limit"] == 2


@needs_postgres
def test_a_scheduled_study_that_fails_is_told_through_the_block(team: Team) -> None:
    study = team.deployment("study")["id"]
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    state = {"type": "SCHEDULED", "state_details": {"scheduled_time": later}}
    message = {"subject": "{{subject}}", "body": "{{body}}"}
    member = {
        PREFECT_API_URL: team.member["PREFECT_API_URL"],
        **WITH_TOKENS,
        PREFECT_API_AUTH_STRING: team.member["PREFECT_API_AUTH_STRING"],
    }

    async def registered() -> None:
        async with get_client() as client:
            await register_automations(client)

    with heard() as (url, messages):
        with temporary_settings(member):
            hook = CustomWebhookNotificationBlock(name=BLOCK, url=url, json_data=message)
            hook.save(BLOCK, _sync=True)
            asyncio.run(registered())
        for tags in (["flowers17"], ["flowers17", "auto-scheduled"]):
            run = team.client.post(
                f"deployments/{study}/create_flow_run", json={"state": state, "tags": tags}
            ).json()
            failed = {"type": "FAILED", "message": f"tags {tags}"}
            team.client.post(
                f"flow_runs/{run['id']}/set_state", json={"state": failed, "force": True}
            ).raise_for_status()
        assert eventually(lambda: messages), team.logs()
    (message,) = messages
    assert message["subject"] == f"study {run['name']}: Failed"
    assert message["body"].startswith(failed["message"])


@needs_postgres
def test_a_scheduled_run_outlives_its_worker_the_database_and_the_server(
    team: Team, scheduled: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flow_run_id, store = scheduled["id"], team.store
    assert "auto-scheduled" in scheduled["tags"]
    assert eventually(lambda: _epochs(store)), team.logs()
    before = _finished(store)
    team.host_of(flow_run_id).crash()
    assert team.limit("training")["active_slots"] >= 1
    epochs = _epochs(store)
    auth = team.member["PREFECT_API_AUTH_STRING"]
    # The worker that could still report the crash is gone, too.
    monkeypatch.setattr("flowers17.commands.recovery.LATE_REPORT_S", 1.0)
    words = ("recover", "--json", "--store", str(store))
    code, printed, complaints = _called(team, *words, auth=auth)
    assert code == 0, complaints
    (recovered,) = json.loads(printed)
    assert (recovered["flow_run_id"], recovered["resumed"]) == (flow_run_id, "worker")

    assert eventually(lambda: _epochs(store) - epochs), team.logs()  # at the other worker
    assert before.items() <= _finished(store).items()
    team.database.stop()
    trained = eventually(lambda: list(store.glob(f"training/*/{MANIFEST}")))
    assert trained, "expected it to end meanwhile"
    team.end(signal.SIGTERM)
    team.database.start()
    team.start_server()
    team.reaches(flow_run_id, "COMPLETED")
    assert before.items() <= _finished(store).items(), "something finished was made again"
    request = validated(FORMS["learners"], scheduled["parameters"]["request"])
    undisturbed = built(parts(request.settings, request.options), tmp_path / "undisturbed")
    digests = _digests(store)
    assert any(label.startswith("tiny, report split") for label in digests)
    assert digests.items() <= _digests(undisturbed.root).items()
    assert told(lambda: team.limit("training")["active_slots"] == 0)  # those of the dead, too


def _epochs(store: Path) -> set[tuple[str, int]]:
    """Names and times of the checkpoints of trainings that are under way."""
    checkpoints = set()
    for path in store.glob(".unfinished/*/weights-*"):
        with suppress(FileNotFoundError):  # a later one has replaced it
            checkpoints.add((path.name, path.stat().st_mtime_ns))
    return checkpoints


def _finished(store: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of each manifest, which show whether an artifact was built again."""
    stats = {path: path.stat() for path in store.glob(f"[!.]*/*/{MANIFEST}")}
    return {str(path): (stat.st_ino, stat.st_mtime_ns) for path, stat in stats.items()}


def _digests(store: Path) -> dict[str, str]:
    """Digests of artifacts by label and key; without reports, which differ between flows."""
    return {
        f"{manifest['label']} {manifest['key']}": manifest["digest"]
        for manifest in Store(store).manifests()
        if manifest["stage"] != "study"
    }
