"""The pages of the site over studies made by hand, and who gets them."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from flowers17.artifacts import Artifact, Store
from flowers17.digests import sha256_of
from flowers17.profiles import PROFILES
from flowers17.shared.store import open_store
from flowers17.site.application import site
from flowers17.site.pages import nearest_profile
from flowers17.site.trial import MOST_BYTES, MOST_WAITING, TrialOptions, Trials
from flows.access import guarded
from flows.server import beside, site_of
from tests.support.made_studies import made_study, results, row
from tests.support.object_storage import object_storage
from tests.support.processes import HANG_S, ROOT, environment, free_port, output_of
from tests.support.stores import material, publish
from tests.unit.prediction.made_models import Maker, network

RUN = "01234567-89ab-cdef-0123-456789abcdef"
HEADLINE = {
    "kind": "best ensemble",
    "title": "Stacking <of> three",
    "where": "clean split",
    "accuracy": 0.9364,
    "interval": [0.874, 0.999],
    "tag": "",
}
PAGE = b"<!DOCTYPE html><title>the report</title><script>1</script>"


def _study(store: Store, label: str, created: str, seed: int, **manifest: Any) -> Artifact:
    """Publish a study with a page, whose run built one of its two inputs and missed a third."""
    settings = {**PROFILES["quick"].model_dump(mode="json"), "seed": seed}
    own = publish(store, sha256_of(m := material(own=created)), stage="images", material=m, run=RUN)
    earlier = publish(store, sha256_of(m := material(old=created)), stage="splits", material=m)
    data = {"source": "oxford17", "digest": f"{seed:064}", "is_oxford17": True}
    rows = [row("knn", accuracy=0.5 + seed / 100)]
    content = results(rows, settings=settings, headline=HEADLINE, data=data)
    materials = material({"settings": settings}, seed=seed)
    inputs = {"images@8": own.reference.to_json(), "splits": earlier.reference.to_json()}
    return publish(
        store,
        sha256_of(materials),
        {
            "index.html": PAGE,
            "results.json": json.dumps(content).encode(),
            "tables/table-08.csv": b"a,b\n",
            "figures/figure-01.svg": b"<svg/>",
            "notes.exe": b"MZ",
        },
        stage="study",
        label=label,
        created=created,
        material=materials,
        inputs={**inputs, "features vgg16": None},
        **manifest,
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store with three studies, one of a run that is known, and a sweep."""
    store = Store(tmp_path_factory.mktemp("site") / "store")
    made_study(store.root, created="2026-01-01T00:00:00Z", metrics={"n_cells": 4})
    for number, accuracy in enumerate((0.8, 0.9)):
        created, metrics = f"2026-02-0{number + 1}T00:00:00Z", {"best accuracy": accuracy}
        _study(store, "report on x", created, 17 + number, metrics=metrics, run=RUN)
    totals = {
        "flow": "study",
        "combinations": [{"combination": "seed=17", "study": f"study/{'a' * 64}"}],
        "failed": ["seed=<b>"],
        "metrics": [
            {"group": "all", "metric": "best accuracy", "n": 2, "mean": 0.85, "spread": 0.05}
            | {"best": 0.9, "best_of": "seed=18"}
        ],
    }
    publish(
        store,
        files={"sweep.json": json.dumps(totals).encode(), "sweep-metrics.csv": b"a\n"},
        stage="sweep",
        label="sweep of study over seed",
        metrics={"combinations": 2},
    )
    return store


@pytest.fixture(scope="module")
def client(store: Store) -> Iterator[TestClient]:
    with TestClient(site(TrialOptions(store.address), ui="")) as client:
        yield client


def _key(store: Store, stage: str, n: int = -1) -> str:
    manifests = [manifest for manifest in store.manifests() if manifest["stage"] == stage]
    return sorted(manifests, key=lambda manifest: manifest["created"])[n]["key"]


def _text(client: TestClient, path: str, status: int = 200) -> str:
    """A page without its style and its tags."""
    reply = client.get(f"/flowers17/{path}")
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    body = re.sub(r"<style>.*?</style>", "", reply.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body))


class TestIndex:
    def test_says_of_each_study_what_it_is_and_what_its_run_made(self, client: TestClient) -> None:
        newest = _text(client, "").partition("report on x")[2].partition("report on x")[0]
        assert "2026-02-02 00:00 UTC" in newest
        assert " quick oxford17 18 0.936 0.874–0.999 best ensemble: Stacking" in newest
        assert f"1 1 1 {RUN[:8]}" in newest  # built, cached, missing, run

    def test_links_to_reports_runs_and_sweeps(self, client: TestClient, store: Store) -> None:
        text = client.get("/flowers17/").text
        assert f'href="/flowers17/reports/{_key(store, "study")}/"' in text
        assert f'href="/runs/flow-run/{RUN}"' in text
        assert f'href="/flowers17/sweeps/{_key(store, "sweep")}/"' in text

    def test_escapes_what_a_store_says(self, client: TestClient) -> None:
        assert "Stacking &lt;of&gt; three" in client.get("/flowers17/").text

    def test_of_an_empty_store_says_how_to_fill_it(self, tmp_path: Path) -> None:
        client = TestClient(site(TrialOptions(str(tmp_path))))
        assert "flowers17 run study" in _text(client, "")
        assert "flowers17 run ensemble" in _text(client, "try")
        assert "No study" in _text(client, "metrics")

    def test_of_no_store_says_so(self, tmp_path: Path) -> None:
        client = TestClient(site(TrialOptions(str(tmp_path / "none"))))
        assert "expected the folder of a store" in _text(client, "", 400)

    def test_names_the_profile_that_settings_are_nearest_to(self) -> None:
        for name, profile in PROFILES.items():
            settings = profile.model_dump(mode="json")
            assert nearest_profile({**settings, "seed": 3, "dataset": {}}) == name
            settings["splits"]["n_repeats"] += 1
            assert nearest_profile(settings) == f"{name}, 1 setting changed"


class TestReports:
    @pytest.mark.parametrize(
        ("name", "media_type"),
        [
            ("", "text/html; charset=utf-8"),
            ("index.html", "text/html; charset=utf-8"),
            ("results.json", "application/json"),
            ("tables/table-08.csv", "text/csv; charset=utf-8"),
            ("figures/figure-01.svg", "image/svg+xml"),
            ("notes.exe", "application/octet-stream"),
        ],
    )
    def test_are_their_files_as_published_and_run_nothing(
        self, client: TestClient, store: Store, name: str, media_type: str
    ) -> None:
        key = _key(store, "study")
        reply = client.get(f"/flowers17/reports/{key}/{name}")
        published = store.folder("study", key) / (name or "index.html")
        assert (reply.status_code, reply.content) == (200, published.read_bytes())
        assert reply.headers["content-type"] == media_type
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src" not in policy
        assert ("content-disposition" in reply.headers) is (name == "notes.exe")

    def test_have_addresses_of_their_own(self, client: TestClient, store: Store) -> None:
        address = f"/flowers17/reports/{_key(store, 'study')}"
        assert (
            client.get(address, follow_redirects=False).headers["location"].endswith(f"{address}/")
        )

    @pytest.mark.parametrize(
        "path",
        [
            "reports/{key}/manifest.json",
            "reports/{key}/%2e%2e/{key}/index.html",
            "reports/{key}/..%2f..%2fsecret",
            "reports/{key}/none.html",
            "reports/../images/{key}/",
            "reports/%2e%2e/",
            "reports/KEY/",
            "reports/{other}/",
            "sweeps/{key}/",
            "sweeps/{sweep}/index.html",
            "nothing",
            "images",
        ],
    )
    def test_hold_only_what_their_manifest_lists(
        self, client: TestClient, store: Store, path: str
    ) -> None:
        (store.root / "secret").write_text("secret")
        keys = {"key": _key(store, "study"), "sweep": _key(store, "sweep"), "other": "f" * 64}
        text = _text(client, path.format(**keys), 404)
        assert "secret" not in text.replace("..%2fsecret", "").replace("../../secret", "")

    def test_have_keys_that_may_be_shortened_as_long_as_they_name_one(
        self, client: TestClient, store: Store
    ) -> None:
        key, sweep = _key(store, "study"), _key(store, "sweep")
        assert client.get(f"/flowers17/reports/{key[:12]}/").content == PAGE
        assert client.get(f"/flowers17/reports/{key[:12]}/tables/table-08.csv").content == b"a,b\n"
        assert "best accuracy all 2" in _text(client, f"sweeps/{sweep[:12]}/")
        short = key[:3]
        assert "expected the key of an artifact" in _text(client, f"reports/{short}/", 404)

    @pytest.mark.parametrize("place", ["file", "folder", "stage"])
    def test_lead_through_no_link(self, tmp_path: Path, place: str) -> None:
        store = Store(tmp_path / "store")
        key = _study(store, "report", "2026-02-01T00:00:00Z", 17).reference.key
        path = {
            "file": store.folder("study", key) / "index.html",
            "folder": store.folder("study", key),
            "stage": store.root / "study",
        }[place]
        path.rename(tmp_path / "moved")
        path.symlink_to(tmp_path / "moved")
        reply = TestClient(site(TrialOptions(store.address))).get(f"/flowers17/reports/{key}/")
        assert reply.status_code == 500
        assert b"the report" not in reply.content

    def test_are_refused_once_their_bytes_are_others(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        key = _study(store, "report", "2026-02-01T00:00:00Z", 17).reference.key
        (store.folder("study", key) / "index.html").write_bytes(PAGE[:-1] + b"!")
        client = TestClient(site(TrialOptions(store.address)))
        assert "not those published" in _text(client, f"reports/{key}/", 500)


class TestComparison:
    def test_is_that_of_the_command_at_an_address_of_two_keys(
        self, client: TestClient, store: Store
    ) -> None:
        left, right = _key(store, "study", -2), _key(store, "study")
        text = _text(client, f"compare?left={left}&right={right}")
        assert "Two studies compared" in text
        assert "seed: 17 → 18" in text
        assert "knn accuracy 0.6700 0.6800 +0.0100" in text
        for key in (left, right):
            assert (
                f"/flowers17/reports/{key}/"
                in client.get(f"/flowers17/compare?left={left}&right={right}").text
            )

    def test_without_two_keys_is_a_choice(self, client: TestClient, store: Store) -> None:
        left = _key(store, "study", 0)
        text = client.get(f"/flowers17/compare?left={left}").text
        assert text.count('type="radio"') == 6
        assert re.search(rf'name="left" value="{left}"[^>]* checked', text)

    @pytest.mark.parametrize("key", ["../x", "%00", "zz", "a" * 65])
    def test_of_what_is_no_key_is_refused(self, client: TestClient, key: str) -> None:
        text = _text(client, f"compare?left={key}&right=ab", 400)
        assert "left: expected the key of a study" in text
        assert "right: expected the key of a study" in text
        assert "got &#39;ab&#39;" in text

    def test_of_an_unknown_key_is_not_there(self, client: TestClient) -> None:
        text = _text(client, f"compare?left={'e' * 64}&right={'f' * 64}", 404)
        assert re.search("left: .*expected an artifact .{1,6}study/e{64}.{1,6}, found none", text)
        assert re.search("right: .*expected an artifact .{1,6}study/f{64}.{1,6}, found none", text)

    def test_one_wrong_key_is_told_alone(self, client: TestClient, store: Store) -> None:
        text = _text(client, f"compare?left={_key(store, 'study')}&right={'f' * 64}", 404)
        assert "right: " in text
        assert "left: " not in text


class TestMetrics:
    def test_are_points_in_the_order_of_time_with_what_changed(self, client: TestClient) -> None:
        text = client.get("/flowers17/metrics?metric=best+accuracy").text
        points = re.findall(r'<circle class="s0" cx="([\d.]+)" cy="([\d.]+)" r="5">', text)
        (x, y), (later_x, later_y) = [tuple(map(float, point)) for point in points]
        assert x < later_x
        assert y > later_y  # 0.8, then 0.9 above it
        assert f'points="{x},{y} {later_x},{later_y} "' in text
        assert "0.9000 +0.1000 seed: 17 → 18" in _text(client, "metrics?metric=best+accuracy")

    def test_are_chosen_from_those_that_are_numbers(self, client: TestClient) -> None:
        text = client.get("/flowers17/metrics").text
        assert re.findall(r"<option(?: selected)?>([^<]*)</option>", text) == [
            "best accuracy",
            "n_cells",
        ]
        assert "expected a metric of its studies" in _text(client, "metrics?metric=other", 400)


def test_a_sweep_shows_its_studies_and_metrics(client: TestClient, store: Store) -> None:
    key = _key(store, "sweep")
    text = _text(client, f"sweeps/{key}/")
    assert "best accuracy all 2 0.8500 0.0500 0.9000 seed=18" in text
    assert "seed=&lt;b&gt; failed, counted nowhere" in text
    assert client.get(f"/flowers17/sweeps/{key}/sweep-metrics.csv").content == b"a\n"


class TestPages:
    @pytest.mark.parametrize("path", ["", "compare", "metrics", "try", "nothing"])
    def test_load_nothing_from_elsewhere_and_run_only_our_script(
        self, client: TestClient, path: str
    ) -> None:
        reply = client.get(f"/flowers17/{path}")
        policy = reply.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "script-src 'self'; connect-src 'self'; form-action 'self'" in policy
        assert re.findall(r'(?:src|href|action)="(?!/|#|data:,)', reply.text) == []

    def test_are_of_the_library_alone(self) -> None:
        code = "import sys; from flowers17.site.application import site; print(*sys.modules)"
        loaded = {name.partition(".")[0] for name in output_of(code).split()}
        assert loaded & {"prefect", "tensorflow", "keras", "matplotlib"} == set()


class TestUpload:
    """Photographs that are refused before a process is started to look at them."""

    def test_of_too_many_bytes_is_refused_as_they_come(self, client: TestClient) -> None:
        received = 0

        def body() -> Iterator[bytes]:
            nonlocal received
            while received < 2 * MOST_BYTES:
                received += 2**20
                yield bytes(2**20)

        reply = client.post("/flowers17/try?model=training/ab", content=body())
        refusal = (413, "photograph: expected at most 20,971,520 bytes, got more")
        assert (reply.status_code, reply.text) == refusal
        declared = {"content-length": str(MOST_BYTES + 1)}
        reply = client.post("/flowers17/try?model=training/ab", content=b"x", headers=declared)
        assert (reply.status_code, reply.text) == refusal
        assert reply.headers["connection"] == "close"

    def test_waits_behind_few_others(self, store: Store) -> None:
        trials = Trials(TrialOptions(store.address))
        trials._n_waiting = MOST_WAITING
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("flowers17.site.application.Trials", lambda options: trials)
            client = TestClient(site(TrialOptions(store.address)))
        for model, status in ((f"training/{'f' * 64}", 503), ("mk-2", 400), ("", 400)):
            reply = client.post(f"/flowers17/try?model={model}", content=b"x")
            assert (reply.status_code, trials._process) == (status, None)


class TestAccess:
    """The same guard and password as the UI's."""

    PASSWORD = "admin:open sesame"

    @pytest.fixture
    def guarded_client(self, store: Store) -> TestClient:
        async def other(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"the UI"})

        own_site = site_of(store.address, self.PASSWORD, ui="")
        application = guarded(beside(other, own_site), hosts={"testserver"}, same_user=False)
        return TestClient(application)

    def test_needs_the_password_below_its_prefix_only(self, guarded_client: TestClient) -> None:
        for path in ("/flowers17/", "/flowers17", "/flowers17/reports/x/", "/flowers17/try.js"):
            reply = guarded_client.get(path)
            assert (reply.status_code, reply.headers["www-authenticate"][:5]) == (401, "Basic")
            assert guarded_client.get(path, auth=("admin", "open")).status_code == 401
        user, password = self.PASSWORD.split(":")
        assert "Studies" in guarded_client.get("/flowers17/", auth=(user, password)).text
        for path in ("/", "/flowers17x", "/api/flowers17/"):
            assert guarded_client.get(path).text == "the UI"

    @pytest.mark.parametrize(
        "headers",
        [
            {"host": "elsewhere.example"},
            {"origin": "http://elsewhere.example"},
            {"sec-fetch-site": "cross-site", "sec-fetch-dest": "image"},
        ],
    )
    def test_is_refused_to_other_pages(
        self, guarded_client: TestClient, headers: dict[str, str]
    ) -> None:
        auth = ("admin", "open sesame")
        assert guarded_client.get("/flowers17/", headers=headers, auth=auth).status_code == 403

    def test_of_a_photograph_needs_a_page_of_this_server(self, guarded_client: TestClient) -> None:
        reply = guarded_client.post("/flowers17/try", content=b"x", auth=("admin", "open sesame"))
        assert (reply.status_code, "Content-Type" in reply.text) == (403, True)
        assert "sends the header `Origin: http://testserver`" in reply.text
        own = {"origin": "http://testserver"}
        reply = guarded_client.post(
            "/flowers17/try?model=x", content=b"x", headers=own, auth=("admin", "open sesame")
        )
        assert (reply.status_code, "expected a name in the store" in reply.text) == (400, True)


def test_a_wrong_model_on_the_page_that_takes_a_photograph_is_told(
    client: TestClient, tmp_path: Path
) -> None:
    text = _text(client, "try?model=training/0000", 400)
    assert "training/0000&#39;: expected a name in the store" in text
    maker = Maker(Store(tmp_path))
    known = network(maker, "tiny, clean split")
    fold = network(maker, "tiny, clean fold 1", kind="fold")
    own = TestClient(site(TrialOptions(str(tmp_path))))
    for artifact in (known, fold):
        key = artifact.reference.key
        chosen = f'value="training/{key}" selected'
        assert chosen in own.get(f"/flowers17/try?model=training/{key[:12]}").text
    assert "there are: tiny, clean split" in _text(own, "try?model=mk-9", 400)


def test_the_command_ends_when_told_though_uploads_were_aborted_or_stall(store: Store) -> None:
    port = free_port()
    code = "from flowers17.cli import main; main()"
    arguments = ["site", "--store", store.address, "--port", str(port)]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert f"127.0.0.1:{port}/flowers17/" in process.stdout.readline()

        def upload(n_declared: int, *sent: bytes) -> socket.socket:
            connection = socket.create_connection(("127.0.0.1", port), timeout=120)
            head = f"POST /flowers17/try?model=x HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
            head += f"Origin: http://127.0.0.1:{port}\r\nContent-Length: {n_declared}\r\n\r\n"
            connection.sendall(b"".join([head.encode(), *sent]))
            return connection

        with upload(MOST_BYTES + 1) as refused:  # from the header: nothing of it was sent
            answer = b"".join(iter(lambda: refused.recv(4096), b""))  # the server ends it
            assert answer.startswith(b"HTTP/1.1 413 ")
        upload(1000, b"x").close()
        with upload(1000, b"x"):
            process.send_signal(signal.SIGTERM)
            assert process.wait(HANG_S) in (0, -signal.SIGTERM)
        assert "Traceback" not in process.stdout.read()


def test_the_site_of_a_store_in_object_storage_shows_what_it_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with object_storage(tmp_path) as storage:
        for name, value in storage.variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("FLOWERS17_CACHE", str(tmp_path / "cache"))
        own = open_store(storage.address)
        left, right = (
            _study(own, "report on x", f"2026-02-0{n}T00:00:00Z", 16 + n).reference.key
            for n in (1, 2)
        )
        tiny = network(Maker(own), "tiny, clean split").reference
        monkeypatch.setenv("FLOWERS17_CACHE", str(tmp_path / "another"))  # of another machine
        client = TestClient(site(TrialOptions(storage.address)))
        index = client.get("/flowers17/").text
        assert all(f'href="/flowers17/reports/{key}/"' in index for key in (left, right))
        for key in (right, right[:16]):
            assert client.get(f"/flowers17/reports/{key}/").content == PAGE
            assert client.get(f"/flowers17/reports/{key}/results.json").status_code == 200
        assert "seed: 17 → 18" in _text(client, f"compare?left={left}&right={right}")
        assert f'value="training/{tiny.key}"' in client.get("/flowers17/try").text
        assert "found none" in _text(client, f"reports/{'e' * 64}/", 404)
    assert "does not answer" in _text(client, "", 503)


def test_the_command_without_a_store_says_so(tmp_path: Path) -> None:
    end = subprocess.run(
        [sys.executable, "-c", "from flowers17.cli import main; main(['site', '--store', 'none'])"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (end.returncode, "expected the folder of a store" in end.stderr) == (2, True)
