"""The service under mixed good and hostile load for a while: whether every request is answered, and memory stays flat.

    python benchmarks/soak.py --minutes 20 > soak.json

Starts `camtrace serve` as a process, lets several clients at it, and prints JSON: requests, statuses, verdicts that were wrong and
requests that were lost (no answer where one was due), workers killed, and the resident memory of all its processes in MB (Linux; null
elsewhere).
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

import camtrace
from camtrace.simulator import draw_scene, make_cameras, save, shoot

SCRIPT = "import typer\nfrom camtrace.cli.web import serve\nif __name__ == '__main__':\n    typer.run(serve)"
OPTIONS = [
    *("--port", "0", "--workers", "2", "--max-upload", "4", "--max-files", "8"),
    *("--max-pixels", "20", "--queue", "32", "--time-limit", "30"),
]
PATIENCE = 300
HEAD = b"POST /api/identify HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\n"


class Tally:
    """What came of it; shared by the clients."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.statuses: collections.Counter[str] = collections.Counter()
        self.failures: collections.Counter[str] = collections.Counter()
        self.memory: list[tuple[float, float]] = []  # seconds, MB

    def count(self, kind: str, status: object) -> None:
        with self._lock:
            self.statuses[f"{kind} {status}"] += 1

    def fail(self, kind: str, why: str) -> None:
        with self._lock:
            self.failures[f"{kind}: {why[:200]}"] += 1


class Load:
    """The photos, and what one client may do; each action is drawn at random."""

    def __init__(self, address: str, tally: Tally, seed: int) -> None:
        self.tally, self.rng = tally, random.Random(seed)
        self.client = httpx.Client(base_url=address, timeout=PATIENCE, trust_env=False)
        self.port = int(address.rstrip("/").rsplit(":", 1)[1])
        camera = make_cameras(1, seed=1)[0]
        self.photo = save(shoot(draw_scene(160, 160, seed=3), camera, device=1, seed=3), camera)
        self.expected = json.loads(camtrace.identify(self.photo).to_json())

    def actions(self) -> list[tuple[float, Callable[[], None]]]:
        """How often each is drawn, and what it does."""
        return [
            (40, self.good), (8, self.several), (6, lambda: self.other("inspect")), (4, lambda: self.other("localize")),
            (3, lambda: self.other("compare", 2)), (12, self.mutated), (3, self.many_pixels), (4, self.too_large), (4, self.too_many),
            (4, self.no_form), (4, self.broken_form), (4, self.leave), (2, self.dawdle), (3, self.garbage), (4, self.foreign),
            (4, self.paths), (0.05, self.enroll),
        ]  # fmt: skip

    def post(self, kind: str, endpoint: str, files: Any, wanted: tuple[int, ...], **options: Any) -> httpx.Response | None:
        """One request that must be answered; a busy service may say so."""
        try:
            answer = self.client.post(f"/api/{endpoint}", files=files, **options)
        except httpx.TransportError as error:
            self.tally.fail(kind, f"lost: {type(error).__name__}")
            return None
        self.tally.count(kind, answer.status_code)
        if answer.status_code in (429, 503):
            time.sleep(min(1.0, float(answer.headers.get("retry-after", 1))))
            return None
        if answer.status_code not in wanted:
            self.tally.fail(kind, f"{answer.status_code} {answer.text}")
        return answer

    def good(self) -> None:
        self._judged("good", 1)

    def several(self) -> None:
        self._judged("several", self.rng.randint(2, 8))

    def _judged(self, kind: str, count: int) -> None:
        names = [f"{self.rng.getrandbits(64):x}.jpg" for _ in range(count)]
        answer = self.post(kind, "identify", [("photos", (name, self.photo)) for name in names], (200,))
        if answer is None or answer.status_code != 200:
            return
        for name, verdict in zip(names, answer.json()["verdicts"], strict=True):
            if verdict["status"] == "unreadable" and "worker died" in verdict["reason"]:
                self.tally.count(kind, "worker killed")
            elif verdict != {**self.expected, "source": name}:
                self.tally.fail(kind, "another verdict than Python's")

    def other(self, endpoint: str, count: int = 1) -> None:
        self.post(endpoint, endpoint, [("photos", ("a.jpg", self.photo))] * count, (200,))

    def mutated(self) -> None:
        data = bytearray(self.photo)
        for _ in range(self.rng.randint(1, 30)):
            data[self.rng.randrange(len(data))] = self.rng.randrange(256)
        self.post("mutated", "identify", {"photos": bytes(data[: self.rng.randint(1, len(data))])}, (200,))

    def many_pixels(self) -> None:
        stream = io.BytesIO()
        Image.fromarray(np.full((5000, 5000, 3), 90, np.uint8)).save(stream, "PNG", compress_level=1)
        self.post("many pixels", "identify", {"photos": stream.getvalue()}, (200,))

    def too_large(self) -> None:
        self.post("too large", "identify", {"photos": b"x" * self.rng.randint(4_000_001, 7_000_000)}, (413,))

    def too_many(self) -> None:
        self.post("too many", "identify", [("photos", ("a.jpg", b"x"))] * 9, (413,))

    def no_form(self) -> None:
        self.post("no form", "identify", None, (415,), content=b"{}")

    def broken_form(self) -> None:
        body = b"--b\r\n" + self.rng.randbytes(self.rng.randint(0, 5000))
        self.post("broken form", "identify", None, (422,), content=body, headers={"Content-Type": "multipart/form-data; boundary=b"})

    def foreign(self) -> None:
        self.post(
            "foreign",
            "identify",
            {"photos": self.photo},
            (403, 421),
            headers=self.rng.choice([{"Origin": "https://evil.example"}, {"Host": "evil"}]),
        )

    def paths(self) -> None:
        answer = self.client.get(
            self.rng.choice(["/..%2f..%2fapp.py", "/%00", "/a" * 500, "/api/x", "/", "/api/cameras", "/openapi.json"])
        )
        self.tally.count("paths", answer.status_code)
        if answer.status_code not in (200, 404):
            self.tally.fail("paths", str(answer.status_code))

    def leave(self) -> None:
        with contextlib.suppress(httpx.TransportError):
            self.client.post("/api/identify", files=[("photos", self.photo)] * 8, timeout=self.rng.uniform(0.01, 0.2))
        self.tally.count("left", "early")

    def dawdle(self) -> None:
        self.talk("dawdled", HEAD + b"Content-Length: 50000\r\n\r\n", *[b"x"] * 10, pause=0.2)

    def garbage(self) -> None:
        self.talk("garbage", self.rng.randbytes(self.rng.randint(1, 3000)))

    def talk(self, kind: str, *parts: bytes, pause: float = 0.0) -> None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
        self.tally.count(kind, "closed")

    def enroll(self) -> None:
        cameras = make_cameras(2, seed=5)
        photos = [
            (f"{camera.name}/1.jpg", save(shoot(draw_scene(128, 128, seed=9), camera, device=1, seed=9), camera)) for camera in cameras
        ]
        self.post("enroll", "enroll", [("photos", photo) for photo in photos], (200, 422), data={"only": "true"})


def run(load: Load, end: float) -> None:
    """One client until the time is over."""
    weights, actions = zip(*load.actions(), strict=True)
    while time.monotonic() < end:
        load.rng.choices(actions, weights)[0]()


def family(pid: int) -> Iterator[int]:
    """A process and those it started (Linux)."""
    yield pid
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            if int(path.read_text("utf-8", "replace").rsplit(")", 1)[1].split()[1]) == pid:
                yield from family(int(path.parent.name))


def resident(pid: int) -> float:
    """MB in memory of a process and those it started."""
    total = 0
    for member in family(pid):
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{member}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total / 1e6


def watch(pid: int, tally: Tally, end: float, *, kill_every: float) -> int:
    """Measure memory every few seconds, and kill a worker now and then; how many were killed."""
    rng, killed, begun = random.Random(0), 0, time.monotonic()
    while time.monotonic() < end:
        time.sleep(2)
        if Path("/proc/self/statm").exists():
            tally.memory.append((round(time.monotonic() - begun), round(resident(pid), 1)))
            if time.monotonic() - begun > kill_every * (killed + 1) and (workers := [one for one in family(pid) if is_worker(one)]):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(rng.choice(workers), signal.SIGKILL)
                    killed += 1
    return killed


def is_worker(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def soak(minutes: float, clients: int, kill_every: float) -> dict[str, Any]:
    """Start a service, load it, end it; what is to be told."""
    tally = Tally()
    with subprocess.Popen([sys.executable, "-c", SCRIPT, *OPTIONS], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = process.stderr.readline().split()[2].rstrip(";")
        end = time.monotonic() + minutes * 60
        threads = [threading.Thread(target=run, args=(Load(address, tally, seed), end)) for seed in range(clients)]
        for thread in threads:
            thread.start()
        killed = watch(process.pid, tally, end, kill_every=kill_every)
        for thread in threads:
            thread.join()
        health = httpx.get(f"{address}healthz", timeout=PATIENCE).json()
        process.send_signal(signal.SIGINT if os.name != "nt" else signal.SIGTERM)
        code = process.wait(PATIENCE)
        said = process.stderr.read()
    sizes = [size for _, size in tally.memory]
    settled: list[float | None] = [*sizes[len(sizes) // 10 :]] or [None]
    return {
        "minutes": minutes,
        "clients": clients,
        "requests": sum(tally.statuses.values()),
        "statuses": dict(sorted(tally.statuses.items())),
        "lost_or_wrong": dict(tally.failures),
        "workers_killed": killed,
        "rss_mb": {
            "first": settled[0],
            "last": settled[-1],
            "peak": max(sizes, default=None),
            "all": tally.memory[:: max(1, len(sizes) // 20)],
        },
        "health_at_the_end": health,
        "exit_code": code,
        "logged": said[:2000],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--kill-every", type=float, default=30, help="seconds from one killed worker to the next (Linux)")
    asked = parser.parse_args()
    print(json.dumps(soak(asked.minutes, asked.clients, asked.kill_every), indent=1))


if __name__ == "__main__":
    main()
