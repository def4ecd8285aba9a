"""A page of somebody else in a real browser, which tries all that a page can try on a server.

The server is any of Prefect's API, as `serve` has it or `run`. `Bait` is what the page may change
or read there; its `harm` tells what the page did.
"""

import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from playwright.sync_api import Page

STRANGER = "hostile.example"  # resolves to loopback in this browser, as a name of anybody's may
OWN_NAME = "prefect.example.org"  # of a server, over http: to a browser no secure context
# And without what some browsers do themselves against pages that reach for loopback.
OPTIONS = (
    f"--host-resolver-rules=MAP {STRANGER} 127.0.0.1,MAP {OWN_NAME} 127.0.0.1",
    "--disable-features=LocalNetworkAccessChecks",
)
_SECRET = "planted-by-the-test"
_PAGE = "<!doctype html><title>hostile</title><body>"
_ATTEMPTS = """async ([api, deployment, bait]) => {
    const outcome = async (attempt) => {
        try { return String(await attempt()) } catch (problem) { return 'refused' }
    };
    const variable = (name) => JSON.stringify({name: `${bait}-${name}`, value: 1});
    const post = (name, rest) => outcome(async () => (await fetch(
        `${api}/variables/`, {method: 'POST', body: variable(name), ...rest})).type);
    const done = {};
    done.json = await post('json', {headers: {'Content-Type': 'application/json'}});
    done.version = await post('version', {headers: {'X-PREFECT-API-VERSION': '0.8.4'}});
    done.text = await post('text', {mode: 'no-cors'});
    done.blob = await post('blob', {mode: 'no-cors', body: new Blob([variable('blob')])});
    done.beacon = navigator.sendBeacon(`${api}/variables/`, new Blob([variable('beacon')]));
    done.method = await outcome(async () => (await fetch(
        `${api}/variables/name/${bait}`, {method: 'DELETE'})).type);
    done.read = await outcome(async () => (await fetch(`${api}/deployments/${deployment}`)).text());
    done.socket = await new Promise((resolve) => {
        const socket = new WebSocket(`${api.replace('http', 'ws')}/logs/out`, ['prefect']);
        socket.onopen = () => { resolve('open'); socket.close() };
        socket.onerror = () => resolve('refused');
    });
    const submitted = async (type) => {
        const frame = document.createElement('iframe');
        frame.name = type;
        document.body.append(frame);
        const form = document.createElement('form');
        Object.assign(form, {target: type, method: 'POST', enctype: type,
                             action: `${api}/deployments/${deployment}/pause_deployment`});
        document.body.append(form);
        const answered = new Promise((resolve) => frame.onload = () => resolve('answered'));
        form.submit();
        return answered;
    };
    done.form = await submitted('application/x-www-form-urlencoded');
    done.plain = await submitted('text/plain');
    return done;
}"""


class Bait:
    """A deployment that a page may pause or read, and a variable that it may delete.

    client: one of the owner's, whose base is the API's address with a slash behind it.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        flow = self._posted("flows/", {"name": "bait"})
        body = {"name": uuid.uuid4().hex, "flow_id": flow["id"], "description": _SECRET}
        self.deployment = str(self._posted("deployments/", body)["id"])
        self.name = f"bait-{self.deployment}"
        self._posted("variables/", {"name": self.name, "value": 1})
        self._before = self._variables()

    def _posted(self, path: str, body: Any) -> Any:
        return self._client.post(path, json=body).raise_for_status().json()

    def _variables(self) -> set[str]:
        return {variable["name"] for variable in self._posted("variables/filter", {})}

    def harm(self, outcomes: dict[str, Any]) -> list[str]:
        """Everything that the attempts created, changed or read; empty if they failed."""
        after = self._variables()
        harm = [f"created {name}" for name in sorted(after - self._before)]
        harm += [f"deleted {name}" for name in sorted(self._before - after)]
        deployment = self._client.get(f"deployments/{self.deployment}").raise_for_status().json()
        harm += ["paused"] if deployment["paused"] else []
        harm += ["read"] if _SECRET in str(outcomes) else []
        return harm + (["opened a websocket"] if outcomes.get("socket") == "open" else [])


def attempts(page: "Page", api: str, bait: Bait) -> dict[str, Any]:
    """The outcomes of all attempts, made by the open page."""
    outcomes = page.evaluate(_ATTEMPTS, [api, bait.deployment, bait.name])
    assert len(outcomes) == 10
    return dict(outcomes)


@contextmanager
def hostile_site() -> Iterator[int]:
    """Serve an empty page on a loopback port, which is yielded."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(_PAGE.encode())

        def log_message(self, *values: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


def rebound(page: "Page", port: int) -> str:
    """Open a page under a name that leads to the server itself; return its address.

    The page is put there by the browser, as one that was loaded before the name was rebound.
    """
    address = f"http://{STRANGER}:{port}"
    body = "<!doctype html><title>hostile</title>"
    page.route(
        f"{address}/hostile", lambda route: route.fulfill(body=body, content_type="text/html")
    )
    page.goto(f"{address}/hostile")
    return address
