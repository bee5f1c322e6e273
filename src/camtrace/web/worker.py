"""One worker: a process of its own that judges one photo after the other, so that it can be killed over one.

It talks with the service through a pipe, in frames of JSON and of plain bytes (`send`, `receive`); nothing that it says is ever
unpickled, since it is the one that touches hostile files. Whatever happens to the service, it does not outlive it.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from multiprocessing import connection
from typing import Any

from camtrace.batches.child import limit_memory, set_alarm
from camtrace.runtime import ONE_THREAD

_LARGEST_FRAME = 1 << 30
_LARGEST_HEAD = 64 << 20
_MOST_FRAMES = 4096
_GRACE = 5.0  # seconds

Pipe = connection.Connection


def send(pipe: Pipe, head: dict[str, Any], blobs: Sequence[bytes] = ()) -> None:
    """One message: JSON values, and byte strings beside them. Raises OSError where the other side is gone."""
    pipe.send_bytes(json.dumps({**head, "blobs": len(blobs)}).encode())
    for blob in blobs:
        pipe.send_bytes(blob)


def receive(pipe: Pipe) -> tuple[dict[str, Any], list[bytes]]:
    """The next message; raises EOFError or OSError where the other side is gone or sends no message."""
    try:
        head = json.loads(pipe.recv_bytes(_LARGEST_HEAD))
        count = head.pop("blobs")
        if not isinstance(count, int) or not 0 <= count <= _MOST_FRAMES:
            raise OSError("not a message")
        return head, [pipe.recv_bytes(_LARGEST_FRAME) for _ in range(count)]
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise OSError("not a message") from error


def work(pipe: Pipe, memory: int, pixels: int) -> None:
    """Judge until the service is gone. `memory` is how many bytes a photo may take, `pixels` the most of one."""
    for name in ("SIGINT", "SIGTERM"):  # meant for the service, which still wants what it has accepted to be answered
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    threading.Thread(target=_leave_with_parent, daemon=True).start()
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)
    from camtrace.web.tasks import Desk

    desk = Desk(pixels=pixels)
    limit_memory(memory)
    with contextlib.suppress(EOFError, OSError):  # the service is gone
        send(pipe, {"ready": True})
        while True:
            _answer(pipe, desk, memory)


def _answer(pipe: Pipe, desk: Any, memory: int) -> None:
    head, blobs = receive(pipe)
    if head["bundle"]["files"] and not desk.knows(head["bundle"]["key"]):
        send(pipe, {"wants": "bundle"})
        names, files = receive(pipe)
        desk.learn(head["bundle"]["key"], dict(zip(names["names"], files, strict=True)))
    set_alarm(head["limit"] + _GRACE)
    try:
        reply, parts = desk.answer(head, blobs)
    except MemoryError:
        reply, parts = {"failed": f"it takes more than the {memory / 1e9:.3g} GB of memory that one photo may take"}, []
    except Exception as error:  # a fault of ours that a photo brought out; the photo is reported, and the service goes on
        reply, parts = {"failed": f"camtrace failed on it: {type(error).__name__}"}, []
    set_alarm(None)
    send(pipe, reply, parts)


def _leave_with_parent() -> None:
    """Killed, the service cannot say goodbye."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)
