"""The addresses of the service: `create_app` makes the application, `serve` runs it.

POST /api/identify, inspect, localize, compare, enroll, report      photos as multipart/form-data in the field `photos`
GET  /api/cameras, bundles; /healthz; /openapi.json; / and the page's files
"""

from __future__ import annotations

import contextlib
import json
import mimetypes
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import uvicorn
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

import camtrace
from camtrace.types import CamtraceError
from camtrace.web import models
from camtrace.web.guards import Guard, to_json
from camtrace.web.protocol import make_protocol
from camtrace.web.service import Service, mode_of
from camtrace.web.settings import Settings
from camtrace.web.uploads import Sent, Upload

PAGE = Path(__file__).parent / "page"
_KINDS = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm", ".svg": "image/svg+xml"}
_REPORTS = {"html": "text/html; charset=utf-8", "pdf": "application/pdf"}
_SHUT = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox; frame-ancestors 'none'"
"""The policy of a report, should anybody open it where it came from: it holds pictures and styles, and no scripts."""

BundleQuery = Annotated[str | None, Query(description="Name of the bundle, where the form does not say it.")]
ModeQuery = Annotated[str | None, Query(description="careful, balanced or guess, where the form does not say it.")]
FormatQuery = Annotated[str | None, Query(description="html or pdf, where the form does not say it.")]


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application, for any ASGI server; `serve` adds the time limits of connections.

    Raises
    ------
    SettingsError
        A service that must not be started like this.
    BundleError
        A bundle cannot be used.
    """
    service = Service(settings or Settings())
    app = FastAPI(title="camtrace", version=camtrace.__version__, docs_url=None, redoc_url=None, lifespan=service.lifespan)
    app.state.service = service
    app.add_middleware(Guard, settings=service.settings, held=service.held)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    _add_judging(app, service)
    _add_comparing(app, service)
    _add_making(app, service)
    _add_facts(app, service)
    _add_rest(app)
    _describe(app, service.settings)
    for ending, kind in _KINDS.items():
        mimetypes.add_type(kind, ending)  # what the system says may be wrong, and browsers then refuse a module
    if (PAGE / "index.html").is_file():
        app.mount("/", StaticFiles(directory=PAGE, html=True))
    return app


def _add_judging(app: FastAPI, service: Service) -> None:
    """The endpoints that say which camera it was."""

    @app.post("/api/identify", responses=models.answers("Verdicts"), openapi_extra=models.body(models.MODE), response_class=Response)
    async def identify(request: Request, mode: ModeQuery = None, bundle: BundleQuery = None) -> Response:
        """Say which camera model took each photo: what `camtrace identify --to json` prints."""
        upload = await service.read(request)
        served, chosen = service.bundle(upload.field("bundle", bundle)), mode_of(upload, mode)
        jobs = [service.job("identify", [photo], served, mode=chosen) for photo in upload.photos]
        return _json({"verdicts": await service.judge(request, jobs)})

    @app.post(
        "/api/inspect",
        responses=models.answers("Inspection"),
        openapi_extra=models.body(models.MODE, most=1),
        response_class=Response,
    )
    async def inspect(request: Request, mode: ModeQuery = None, bundle: BundleQuery = None) -> Response:
        """Say which camera model took a photo, and what that rests on: patches and votes, history, EXIF facts."""
        upload = await service.read(request)
        served, chosen = service.bundle(upload.field("bundle", bundle)), mode_of(upload, mode)
        job = service.job("inspect", [_only_photo(upload)], served, mode=chosen)
        return _json((await service.judge(request, [job]))[0])


def _add_comparing(app: FastAPI, service: Service) -> None:
    """The endpoints that set photos, or parts of one, side by side."""

    @app.post("/api/compare", responses=models.answers("Likeness"), openapi_extra=models.body(least=2, most=2), response_class=Response)
    async def compare(request: Request, bundle: BundleQuery = None) -> Response:
        """Say whether two photos were taken by one camera model: what `camtrace compare --to json` prints."""
        upload = await service.read(request)
        if len(upload.photos) != 2:
            raise HTTPException(422, f"{len(upload.photos)} photos, expected two to compare")
        job = service.job("compare", upload.photos, service.bundle(upload.field("bundle", bundle)))
        return _json((await service.judge(request, [job]))[0])

    @app.post(
        "/api/localize",
        responses=models.answers("Localization", pictures="image/png"),
        openapi_extra=models.body(most=1),
        response_class=Response,
    )
    async def localize(request: Request, bundle: BundleQuery = None) -> Response:
        """Show where a photo does not fit itself: what `camtrace localize` prints as JSON, or the heat map with Accept: image/png."""
        upload = await service.read(request)
        photo, served = _only_photo(upload), service.bundle(upload.field("bundle", bundle))
        if _wants_picture(request.headers.get("accept", "")):
            answer = await service.make(request, service.job("heatmap", [photo], served))
            return Response(answer.blobs[0], media_type="image/png", headers={"Vary": "Accept"})
        found = (await service.judge(request, [service.job("localize", [photo], served)]))[0]
        return _json(found, {"Vary": "Accept"})


def _add_making(app: FastAPI, service: Service) -> None:
    """The endpoints that make something new."""

    @app.post(
        "/api/enroll",
        responses=models.answers("Enrolled", 409, 507),
        openapi_extra=models.body(models.ENROLLING),
        response_class=Response,
    )
    async def enroll(request: Request, bundle: BundleQuery = None) -> Response:
        """Teach a new bundle from photos of cameras; other requests then name it."""
        upload = await service.read(request)
        return _json(await service.enroll(request, upload, base=service.bundle(upload.field("bundle", bundle))))

    @app.post(
        "/api/report",
        responses=models.answers("", 501, pictures="text/html application/pdf"),
        openapi_extra=models.body({**models.MODE, **models.FORMAT}, most=1),
        response_class=Response,
    )
    async def report(request: Request, mode: ModeQuery = None, bundle: BundleQuery = None, format: FormatQuery = None) -> Response:  # noqa: A002
        """Write the report of a photo: what `camtrace report` writes."""
        upload = await service.read(request)
        kind = upload.field("format", format) or "html"
        if kind not in _REPORTS:
            raise HTTPException(422, "the format of a report is html or pdf")
        photo, served = _only_photo(upload), service.bundle(upload.field("bundle", bundle))
        path = None if served.path is None else str(served.path)
        options = {"mode": mode_of(upload, mode), "format": kind, "path": path, "loaded": served.files is not None}
        answer = await service.make(request, service.job("report", [photo], served, **options))
        headers = {"Content-Disposition": f'attachment; filename="camtrace-report.{kind}"', "Content-Security-Policy": _SHUT}
        return Response(answer.blobs[0], media_type=_REPORTS[kind], headers=headers)


def _add_facts(app: FastAPI, service: Service) -> None:
    """The endpoints that only tell."""
    limits = service.settings.limits

    @app.get("/api/cameras", responses=models.answers("Cameras", 422, upload=False), response_class=Response)
    async def cameras(bundle: BundleQuery = None) -> Response:
        """List the cameras that a bundle knows: what `camtrace cameras --to json` prints."""
        return _json(service.bundle(bundle).cameras())

    @app.get("/api/bundles", responses=models.answers("Bundles", upload=False), response_class=Response)
    async def bundles() -> Response:
        """List the bundles that requests can name, and the limits of a request."""
        known = [
            {
                **{"name": one.name, "version": one.id.version, "cameras": len(one.manifest.cameras)},
                **{"default": one is service.shelf.default, "origin": one.origin},
            }
            for one in service.shelf
        ]
        return _json({"bundles": known, "limits": {"upload": limits.upload, "files": limits.files, "pixels": limits.pixels}})

    @app.get("/healthz", responses=models.answers("Health", upload=False), response_class=Response)
    async def healthz() -> Response:
        """Say that the service runs, and how many photos wait."""
        return _json({"status": "ok", "waiting": service.waiting})


def _add_rest(app: FastAPI) -> None:
    """What is none of these, before the page's files are searched for it."""

    @app.api_route("/api/{rest:path}", methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"], include_in_schema=False)
    async def nothing(request: Request) -> Response:
        """Say that there is no such endpoint, or how it is to be asked."""
        path = request.url.path
        allowed = {method for route in app.routes if getattr(route, "path", "") == path for method in getattr(route, "methods", ())}
        if not allowed:
            raise HTTPException(404, "there is no such endpoint; /openapi.json lists them")
        methods = ", ".join(sorted(allowed))
        raise HTTPException(405, f"{path} is asked with {methods}", {"Allow": methods})


def _describe(app: FastAPI, settings: Settings) -> None:
    """The OpenAPI document, with our own schemas in it."""

    def openapi() -> dict[str, Any]:
        if not app.openapi_schema:
            document = get_openapi(
                title=app.title,
                version=app.version,
                summary=camtrace.__doc__.split("\n")[0] if camtrace.__doc__ else None,
                routes=app.routes,
            )
            parts = document.setdefault("components", {})
            parts["schemas"] = models.schemas()
            if settings.token is not None:
                parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
                document["security"] = [{"token": []}]
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _only_photo(upload: Upload) -> Sent:
    if len(upload.photos) != 1:
        raise HTTPException(422, f"{len(upload.photos)} photos, expected one")
    return upload.photos[0]


def _wants_picture(accept: str) -> bool:
    """Whether a client names image/png, and before JSON if it names both."""
    named = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    return "image/png" in named and "application/json" not in named[: named.index("image/png")]


def _json(values: Any, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(values), media_type="application/json", headers=headers)


async def _refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return to_json(error)


async def _invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = "; ".join(f"{part['loc'][-1]}: {part['msg']}" for part in error.errors())
    return to_json(HTTPException(422, found))


def make_server(app: FastAPI) -> uvicorn.Server:
    """A server for an application, with the time limits of its settings, that logs nothing of requests."""
    limits = app.state.service.settings.limits
    config = uvicorn.Config(
        app,
        http=make_protocol(limits),
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=5,
    )
    return uvicorn.Server(config)


def serve(settings: Settings, *, on_listening: Callable[[str], object] = lambda _: None) -> None:
    """Serve until the process is told to stop; then every request that was accepted is still answered.

    `on_listening` is called with the service's address. Raises CamtraceError where it cannot listen, and as `create_app`.
    """
    app = create_app(settings)
    with listen(settings) as listener:
        host = f"[{settings.host.strip('[]')}]" if ":" in settings.host else settings.host
        on_listening(f"http://{host}:{listener.getsockname()[1]}/")
        with contextlib.suppress(KeyboardInterrupt):
            make_server(app).run(sockets=[listener])


def listen(settings: Settings) -> socket.socket:
    """The socket of a service. Raises CamtraceError where its address cannot be had."""
    host = settings.host.strip("[]")
    try:
        return socket.create_server((host, settings.port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=1024)
    except OSError as error:
        raise CamtraceError(
            f"cannot listen at {settings.host}, port {settings.port}: {error.strerror or error}; choose another --port or --host"
        ) from error
