"""Who may ask, and what every answer carries: the outermost layer of the service, around all of its pages and endpoints.

A request passes the checks of Host (DNS rebinding), Origin and Sec-Fetch-Site (other sites' pages in the user's browser), token and
announced length, in this order, before anything of its body is read. Nothing that goes wrong inside is told to the client or logged
but its kind and place: messages may hold names of photos.
"""

from __future__ import annotations

import hmac
import logging
import re
import traceback
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from camtrace.web.body import Body, Held, too_large
from camtrace.web.settings import Settings, is_loopback

POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; worker-src 'self'; "
    "object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_API = "/api/"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?", re.IGNORECASE)
_log = logging.getLogger("camtrace.web")


class Guard:
    """The checks around an application."""

    def __init__(self, app: ASGIApp, *, settings: Settings, held: Held) -> None:
        self._app, self._settings, self._held = app, settings, held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the start and the end of the service."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = Body(scope, receive, limits=self._settings.limits, held=self._held)
        answer = _Answer(scope, body, send)
        try:
            refuse(scope, self._settings, body)
            await self._app(scope, body.receive, answer.send)
        except ClientDisconnect:
            pass  # nobody is left to be told
        except HTTPException as error:
            await to_json(error)(scope, receive, answer.send)
        except Exception as error:
            _log.error("unexpected %s at %s", type(error).__name__, _place(error))
            if answer.begun:
                raise _BrokenError from None  # the server closes the connection, so that half an answer is not taken for a whole one
            await to_json(HTTPException(500, "something went wrong in the service"))(scope, receive, answer.send)
        finally:
            body.release()


class _BrokenError(Exception):
    """An answer that stopped in the middle."""


class _Answer:
    """What is sent back, with the headers that all answers carry."""

    def __init__(self, scope: Scope, body: Body, send: Send) -> None:
        self._path, self._body, self._send = str(scope["path"]), body, send
        self.begun = False

    async def send(self, message: Message) -> None:
        """Send on, once a body that was not read to its end is out of the way."""
        if message["type"] == "http.response.start":
            self.begun = True
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store" if self._path.startswith(_API) else "no-cache")
            slow = message["status"] == 408  # there is nothing to wait for
            if not (self._body.finished or (not slow and await self._body.drain())):
                headers["Connection"] = "close"
        await self._send(message)


def refuse(scope: Scope, settings: Settings, body: Body) -> None:
    """Raise HTTPException where a request must not be answered: 400, 401, 403, 413 or 421."""
    headers, path = Headers(scope=scope), str(scope["path"])
    host = headers.get("host", "")
    if (settings.loopback or settings.hosts) and not is_ours(host, settings):
        raise HTTPException(421, "this service is not reached by that name; see --allow-host")
    if (path.startswith(_API) or scope["method"] not in _SAFE) and is_foreign(headers, host):
        raise HTTPException(403, "requests from other sites' pages are refused")
    if settings.token is not None and path.startswith(_API) and not _knows(headers, settings.token):
        raise HTTPException(401, "this service wants its token: Authorization: Bearer TOKEN", {"WWW-Authenticate": "Bearer"})
    if "transfer-encoding" in headers and "content-length" in headers:  # a proxy may see another end of it than we do
        raise HTTPException(400, "both Transfer-Encoding and Content-Length", {"Connection": "close"})
    if body.announced > settings.limits.upload:
        raise too_large(settings.limits)


def is_ours(host: str, settings: Settings) -> bool:
    """Whether a Host header names this service: the loopback, or what it was told to be called."""
    found = _HOST.fullmatch(host)
    if not found:
        return False
    name = found[1].lower()
    return is_loopback(name) or name in {known.lower() for known in settings.hosts}


def is_foreign(headers: Headers, host: str) -> bool:
    """Whether a browser says that the request comes from another site's page; programs say nothing of the kind."""
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return True
    origin = headers.get("origin")
    if origin is None:
        return False
    try:
        return urlsplit(origin).netloc.lower() != host.lower()
    except ValueError:
        return True


def _knows(headers: Headers, token: str) -> bool:
    """Compared in a time that does not tell how much of it is right."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    return hmac.compare_digest(given.strip().encode("latin-1", "replace"), token.encode()) and scheme.lower() == "bearer"


def to_json(error: HTTPException) -> Response:
    """Every refusal has one shape."""
    return JSONResponse({"error": error.detail}, error.status_code, headers=error.headers)


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else "an unknown place"
