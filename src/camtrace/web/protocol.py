"""Clients that dawdle, on the level of connections, which uvicorn leaves to a proxy: three limits on its HTTP/1.1 protocol.

A request's head must be there in time (slowloris), an answer must be read in time, and only so many connections are open at once.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from camtrace.web.settings import Limits


class Patient(H11Protocol):
    """The protocol of uvicorn, which makes one object of it for each connection; patient, but not for ever."""

    limits = Limits()
    _head: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a head, unless there are too many connections."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            transport.write(_busy())
            transport.close()
            return
        self._await_head()

    def data_received(self, data: bytes) -> None:
        """Only what follows a complete answer starts a new head; bytes of one that is under way never buy it more time."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._head = _stop(self._head)
        elif self._head is None:
            self._await_head()

    def _await_head(self) -> None:
        self._head = self.loop.call_later(self.limits.head, self._drop)

    def on_response_complete(self) -> None:
        """What is left of a last answer is still to be read."""
        super().on_response_complete()
        if self.transport.is_closing() and self._unread is None:
            self._unread = self.loop.call_later(self.limits.writing, self._drop)

    def pause_writing(self) -> None:
        """The client does not read."""
        super().pause_writing()
        _stop(self._unread)
        self._unread = self.loop.call_later(self.limits.writing, self._drop)

    def resume_writing(self) -> None:
        """It does."""
        super().resume_writing()
        self._unread = _stop(self._unread)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._head, self._unread = _stop(self._head), _stop(self._unread)
        super().connection_lost(exc)

    def _drop(self) -> None:
        self.transport.abort()


def make_protocol(limits: Limits) -> type[H11Protocol]:
    """The protocol with these limits."""
    return type("Patient", (Patient,), {"limits": limits})


def _stop(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    """What takes the place of a timer that is no more wanted: none."""
    if timer is not None:
        timer.cancel()
    return None


def _busy() -> bytes:
    """The answer to one connection too many, which no application sees."""
    body: bytes = json.dumps({"error": "the service has too many connections; try again soon"}).encode()
    head: list[Any] = [
        b"HTTP/1.1 503 Service Unavailable",
        b"content-type: application/json",
        b"content-length: %d" % len(body),
        b"retry-after: 5",
        b"connection: close",
    ]
    return b"\r\n".join([*head, b"", body])
