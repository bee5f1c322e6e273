"""A service fed by strangers: paths, broken requests, slow and endless uploads, photos that bring a worker down."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

pytest.importorskip("httpx", reason="the client of these tests is not there: pip install httpx")
pytest.importorskip("fastapi", reason="the service is not there: pip install 'camtrace[web]'")

import httpx

import camtrace
from camtrace.simulator import MadeCamera
from camtrace.web.settings import Limits, Settings
from camtrace.web.workers import Pool
from made import encode, made_photo, noise
from made_service import PATIENCE, Running, running, wait_until

LIMITS = Limits(
    upload=2_000_000,
    files=4,
    pixels=2_000_000,
    queue=6,
    held=8_000_000,
    judging=60.0,
    head=1.0,
    grace=1.0,
    pace=1_000_000,
    connections=24,
)
needs_signals = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="this system cannot stop a process for a while (SIGSTOP)")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where temporary files of the service and its workers would go."""
    folder = tmp_path_factory.mktemp("scratch")
    with (
        mock.patch.dict(os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP", "HOME", "XDG_CACHE_HOME"), str(folder))),
        mock.patch.object(tempfile, "tempdir", None),
    ):
        yield folder


@pytest.fixture(scope="module")
def service(scratch: Path) -> Iterator[Running]:
    with running(Settings(port=0, workers=2, limits=LIMITS)) as service:
        yield service


@pytest.fixture(scope="module")
def jpeg(cameras: tuple[MadeCamera, ...]) -> bytes:
    return made_photo(cameras[0], 900, size=128)


def pool_of(service: Running) -> Pool:
    pool = service.service.pool
    assert pool is not None
    return pool


@contextlib.contextmanager
def idle(service: Running) -> Iterator[None]:
    """The workers take nothing from the queue, for a while."""
    pool = pool_of(service)
    with mock.patch.object(Pool, "_take", return_value=None):
        yield
    with pool._changed:
        pool._changed.notify_all()


# Paths


@pytest.mark.parametrize(
    "path",
    [
        *("/../settings.py", "/..%2fsettings.py", "/%2e%2e/settings.py", "/..%5csettings.py", "/page.js/../../app.py", "/....//app.py"),
        *("//etc/passwd", "/%2fetc%2fpasswd", "/%00", "/page.js%00.html", "/" + "a" * 5000, "/" + "a/" * 2000, "/C:/Windows/win.ini"),
        *("/api/../settings.py", "/api/..%2f..%2fsettings.py", "/.", "/local", "/__pycache__"),
    ],
)
def test_no_path_leads_out_of_the_page(service: Running, path: str) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
    answer = talk(service, head)
    status = int(answer.split(b" ")[1])
    assert status in (200, 307, 404, 405)
    if status == 200:
        assert b"<!doctype html>" in answer
    assert b"SettingsError" not in answer
    assert b"root:" not in answer


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 1_000_000 + b"\r\n\r\n",
        b"POST /api/identify HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/identify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /api/identify HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/identify HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ],
)
def test_broken_requests_are_refused(service: Running, head: bytes) -> None:
    answer = talk(service, head)
    assert answer == b"" or answer.split(b" ")[1] in (b"400", b"408", b"415", b"421", b"422")
    assert service.client.get("/healthz").status_code == 200


def talk(service: Running, *parts: bytes, pause: float = 0.0) -> bytes:
    """What comes back on a connection until the service closes it."""
    answer = b""
    with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE) as connection:
        with contextlib.suppress(OSError):  # closed while we still talk
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
        with contextlib.suppress(ConnectionResetError):
            while piece := connection.recv(65536):
                answer += piece
    return answer


# Slow, endless, damaged uploads

START = b"POST /api/identify HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"
PART = b'--b\r\nContent-Disposition: form-data; name="photos"; filename="a"\r\n\r\n'


def test_a_head_that_does_not_come_is_given_up(service: Running) -> None:
    begun = time.monotonic()
    assert talk(service) == b""
    assert talk(service, *[b"GET / HTTP/1.1\r\n"], *[b"X: y\r\n"] * 40, pause=0.1) == b""
    assert time.monotonic() - begun < PATIENCE / 2


def test_a_body_that_does_not_come_is_given_up(service: Running) -> None:
    answer = talk(service, START + b"Content-Length: 500000\r\n\r\n" + PART, *[b"x"] * 20, pause=0.1)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"too slow" in answer
    assert service.service.held.now == 0


def test_an_endless_body_is_cut_at_the_limit(service: Running) -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with mock.patch("camtrace.web.body.DRAIN_SECONDS", 2.0):
        answer = talk(service, START + b"Transfer-Encoding: chunked\r\n\r\n", b"%x\r\n%s\r\n" % (len(PART), PART), *[chunk] * 40)
    assert answer.startswith(b"HTTP/1.1 413 ")
    wait_until(lambda: service.service.held.now == 0)


def test_a_client_that_sends_all_of_a_large_body_hears_why_it_is_refused(service: Running) -> None:
    answer = service.client.post(
        "/api/identify", content=iter([PART, *[b"x" * 100_000] * 30]), headers={"Content-Type": "multipart/form-data; boundary=b"}
    )
    assert answer.status_code == 413
    assert answer.json()["error"] == "the upload is larger than 2 MB, the most that one request may have"


def test_a_client_that_asks_first_sends_nothing(service: Running) -> None:
    answer = talk(service, START + b"Content-Length: 3000000\r\nExpect: 100-continue\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (PART + b"x", b"it ends before its last boundary"),
        (b"garbage", b"not valid multipart"),
        (b'--b\r\nContent-Disposition: form-data; filename="a"\r\n\r\nx\r\n--b--\r\n', b"not valid multipart"),
        (b'--b\r\nContent-Disposition: form-data; name="mode"\r\n\r\n' + b"x" * 5000 + b"\r\n--b--\r\n", b"not valid multipart"),
        (b'--b\r\nContent-Disposition: form-data; name="m"\r\n\r\nx\r\n' * 600 + b"--b--\r\n", b"not valid multipart"),
        (b"--b\r\n" + b"X: y\r\n" * 100 + b"\r\nx\r\n--b--\r\n", b"not valid multipart"),
        (b"--b--\r\n", b"no photos"),
        (b"", b"ends before its last boundary"),
    ],
)
def test_damaged_forms_are_refused(service: Running, body: bytes, reason: bytes) -> None:
    answer = talk(service, START + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    assert answer.startswith(b"HTTP/1.1 422 ")
    assert reason in answer


def test_a_form_without_a_boundary_is_refused(service: Running) -> None:
    answer = service.client.post("/api/identify", content=b"x", headers={"Content-Type": "multipart/form-data"})
    assert answer.status_code == 422
    assert "boundary" in answer.json()["error"].lower()


# Limits of many


def test_a_full_queue_is_told_and_what_waits_is_answered(service: Running, jpeg: bytes) -> None:
    with ThreadPoolExecutor(2) as pool:
        with idle(service):
            first = pool.submit(service.post, "identify", [("a.jpg", jpeg)] * 4)
            wait_until(lambda: service.service.waiting == 4)
            refused = service.post("identify", [("b.jpg", jpeg)] * 4)
            second = pool.submit(service.post, "identify", [("c.jpg", jpeg)] * 2)
            wait_until(lambda: service.service.waiting == 6)
            early = service.post("identify", [("d.jpg", jpeg)])
        assert [len(answer.result().json()["verdicts"]) for answer in (first, second)] == [4, 2]
    assert [refused.status_code, early.status_code] == [429, 429]
    assert refused.json()["error"].startswith("4 photos wait already")
    assert int(refused.headers["retry-after"]) >= 1


def test_a_client_who_leaves_is_forgotten(service: Running, jpeg: bytes) -> None:
    with idle(service):
        with pytest.raises(httpx.ReadTimeout):
            service.client.post("/api/identify", files=[("photos", jpeg)] * 4, timeout=0.5)
        pool = pool_of(service)
        wait_until(lambda: all(job.future.cancelled() for job in pool._quick))
    assert service.post("identify", [("a.jpg", jpeg)]).status_code == 200


def test_the_memory_for_uploads_is_bounded(service: Running, jpeg: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service.service.held, "most", 1000)
    answer = service.post("identify", [("a.jpg", jpeg)])
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    monkeypatch.undo()
    assert service.post("identify", [("a.jpg", jpeg)]).status_code == 200
    assert service.service.held.now == 0


def test_connections_are_bounded(service: Running) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(LIMITS.connections):
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE))
        answer = talk(service)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after: 5" in answer
    wait_until(lambda: healthy(service))


def healthy(service: Running) -> bool:
    try:
        return service.client.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


# Photos that do harm


def test_a_photo_of_too_many_pixels_is_not_decoded(service: Running) -> None:
    bomb = encode(noise(1, 1).repeat(1500, 0).repeat(1500, 1), "PNG")
    verdict = service.post("identify", [("bomb.png", bomb)]).json()["verdicts"][0]
    assert (verdict["status"], verdict["reason"]) == ("unreadable", "bomb.png: 2 megapixels, this service reads at most 2")
    assert service.post("enroll", [("bomb.png", bomb)], camera="A 1").json() == {
        "error": "a photo of 2 megapixels, this service reads at most 2"
    }
    assert service.post("localize", [("bomb.png", bomb)]).json()["status"] == "unreadable"


def hit(service: Running, number: int) -> None:
    """Send a signal to the workers."""
    pool = pool_of(service)
    for pid in pool.pids:
        os.kill(pid, number)


def ready(service: Running, jpeg: bytes) -> None:
    """Until both workers answer."""
    pool = pool_of(service)
    wait_until(lambda: len(pool.pids) == 2)
    for endpoint in ("identify", "localize"):
        service.post(endpoint, [("ready.jpg", jpeg)]).raise_for_status()


@needs_signals
def test_a_worker_that_dies_over_a_photo_is_reported_and_replaced(service: Running, jpeg: bytes) -> None:
    ready(service, jpeg)
    hit(service, signal.SIGSTOP)
    with ThreadPoolExecutor(4) as threads:
        asked = {}
        for count, endpoint in enumerate(
            ("localize", "inspect"), 1
        ):  # the first for the worker of heavy jobs, the second for the other
            asked[endpoint] = threads.submit(service.post, endpoint, [("a.jpg", jpeg)])
            wait_until(lambda count=count: pool_of(service).busy == count)
        time.sleep(0.2)  # until the photos are in the pipes
        hit(service, signal.SIGKILL)
        inspected, localized = (asked[endpoint].result().json() for endpoint in ("inspect", "localize"))
    for found in (inspected["verdict"], localized):
        assert (found["status"], found["source"]) == ("unreadable", "a.jpg")
        assert found["reason"] == "a.jpg: its worker died (SIGKILL)"
        assert found["sha256"] == camtrace.identify(jpeg).sha256
    assert set(inspected) == set(camtrace.inspect(jpeg).to_dict())
    assert set(localized) == set(camtrace.localize(jpeg).to_dict())
    again = service.post("identify", [("a.jpg", jpeg)] * 3).json()["verdicts"]
    assert [verdict["status"] for verdict in again] == ["ok"] * 3


@needs_signals
def test_a_photo_past_its_time_is_given_up(service: Running, jpeg: bytes) -> None:
    ready(service, jpeg)
    hit(service, signal.SIGSTOP)  # as a decoder that never ends
    hurried = replace(service.service.settings, limits=replace(LIMITS, judging=1.0))
    with ThreadPoolExecutor(4) as threads, mock.patch.object(service.service, "settings", hurried):
        pictured = threads.submit(service.post, "localize", [("a.jpg", jpeg)], headers={"Accept": "image/png"})
        wait_until(lambda: pool_of(service).busy == 1)  # the first for the worker of heavy jobs, the second for the other
        compared = threads.submit(service.post, "compare", [("a.jpg", jpeg)] * 2)
        found, none = compared.result().json(), pictured.result()
    assert found["status"] == "unreadable"
    assert found["reason"] == "a.jpg and a.jpg: took longer than 1 s and was given up"
    assert set(found) == set(camtrace.compare(jpeg, jpeg).to_dict())
    assert none.status_code == 422
    assert none.json()["error"] == "a.jpg: took longer than 1 s and was given up"
    assert service.post("identify", [("a.jpg", jpeg)]).json()["verdicts"][0]["status"] == "ok"


# What is left behind


def test_nothing_is_written_to_disk(service: Running, scratch: Path, jpeg: bytes) -> None:
    large = jpeg + b"\0" * 1_800_000  # python-multipart and Starlette would spool it to a file
    with mock.patch.object(tempfile.SpooledTemporaryFile, "rollover", side_effect=AssertionError("spooled to a disk")):
        for endpoint in ("identify", "inspect", "localize"):
            assert service.post(endpoint, [("large.jpg", large)]).status_code == 200
    assert list(scratch.iterdir()) == []


def test_logs_name_no_photo(service: Running, jpeg: bytes, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("secret-name.jpg broke it")

    with caplog.at_level(logging.DEBUG):
        for name, endpoint in (("secret-name.jpg", "identify"), ("secret-name.jpg", "enroll"), ("secret-name.jpg", "nothing")):
            service.post(endpoint, [(name, jpeg)], bundle="secret-name")
        service.client.get("/api/cameras?bundle=secret-name")
        with mock.patch.object(type(service.service), "job", fail):
            answer = service.post("identify", [("secret-name.jpg", jpeg)])
    assert (answer.status_code, answer.json()) == (500, {"error": "something went wrong in the service"})
    ours = [
        record for record in caplog.records if not record.name.startswith(("httpx", "httpcore", "asyncio"))
    ]  # those of the test itself
    assert [record.getMessage().split(" at ")[0] for record in ours if record.name == "camtrace.web"] == ["unexpected ValueError"]
    written = "".join([*(record.getMessage() + str(record.exc_info or "") for record in ours), *capfd.readouterr()])
    assert "secret" not in written
    assert json.dumps(camtrace.identify(jpeg).sha256)[1:12] not in written


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the memory of one process is limited on Linux only")
def test_a_photo_that_takes_too_much_memory_is_given_up() -> None:
    limits = Limits(memory=150_000_000, pixels=200_000_000)
    bomb = flat_png(8000, 8000)
    with running(Settings(port=0, workers=1, limits=limits)) as service:
        verdicts = service.post("identify", [("bomb.png", bomb), ("small.png", encode(noise(128, 128), "PNG"))]).json()["verdicts"]
    assert [verdict["status"] for verdict in verdicts] == ["unreadable", "ok"]
    assert "memory" in verdicts[0]["reason"]


def flat_png(width: int, height: int) -> bytes:
    """A PNG of one colour; small for its pixels, and quickly made."""
    import struct
    import zlib

    packer = zlib.compressobj(1)
    line = b"\0" + b"\x7f" * (3 * width)
    pixels = b"".join([*(packer.compress(line) for _ in range(height)), packer.flush()])

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head: Any = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
