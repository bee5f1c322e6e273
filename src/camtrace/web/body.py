"""The body of a request as it arrives: counted, held within the memory for uploads, and no slower than it may be.

The sizes are checked with every piece, not at the end, so that an endless upload stops at the limit. One that is refused is drained
for a moment: a client that still sends would else see its connection break instead of the reason.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

from camtrace.web.settings import MEGABYTE, Limits

DRAIN_SECONDS = 10.0
LATER = {"Retry-After": "2"}


@dataclass
class Held:
    """The bytes of uploads that the service holds now, of all requests; used from the event loop only."""

    most: int
    now: int = 0

    def take(self, count: int) -> None:
        """Hold so many more. Raises HTTPException 503 where that is too much."""
        if self.now + count > self.most:
            raise HTTPException(503, f"the service holds {self.now / MEGABYTE:.0f} MB of uploads, all it can; try again soon", LATER)
        self.now += count

    def give(self, count: int) -> None:
        """So many are let go."""
        self.now -= count


class Body:
    """One request's body; `receive` takes the place of the server's."""

    def __init__(self, scope: Scope, receive: Receive, *, limits: Limits, held: Held) -> None:
        headers = Headers(scope=scope)
        length = headers.get("content-length", "0")
        self._receive, self._limits, self._held = receive, limits, held
        self._begun = time.monotonic()
        self._waits = headers.get("expect", "").lower() == "100-continue"  # the client sends nothing before it is asked to
        self.announced = int(length) if length.isdecimal() else 0
        self.finished = not self.announced and "transfer-encoding" not in headers
        self.gone = False  # the client
        self.count = 0

    async def receive(self) -> Message:
        """The next piece.

        Raises HTTPException: 408 too slow, 413 too large, 503 no memory for it.
        """
        if self.finished:  # all that can come is the client's leaving, for which there is no hurry
            return self._note(await self._receive())
        try:
            async with asyncio.timeout(self._left()):
                message = self._note(await self._receive())
        except TimeoutError:
            raise HTTPException(408, "the upload is too slow and was given up") from None
        size = len(message.get("body", b""))
        if self.count + size > self._limits.upload:
            raise too_large(self._limits)
        self._held.take(size)
        self.count += size
        return message

    def release(self) -> None:
        """The request is over: what it held is free."""
        self._held.give(self.count)
        self.count = 0

    async def drain(self) -> bool:
        """Throw away the rest of a refused body, for a moment; whether all of it came."""
        if self._waits and not self.count:
            return self.finished
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while not (self.finished or self.gone):
                    self._note(await self._receive())
        except TimeoutError:
            pass
        return self.finished

    def _note(self, message: Message) -> Message:
        self._waits = False
        if message["type"] == "http.disconnect":
            self.gone = True
        elif not message.get("more_body", False):
            self.finished = True
        return message

    def _left(self) -> float:
        """Seconds until the upload is below the least pace."""
        return self._begun + self._limits.grace + self.count / self._limits.pace - time.monotonic()


def too_large(limits: Limits) -> HTTPException:
    """The refusal of a body that is, or says it is, too large."""
    return HTTPException(413, f"the upload is larger than {limits.upload / MEGABYTE:g} MB, the most that one request may have")
