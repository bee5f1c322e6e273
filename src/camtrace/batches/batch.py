"""Many photos -> verdicts, one after the other in the order given, in this process or in several.

Every engine, the cluster's as well, judges a photo by the one function `judge`, with one thread for the net, so that it does not matter
which of them judged it. Memory is bounded however many photos there are: paths are walked as they are needed, only some photos are in
flight, and only some verdicts are remembered.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from camtrace.batches.pool import Ask, Limits, Lost, Pool, Work
from camtrace.bundle import Bundle, load_bundle
from camtrace.identification import identify
from camtrace.outputs import read_verdict
from camtrace.photo import Source, describe, read_bytes
from camtrace.screening import visible
from camtrace.types import UNKNOWN, BundleId, CamtraceError, Claim, Mode, PhotoError, Verdict, VotingWay

REMEMBERED = 8192
"""Verdicts that are kept to recognise copies of a photo by the hash of its bytes: some 30 MB."""

TIME_LIMIT = 120.0
"""Seconds that a worker gets for a photo if nothing else is said; 200 megapixels take about five."""

Known = Callable[[str], bytes]
"""SHA-256 of a photo -> the JSON of the verdict on such bytes, empty where none is known."""

Reader = Callable[[Source, str], bytes]
"""A photo and its name -> its bytes; raises PhotoError."""

_PATH, _DATA, _REFUSED = b"P", b"D", b"R"


@dataclass(frozen=True)
class Task:
    """What every worker must know to judge as the others do; the fields are those of `identify`."""

    bundle: str | None = None  # its folder; None: the one that ships
    patches: int | None = None
    vote: VotingWay | None = None
    mode: Mode = "balanced"


class Earlier:
    """The latest verdicts by the hash of the photo's bytes, to give them again for copies; `hits` says how often."""

    def __init__(self, size: int = REMEMBERED) -> None:
        self._verdicts: OrderedDict[str, bytes] = OrderedDict()
        self._size = size
        self.hits = 0

    def find(self, sha256: str) -> bytes:
        """The JSON of the verdict on these bytes, empty where it is not known or no more."""
        if (found := self._verdicts.get(sha256, b"")) != b"":
            self._verdicts.move_to_end(sha256)
            self.hits += 1
        return found

    def keep(self, verdict: Verdict) -> None:
        """Remember a verdict, and forget the one that was not asked for longest."""
        if verdict.sha256 is None or self._size == 0 or verdict.sha256 in self._verdicts:
            return
        self._verdicts[verdict.sha256] = verdict.to_json(indent=None).encode()
        if len(self._verdicts) > self._size:
            self._verdicts.popitem(last=False)


def judge(
    source: Source,
    bundle: Bundle,
    *,
    task: Task,
    known: Known | None = None,
    name: str | None = None,
    read: Reader = read_bytes,
) -> Verdict:
    """Judge one photo: what every engine does. Always a verdict; `known` may spare the work for a copy.

    Raises
    ------
    BundleError
        The bundle cannot be used.
    """
    name = name or describe(source)
    try:
        data = read(source, name)
        if known is not None and (earlier := known(hashlib.sha256(data).hexdigest())):
            return _again(earlier, name)
        return identify(data, bundle=bundle, patches=task.patches, vote=task.vote, mode=task.mode, name=name)
    except PhotoError as error:
        return not_judged(name, str(error), bundle.id)
    except CamtraceError:
        raise
    except Exception as error:  # whatever a photo provokes, the others are still judged
        why = "not enough memory" if isinstance(error, MemoryError) else f"camtrace failed on it: {type(error).__name__}: {error}"
        return not_judged(name, f"{visible(name)}: {why}", bundle.id)


def judge_here(sources: Iterable[Source], bundle: Bundle, *, task: Task, earlier: Earlier | None = None) -> Iterator[Verdict]:
    """The serial engine: one photo after the other in this process."""
    for source in sources:
        verdict = judge(source, bundle, task=task, known=earlier.find if earlier else None)
        yield verdict
        if earlier:
            earlier.keep(verdict)


def judge_in_pool(
    sources: Iterable[Source],
    bundle: BundleId,
    *,
    task: Task,
    jobs: int,
    limits: Limits | None = None,
    earlier: Earlier | None = None,
    setup: Callable[[Task], Work] | None = None,
) -> Iterator[Verdict]:
    """The pool engine: `jobs` processes, each with the bundle loaded once.

    A photo whose process dies or takes too long is `unreadable`, with a reason that says so, and the others go on. `bundle` is for such
    verdicts. `setup` replaces what a process does with its jobs, see `set_up`.

    Raises
    ------
    CamtraceError
        The processes cannot be set up, for example since the bundle cannot be used.
    """
    with Pool(setup or set_up, task, workers=jobs, limits=limits or Limits(TIME_LIMIT)) as pool:
        yield from judge_with(pool, sources, bundle, earlier=earlier)


def judge_with(pool: Pool, sources: Iterable[Source], bundle: BundleId, *, earlier: Earlier | None = None) -> Iterator[Verdict]:
    """Judge photos with a pool that is there already; see `judge_in_pool`."""
    earlier = Earlier(0) if earlier is None else earlier
    for name, result in pool.run_named(_packed(sources), reply=lambda sha256: earlier.find(sha256.decode())):
        if isinstance(result, Lost):
            yield not_judged(name, f"{visible(name)}: {result.reason}", bundle, sha256=result.question.decode() or None)
        else:
            verdict = read_verdict(json.loads(result))
            earlier.keep(verdict)
            yield verdict


def set_up(task: Task) -> Work:
    """In a worker process: load the bundle; returns what judges a packed photo and gives the verdict's JSON."""
    return work_with(load_bundle(task.bundle, threads=1), task)


def work_with(bundle: Bundle, task: Task, *, read: Reader = read_bytes) -> Work:
    """What a worker does with its jobs; `read` gives the bytes of a photo that comes as a path."""

    def work(job: bytes, ask: Ask) -> bytes:
        def known(sha256: str) -> bytes:
            return ask(sha256.encode())

        end = 5 + int.from_bytes(job[1:5])
        kind, path, rest = job[:1], os.fsdecode(job[5:end]), job[end:]
        if kind == _REFUSED:
            return not_judged(path, rest.decode(), bundle.id).to_json(indent=None).encode()
        source = rest if kind == _DATA else path
        return judge(source, bundle, task=task, known=known, name=path, read=read).to_json(indent=None).encode()

    return work


def _packed(sources: Iterable[Source]) -> Iterator[tuple[str, bytes]]:
    """Photos by name, as the bytes that go to a worker: a path, or the data of a stream, which only this process can read."""
    for source in sources:
        name = describe(source)
        kind, rest = _PATH, b""
        if not isinstance(source, str):
            try:
                kind, rest = _DATA, read_bytes(source, name)
            except PhotoError as error:
                kind, rest = _REFUSED, str(error).encode("utf-8", "backslashreplace")
        encoded = os.fsencode(name)
        yield name, kind + len(encoded).to_bytes(4) + encoded + rest


def _again(earlier: bytes, name: str) -> Verdict:
    """The verdict on a copy: the same with its own name, which may begin the reason."""
    verdict = read_verdict(json.loads(earlier))
    start = f"{visible(verdict.source)}: "
    named = verdict.reason.startswith(start)
    return replace(verdict, source=name, reason=f"{visible(name)}: {verdict.reason[len(start) :]}" if named else verdict.reason)


def not_judged(name: str, reason: str, bundle: BundleId, *, sha256: str | None = None) -> Verdict:
    """The verdict on a photo that could not be judged at all: `unreadable`."""
    return Verdict(
        source=name,
        sha256=sha256,
        status="unreadable",
        answer=UNKNOWN,
        answer_level="unknown",
        best=None,
        reason=reason,
        ranking=(),
        n_patches=0,
        log10_lr=None,
        claim=Claim(),
        claim_agrees=None,
        bundle=bundle,
    )
