"""A line to a server of data sets: one request at a time, paused, patient, and honest about who asks.

`urllib.request` of the standard library is enough for this. pooch, the usual choice for data sets, cannot go on with a partial
file; httpx and requests would be a dependency more and still leave resuming to us.
"""

from __future__ import annotations

import ssl
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException, HTTPResponse
from typing import IO, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit, urlunsplit

from camtrace import __version__
from camtrace.types import CamtraceError

USER_AGENT = f"camtrace/{__version__} (fetches research data sets; one connection, paused between requests)"
_CHUNK = 1 << 16
_LONGEST_WAIT_S = 60.0
_LONGEST_ASKED_WAIT_S = 300.0  # the most that a server's Retry-After is heeded
RANGE_NOT_THERE = 416  # the answer to a range that begins where the file has ended
_BUSY = (429, 500, 502, 503, 504)  # statuses that speak of the server, not of the file
_PASSING = (408, RANGE_NOT_THERE, 425, *_BUSY)  # statuses that another try may mend

Result = TypeVar("Result")


class TransferError(CamtraceError):
    """A file did not come: `again` says whether another try may help, `ready` whether there is a server that does its work."""

    def __init__(self, message: str, *, again: bool = True, ready: bool = True, status: int | None = None, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.again = again
        self.ready = ready
        self.status = status  # of HTTP, where that is what went wrong
        self.wait_s = wait_s  # what the server asked for


@dataclass(frozen=True)
class Manners:
    """How a server is treated: one request at a time, a pause before each, and waits that grow after a failure.

    `tries` counts tries in a row that brought nothing new; a file that grows with every try is not given up.
    """

    pause_s: float = 0.2
    tries: int = 5
    timeout_s: float = 30.0  # of silence
    sleep: Callable[[float], object] = time.sleep


class _WebOnly(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https and nowhere else, with the method that was asked with."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: object, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme not in ("http", "https"):
            raise HTTPError(newurl, code, f"a redirect to {newurl}, which is not followed", headers, fp)  # type: ignore[arg-type]
        onward = super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
        if onward is not None:
            onward.method = req.get_method()
        return onward


def _opener() -> urllib.request.OpenerDirector:
    """HTTP and HTTPS only: neither file: nor ftp: nor data:."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        *(urllib.request.ProxyHandler(), urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(), _WebOnly()),
        *(urllib.request.HTTPDefaultErrorHandler(), urllib.request.HTTPErrorProcessor(), urllib.request.UnknownHandler()),
    ):
        opener.add_handler(handler)
    return opener


@dataclass(frozen=True)
class Session:
    """The one line to a server."""

    manners: Manners = Manners()
    opener: urllib.request.OpenerDirector = field(default_factory=_opener)


def ask(session: Session, address: str, *, method: str = "GET", headers: dict[str, str] | None = None) -> HTTPResponse:
    """Pause, then ask; the answer is the caller's to read and to close. A status of 400 or more raises TransferError."""
    session.manners.sleep(session.manners.pause_s)
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **(headers or {})}
    try:
        request = urllib.request.Request(_quoted(address), headers=headers, method=method)
        if request.type not in ("http", "https"):
            raise TransferError(f"an address of {request.type}:; expected http or https", again=False)
        response: HTTPResponse = session.opener.open(request, timeout=session.manners.timeout_s)
    except HTTPError as error:
        with error:
            raise _refused(error) from None
    except (OSError, HTTPException) as error:
        raise _broken(error, answered=False) from error
    except ValueError as error:  # a host that cannot be written in ASCII, a port that is no number
        raise TransferError(f"not an address: {error}", again=False) from error
    return response


def ask_size(session: Session, address: str) -> int | None:
    """Bytes that a file has, by one HEAD request; None where the server does not say."""
    try:
        with ask(session, address, method="HEAD") as response:
            return _length(response)
    except TransferError:
        return None


def fetch_text(session: Session, address: str, *, limit: int) -> tuple[str, str]:
    """A text of at most `limit` bytes and the address that it came from in the end."""

    def attempt() -> tuple[str, str]:
        with ask(session, address) as response:
            expected, body = expected_size(response, known_hash=False), bytearray()
            while len(body) <= limit and (chunk := read_some(response)):
                body += chunk
            if len(body) > limit:
                raise TransferError(f"is longer than {limit} bytes", again=False)
            if expected is not None and len(body) < expected:
                raise TransferError(f"stopped at {len(body)} of {expected} bytes")
            return body.decode("utf-8", errors="replace"), response.geturl()

    return patiently(attempt, session.manners, reached=lambda: 0)


def patiently(attempt: Callable[[], Result], manners: Manners, *, reached: Callable[[], int]) -> Result:
    """Try until it works, or until `manners.tries` tries in a row took it no further than it had been."""
    tried, furthest = 0, reached()
    while True:
        try:
            return attempt()
        except TransferError as error:
            tried = 1 if reached() > furthest else tried + 1
            furthest = max(furthest, reached())
            if not error.again or tried >= manners.tries:
                raise
            manners.sleep(max(min(2.0 ** (tried - 1), _LONGEST_WAIT_S), error.wait_s))


def expected_size(response: HTTPResponse, *, known_hash: bool) -> int | None:
    """Bytes of a whole answer; None where the transfer itself, or a hash, tells a cut-off file from a whole one."""
    encoding = response.headers.get("Content-Encoding", "identity")
    if response.status != 200 or encoding != "identity":
        raise TransferError(f"HTTP {response.status} with encoding {encoding}; expected 200 and the file as it is", again=False)
    length = _length(response)
    if length is None and not known_hash and response.headers.get("Transfer-Encoding", "").lower() != "chunked":
        raise TransferError("the server does not say how long it is, so a cut-off file could not be told from a whole one", again=False)
    return length


def _length(response: HTTPResponse) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def read_some(response: HTTPResponse) -> bytes:
    """What has come, at most _CHUNK bytes; empty at the end. Never waits for a chunk to be full: what came is kept."""
    try:
        return response.read1(_CHUNK)
    except (OSError, HTTPException) as error:
        raise _broken(error, answered=True) from error


def _refused(error: HTTPError) -> TransferError:
    asked = error.headers.get("Retry-After", "")
    wait_s = min(float(asked), _LONGEST_ASKED_WAIT_S) if asked.isdecimal() else 0.0
    again, ready = error.code in _PASSING, error.code not in _BUSY
    return TransferError(f"HTTP {error.code} {error.reason}", again=again, ready=ready, status=error.code, wait_s=wait_s)


def _broken(error: OSError | HTTPException, *, answered: bool) -> TransferError:
    reason = error.reason if isinstance(error, URLError) else error
    certain = isinstance(reason, ssl.SSLCertVerificationError)
    what = "the connection broke" if answered else "no answer"
    return TransferError(f"{what}: {reason or type(error).__name__}", again=not certain, ready=answered)


def _quoted(address: str) -> str:
    """The address with what may not stand in a request escaped; what is escaped already stays as it is."""
    split = urlsplit(address)
    return urlunsplit(
        (split.scheme, split.netloc, quote(split.path, safe="/%:@!$&'()*+,;=~"), quote(split.query, safe="/%:@!$&'()*+,;=~?"), "")
    )
