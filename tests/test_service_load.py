"""Many at once, and the end: nothing is lost, nobody gets another's result, large photos do not stall small ones."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("httpx", reason="the client of these tests is not there: pip install httpx")
pytest.importorskip("fastapi", reason="the service is not there: pip install 'camtrace[web]'")

import httpx

import camtrace
from camtrace.simulator import MadeCamera
from camtrace.web.settings import Limits, Settings
from camtrace.web.tasks import QUICK_PIXELS
from made import encode, made_photo, noise
from made_service import PATIENCE, Running, running, wait_until

MANY = 200


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running(Settings(port=0, workers=2, limits=Limits(queue=MANY))) as service:
        yield service


@pytest.fixture(scope="module")
def jpeg(cameras: tuple[MadeCamera, ...]) -> bytes:
    return made_photo(cameras[0], 900, size=128)


def test_of_many_at_once_none_is_lost_and_none_mistaken(service: Running, jpeg: bytes) -> None:
    photos = {f"{number}.jpg": jpeg + number.to_bytes(2, "big") for number in range(MANY)}  # bytes after the end change the hash only
    expected = camtrace.identify(jpeg).to_dict()
    service.post("identify", [("warm.jpg", jpeg)] * 4)
    before = resident()

    async def send() -> list[httpx.Response]:
        limits = httpx.Limits(max_connections=MANY)
        async with httpx.AsyncClient(base_url=service.client.base_url, timeout=PATIENCE * 2, limits=limits, trust_env=False) as client:
            asked = (client.post("/api/identify", files={"photos": photo}) for photo in photos.items())
            return await asyncio.gather(*asked)

    for (name, data), answer in zip(photos.items(), asyncio.run(send()), strict=True):
        assert answer.status_code == 200, answer.text
        assert answer.json()["verdicts"] == [expected | {"source": name, "sha256": hashlib.sha256(data).hexdigest()}]
    assert service.service.held.now == service.service.waiting == 0
    assert resident() - before < 150_000_000


def resident() -> int:
    """Bytes of this process in memory, where the system tells; else 0."""
    path = Path("/proc/self/statm")
    return int(path.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE") if path.exists() else 0


@pytest.fixture(scope="module")
def large() -> bytes:
    """A photo that the quick lane gives back: few bytes, many pixels, seconds of work."""
    side = 8 * round((1.2 * QUICK_PIXELS) ** 0.5 / 8)
    pattern = noise(side // 8, side // 8, low=60, high=200)
    return encode(pattern.repeat(8, 0).repeat(8, 1), "JPEG", quality=90)


def test_small_photos_do_not_wait_for_large_ones(service: Running, jpeg: bytes, large: bytes) -> None:
    done: list[str] = []

    def judge(name: str, data: bytes) -> str:
        verdict = service.post("identify", [(name, data)]).json()["verdicts"][0]
        done.append(name)
        return str(verdict["status"])

    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(judge, f"large {number}", large) for number in range(2)]
        pool = service.service.pool
        assert pool is not None
        wait_until(lambda: pool.busy and pool._heavy)  # one at work, one that waits behind it
        asked += [threads.submit(judge, f"small {number}", jpeg) for number in range(4)]
        statuses = [one.result() for one in asked]
    assert statuses[2:] == ["ok"] * 4
    assert sorted(done[:4]) == [f"small {number}" for number in range(4)]
    assert sorted(done[4:]) == ["large 0", "large 1"]


def test_of_two_enrolments_under_one_name_one_is_refused(service: Running, cameras: tuple[MadeCamera, ...]) -> None:
    sent = [(f"{camera.name}/1.jpg", made_photo(camera, 100, size=96)) for camera in cameras[:2]]
    with ThreadPoolExecutor(2) as threads:
        answers = [one.result() for one in [threads.submit(service.post, "enroll", sent, only="true", name="same") for _ in range(2)]]
    assert sorted(answer.status_code for answer in answers) == [200, 409], [answer.text for answer in answers]


def test_what_was_accepted_is_answered_before_the_end(jpeg: bytes) -> None:
    answers: list[httpx.Response] = []
    with running(Settings(port=0, workers=1)) as service:
        client = httpx.Client(base_url=service.client.base_url, timeout=PATIENCE, trust_env=False)
        sender = threading.Thread(target=lambda: answers.append(client.post("/api/identify", files=[("photos", jpeg)] * 8)))
        sender.start()
        wait_until(lambda: service.service.waiting)
    sender.join()
    client.close()
    assert [verdict["status"] for verdict in answers[0].json()["verdicts"]] == ["ok"] * 8


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal that asks a process to end")
def test_the_command_serves_until_it_is_told_to_end(jpeg: bytes) -> None:
    script = "import typer\nfrom camtrace.cli.web import serve\nif __name__ == '__main__':\n    typer.run(serve)"
    words = [sys.executable, "-c", script, "--port", "0", "--workers", "1"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        said = process.stderr.readline()
        address = said.split()[2].rstrip(";")
        verdict = httpx.post(f"{address}api/identify", files={"photos": ("a.jpg", jpeg)}, timeout=PATIENCE).json()["verdicts"][0]
        process.send_signal(signal.SIGINT)
        code = process.wait(PATIENCE)
        rest = process.stdout.read() + process.stderr.read()
    assert verdict == camtrace.identify(jpeg, name="a.jpg").to_dict()
    assert said.startswith("camtrace: serving http://127.0.0.1:")
    assert "nothing is written to disk" in said
    assert (code, rest) == (0, "")
