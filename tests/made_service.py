"""A real service for tests: uvicorn in a thread, on a free port of the loopback, with workers of its own."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

pytest.importorskip("httpx", reason="the client of these tests is not there: pip install httpx")
pytest.importorskip("fastapi", reason="the service is not there: pip install 'camtrace[web]'")

import httpx
from fastapi import FastAPI

from camtrace.web.app import create_app, listen, make_server
from camtrace.web.service import Service
from camtrace.web.settings import Settings

PATIENCE = 60  # seconds, for machines that are busy


@dataclass(frozen=True)
class Running:
    """A service that runs, and a client of it."""

    app: FastAPI
    client: httpx.Client
    port: int

    @property
    def service(self) -> Service:
        found: Service = self.app.state.service
        return found

    def post(self, endpoint: str, photos: Sequence[tuple[str, bytes]], *, headers: Any = None, **fields: Any) -> httpx.Response:
        """Upload photos (name, bytes), with form fields beside them."""
        files = [("photos", (name, data, "application/octet-stream")) for name, data in photos]
        return self.client.post(f"/api/{endpoint}", files=files, data=fields, headers=headers)


@contextmanager
def running(settings: Settings) -> Iterator[Running]:
    """Start a service, and end it as it ends itself; `settings` should have port 0."""
    app = create_app(settings)
    with listen(settings) as listener:
        server = make_server(app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        port = listener.getsockname()[1]
        try:
            wait_until(lambda: server.started)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE, trust_env=False) as client:
                yield Running(app, client, port)
        finally:
            server.should_exit = True
            thread.join(PATIENCE)
            assert not thread.is_alive(), "the service did not end"


def ask(app: FastAPI, method: str, path: str, **options: Any) -> httpx.Response:
    """One request in this process, without a server or workers."""

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://photos.example.org") as client:
            return await client.request(method, path, **options)

    return asyncio.run(send())


def wait_until(condition: Any) -> None:
    """Until it holds; fails where it never does."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)
