"""What a service is told when it starts: where it listens, which bundles it serves, and what it refuses.

Everything that a stranger can make larger has a limit here; docs/service.md says what each is for.
"""

from __future__ import annotations

import ipaddress
import math
from dataclasses import dataclass, field
from pathlib import Path

from camtrace.runtime import cores
from camtrace.types import CamtraceError

MEGABYTE = 1_000_000
MEMORY_BUNDLES = 8
"""Enrolled bundles that are kept in memory; the oldest makes room for a ninth."""
KEPT_BUNDLES = 64
"""Enrolled bundles that a folder given by `--keep` holds at most; none is ever removed."""
_SHORTEST_TOKEN = 16


def count_workers() -> int:
    """As many as there are processors, but two at least: one of them is kept free of heavy work."""
    return max(2, cores())


@dataclass(frozen=True)
class Limits:
    """What is refused, and how long anything may take. Sizes in bytes, times in seconds."""

    upload: int = 256 * MEGABYTE  # of one request
    files: int = 64  # photos in one request
    pixels: int = 150_000_000  # of one photo
    queue: int = 256  # photos that wait for a worker
    held: int = 1024 * MEGABYTE  # uploads in memory, of all requests together
    judging: float = 120.0  # one photo; enrolment has as long for each of its photos
    memory: int = 4096 * MEGABYTE  # that one photo may take in its worker, where the system can limit it
    connections: int = 512
    head: float = 10.0  # until the head of a request is there
    grace: float = 30.0  # until an upload must have the least pace
    pace: int = 16_000  # bytes a second, on average, that an upload must keep after that
    writing: float = 60.0  # that a client may leave an answer unread
    start: float = 120.0  # of a worker, until it is ready


@dataclass(frozen=True)
class Settings:
    """One service."""

    host: str = "127.0.0.1"
    port: int = 8000
    bundles: tuple[Path | None, ...] = (None,)  # folders, None = the one that ships; the first is the default
    token: str | None = field(default=None, repr=False)
    hosts: tuple[str, ...] = ()  # names by which the service is reached beside those of the loopback, through a proxy
    keep: Path | None = None  # where enrolled bundles are written; None: memory only
    workers: int = field(default_factory=count_workers)
    limits: Limits = field(default_factory=Limits)

    @property
    def loopback(self) -> bool:
        """Whether only this computer can reach the service."""
        return is_loopback(self.host)


class SettingsError(CamtraceError):
    """A service that must not be started like this: wrong usage."""


def is_loopback(host: str) -> bool:
    """Whether an address, or the name localhost, stands for this computer alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def check(settings: Settings) -> None:
    """Refuse what would be unsafe or could never work.

    Raises
    ------
    SettingsError
        A host that others can reach without a token, a token that is easily guessed, limits that contradict each other.
    """
    limits = settings.limits
    if settings.token is None and (settings.hosts or not settings.loopback):
        found = settings.hosts[0] if settings.hosts else settings.host
        raise SettingsError(
            f"{found}: others can reach the service there, so it needs a token: give --token or set CAMTRACE_TOKEN; "
            "without one it serves this computer only (--host 127.0.0.1)"
        )
    if settings.token is not None and (len(settings.token) < _SHORTEST_TOKEN or not _is_plain(settings.token)):
        raise SettingsError(
            f"the token has {len(settings.token)} characters, expected at least {_SHORTEST_TOKEN}, letters, digits and signs only; "
            "make one with: python -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    if not 0 <= settings.port <= 65535:
        raise SettingsError(f"port {settings.port} is not one of 0 to 65535; give --port another number")
    times = (limits.judging, limits.head, limits.grace, limits.writing, limits.start)
    counts = (
        settings.workers,
        limits.upload,
        limits.files,
        limits.pixels,
        limits.queue,
        limits.held,
        limits.connections,
        limits.pace,
        limits.memory,
    )
    if min(*counts, *times) <= 0 or not all(map(math.isfinite, times)):
        raise SettingsError("every limit must be above 0; see `camtrace serve --help`")
    if limits.queue < limits.files:
        raise SettingsError(f"a queue of {limits.queue} photos cannot hold the {limits.files} of one request: raise --queue")
    if limits.held < limits.upload:
        raise SettingsError(
            f"the memory for uploads, {limits.held:,} bytes, cannot hold one request of {limits.upload:,} bytes; "
            "see the options for limits in `camtrace serve --help`"
        )


def _is_plain(token: str) -> bool:
    """Whether it survives a header as it is."""
    return token.isascii() and all(letter.isprintable() and letter != " " for letter in token)
