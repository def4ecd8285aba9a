"""The site as an ASGI application: addresses below `/flowers17/`, made of keys.

It trusts whoever reaches it; `flows.access` decides who does. Pages run one script of ours, on the
page that takes a photograph, and load nothing from elsewhere.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route

from flowers17.errors import ArtifactMissing, Flowers17Error, InvalidInput, StoreUnusable
from flowers17.site.pages import Pages
from flowers17.site.trial import MOST_BYTES, TooBusy, TooLarge, TrialOptions, Trials

PREFIX = "/flowers17"
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; script-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# Reports and other files of a store run no script, whoever wrote them.
_FILE_POLICY = _POLICY.replace("script-src 'self'; connect-src 'self'; ", "")
_STATUS = {
    ArtifactMissing: 404,
    TooLarge: 413,
    InvalidInput: 400,
    TooBusy: 503,
    StoreUnusable: 503,
}


def site(options: TrialOptions, *, ui: str | None = None) -> Starlette:
    """The site of a store; ui: as in `Pages`."""
    pages, trials = Pages(options.store, ui), Trials(options)

    def page(show: Callable[..., str], *names: str) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            values = {**request.query_params, **request.path_params}
            return _sealed(HTMLResponse(show(*(values.get(name, "") for name in names))))

        return endpoint

    def file(stage: str) -> Callable[[Request], Response]:
        def endpoint(request: Request) -> Response:
            key, name = request.path_params["key"], request.path_params.get("name", "index.html")
            content, media_type = pages.file(stage, key, name)
            response = Response(content, media_type=media_type)
            if media_type == "application/octet-stream":
                response.headers["content-disposition"] = "attachment"
            return _sealed(response, _FILE_POLICY)

        return endpoint

    async def attempt(request: Request) -> Response:
        if int(request.headers.get("content-length", 0)) > MOST_BYTES:
            raise TooLarge
        photograph = bytearray()
        try:
            async for chunk in request.stream():
                photograph += chunk
                if len(photograph) > MOST_BYTES:
                    raise TooLarge
            model = await asyncio.to_thread(pages.model, request.query_params.get("model", ""))
            answer = await trials.answer(model, bytes(photograph))
            return _sealed(HTMLResponse(await asyncio.to_thread(pages.answer, model, answer)))
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        except asyncio.CancelledError:
            return Response("The server ends.", 503, media_type="text/plain")

    async def refusal(request: Request, problem: Exception) -> Response:
        status = next((code for kind, code in _STATUS.items() if isinstance(problem, kind)), 500)
        if request.method == "POST":
            reply = Response(str(problem), status, media_type="text/plain")
            if status == 413:  # what follows is not read
                reply.headers["connection"] = "close"
            return _sealed(reply)
        return _sealed(HTMLResponse(pages.problem(str(problem)), status))

    async def absence(request: Request, problem: Exception) -> Response:
        text = f"There is no page at {request.url.path[:200]}."
        return _sealed(HTMLResponse(pages.problem(text), 404))

    def script(request: Request) -> Response:
        path = Path(__file__).parent / "templates" / "try.js"
        return _sealed(Response(path.read_bytes(), media_type="text/javascript"))

    routes = [
        Route("/", page(pages.index)),
        Route("/reports/{key}/", file("study")),
        Route("/reports/{key}/{name:path}", file("study")),
        Route("/compare", page(pages.compared, "left", "right")),
        Route("/metrics", page(pages.metrics, "metric")),
        Route("/sweeps/{key}/", page(pages.sweep, "key")),
        Route("/sweeps/{key}/{name:path}", file("sweep")),
        Route("/try", page(pages.trial, "model")),
        Route("/try", attempt, methods=["POST"]),
        Route("/try.js", script),
    ]

    @asynccontextmanager
    async def lifespan(application: Starlette) -> AsyncIterator[None]:
        yield
        trials.close()

    return Starlette(
        routes=[
            Route("/", lambda request: RedirectResponse(f"{PREFIX}/")),
            Mount(PREFIX, routes=routes),
        ],
        exception_handlers={Flowers17Error: refusal, 404: absence},
        lifespan=lifespan,
    )


def _sealed(response: Response, policy: str = _POLICY) -> Response:
    response.headers["content-security-policy"] = policy
    response.headers["referrer-policy"] = "same-origin"
    response.headers["cache-control"] = "no-cache"
    return response
