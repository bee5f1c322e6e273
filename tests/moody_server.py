"""A real HTTP server on this machine that fails as real ones do, one mood for each answer."""

from __future__ import annotations

import random
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from camtrace.lab.download import Downloaded, Manners, download

Mood = Callable[["Handler", "Served"], None]
PAUSE = 0.25  # never slept; tells a pause from a wait
BODY = random.Random(0).randbytes(200_000)
NEW_BODY = random.Random(1).randbytes(200_000)


@dataclass
class Served:
    """A file, what the next answers about it do, and which headers go with it."""

    body: bytes
    moods: deque[Mood] = field(default_factory=deque)  # one for each GET; then `always`, or a good answer
    always: Mood | None = None
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"v1"'})
    heeds_if_range: bool = True
    answers_head: bool = True


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    headers: dict[str, str]


class Server(ThreadingHTTPServer):
    """Files by path, and a log of what was asked."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, files: dict[str, Served], log: list[Asked]) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.files, self.log, self.closing = files, log, threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hung up is what some tests are about."""


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Silence."""

    def do_HEAD(self) -> None:
        served = self._served()
        if served is not None:
            self.answer(200 if served.answers_head else 405, {"Content-Length": str(len(served.body)), **served.headers})

    def do_GET(self) -> None:
        served = self._served()
        if served is not None:
            mood = served.moods.popleft() if served.moods else (served.always or good)
            mood(self, served)

    def _served(self) -> Served | None:
        self.server.log.append(Asked(self.command, self.path, dict(self.headers.items())))
        served = self.server.files.get(self.path.partition("?")[0])
        if served is None:
            self.answer(404, {"Content-Length": "0"})
        return served

    def answer(self, status: int, headers: dict[str, str]) -> None:
        """Status and headers; the connection ends with the answer."""
        self.send_response(status)
        for name, value in {**headers, "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()

    def start_of_range(self, served: Served) -> int | None:
        """Where the asked range begins; None where the whole file is to be sent."""
        match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        mark = self.headers.get("If-Range")
        if match is None or (mark and served.heeds_if_range and mark not in served.headers.values()):
            return None
        return int(match[1])


def send(handler: Handler, served: Served, *, upto: int | None = None, told: int | None = None, start: int | None = None) -> None:
    """Send a file from `start`, but only `upto` a byte of it, telling a length of `told` bytes in all."""
    size = told or len(served.body)
    if start is not None and start >= len(served.body):
        handler.answer(416, {"Content-Length": "0", "Content-Range": f"bytes */{size}"})
        return
    ranged = {} if start is None else {"Content-Range": f"bytes {start}-{size - 1}/{size}"}
    handler.answer(200 if start is None else 206, {"Content-Length": str(size - (start or 0)), **ranged, **served.headers})
    handler.wfile.write(served.body[start or 0 : upto])


def good(handler: Handler, served: Served) -> None:
    send(handler, served, start=handler.start_of_range(served))


def ignores_range(handler: Handler, served: Served) -> None:
    send(handler, served)


def begins_elsewhere(handler: Handler, served: Served) -> None:
    """Answer with another range than the one that was asked for."""
    send(handler, served, start=handler.start_of_range(served) and 80_000)


def cut(upto: int) -> Mood:
    """Hang up after a byte of the file."""
    return lambda handler, served: send(handler, served, upto=upto, start=handler.start_of_range(served))


def cut_and_ignores_range(upto: int) -> Mood:
    return lambda handler, served: send(handler, served, upto=upto)


def lies(told: int) -> Mood:
    """Tell a size that the file does not have."""
    return lambda handler, served: send(handler, served, told=told, start=handler.start_of_range(served))


def stalls(upto: int) -> Mood:
    """Send a part, then say nothing more."""

    def mood(handler: Handler, served: Served) -> None:
        send(handler, served, upto=upto, start=handler.start_of_range(served))
        handler.wfile.flush()
        handler.server.closing.wait(5)

    return mood


def status(code: int, **headers: str) -> Mood:
    """Answer with a status and no file."""
    extra = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler, _: handler.answer(code, {"Content-Length": "0", **extra})


def hangs_up(handler: Handler, _: Served) -> None:
    handler.close_connection = True


def chunked(*, whole: bool) -> Mood:
    """Send in chunks, without a length; perhaps without the last."""

    def mood(handler: Handler, served: Served) -> None:
        handler.answer(200, {"Transfer-Encoding": "chunked", **served.headers})
        half = len(served.body) // 2
        for part in (served.body[:half], served.body[half:])[: 2 if whole else 1]:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        if whole:
            handler.wfile.write(b"0\r\n\r\n")

    return mood


def without_length(handler: Handler, served: Served) -> None:
    handler.answer(200, served.headers)
    handler.wfile.write(served.body)


@contextmanager
def serving(files: dict[str, Served], *, log: list[Asked], port: int = 0) -> Iterator[str]:
    """Serve files, and give the address of the server; asking is over when the block is."""
    server = Server(port, files, log)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Site:
    """A server with an index of its files, and a user's folder."""

    folder: Path
    files: dict[str, Served] = field(default_factory=dict)
    log: list[Asked] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    address: str = ""

    def add(self, name: str, *moods: Mood, body: bytes = BODY, always: Mood | None = None, **more: Any) -> Served:
        self.files[f"/set/{name}"] = Served(body, deque(moods), always, **more)
        return self.files[f"/set/{name}"]

    def get(self, *, lines: list[str] | None = None, tries: int = 4, timeout_s: float = 5.0, **more: Any) -> Downloaded:
        named = [f"{self.address}{path}" for path in self.files if path != "/set/index.txt"]
        self.add("index.txt", body="\n".join(named if lines is None else lines).encode())
        options = {"only": None, "agree": never, "manners": self.manners(tries, timeout_s), **more}
        return download(f"{self.address}/set/index.txt", self.folder, **options)

    def manners(self, tries: int = 4, timeout_s: float = 5.0) -> Manners:
        return Manners(PAUSE, tries, timeout_s, self.slept.append)

    def asked(self, name: str, method: str = "GET") -> list[Asked]:
        return [asked for asked in self.log if asked.path == f"/set/{name}" and asked.method == method]

    def ranges(self, name: str) -> list[str | None]:
        return [asked.headers.get("Range") for asked in self.asked(name)]

    @property
    def waits(self) -> list[float]:
        return [seconds for seconds in self.slept if seconds != PAUSE]

    @property
    def unfinished(self) -> list[str]:
        return sorted(path.name for path in self.folder.rglob("*.partial*"))


def never(needed: int, free: int) -> bool:
    raise AssertionError(f"asked about {needed} of {free} bytes")
