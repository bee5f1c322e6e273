"""Many photos against a database of devices: in worker processes or on a Ray cluster, the results of `device.match` either way.

Each worker opens the database once. A photo that takes too long or kills its worker is reported as `unreadable`, the others go on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camtrace.batches.batch import TIME_LIMIT
from camtrace.batches.pool import Ask, Limits, Lost, Pool, Work
from camtrace.devices.device import DeviceMatch, DeviceRanked, match
from camtrace.devices.matching import Search
from camtrace.devices.store import open_database
from camtrace.screening import visible
from camtrace.types import UNKNOWN, Claim

if TYPE_CHECKING:
    import pyarrow

    from camtrace.batches.cluster import Cluster

PHOTOS_AT_ONCE = 8
"""Photos that an actor gets at a time: each is compared with every device."""


@dataclass(frozen=True)
class Task:
    """What every worker must know: the database and how to search; see `device.match`."""

    db: str
    search: Search = field(default_factory=Search)
    shortlist: int = 0


def match_in_pool(
    photos: Iterable[str], task: Task, *, jobs: int, limits: Limits | None = None, setup: Callable[[Task], Work] | None = None
) -> Iterator[DeviceMatch]:
    """Match photos, given by path, with `jobs` worker processes; results in the order given. `setup` replaces `set_up`.

    Raises
    ------
    CamtraceError
        The workers cannot be set up, for example since the database cannot be used.
    """
    with Pool(setup or set_up, task, workers=jobs, limits=limits or Limits(TIME_LIMIT)) as pool:
        yield from _match_with(pool, photos)


def match_on_cluster(photos: Sequence[str], task: Task, cluster: Cluster) -> Iterator[DeviceMatch]:
    """Match photos on a Ray cluster, whose machines must see photos and database under the same paths; in any order.

    Raises
    ------
    CamtraceError
        The cluster cannot be reached or used.
    """
    from camtrace.batches.cluster import on_actors

    there = replace(task, db=str(Path(task.db).absolute()))
    for row in on_actors([str(Path(photo).absolute()) for photo in photos], _Actor, (there, cluster.limits), cluster, PHOTOS_AT_ONCE):
        yield read_match(json.loads(row["match"]))


class _Actor:
    """One worker of the pool within a Ray actor."""

    def __init__(self, task: Task, limits: Limits) -> None:
        self._pool = Pool(set_up, task, workers=1, limits=limits)

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        import pyarrow

        photos = [os.fsdecode(path) for path in batch.column("path").to_pylist()]
        found = [json.dumps(one.to_dict()) for one in _match_with(self._pool, photos)]
        return pyarrow.table({"match": pyarrow.array(found, pyarrow.string())})


def _match_with(pool: Pool, photos: Iterable[str]) -> Iterator[DeviceMatch]:
    for name, result in pool.run_named((photo, os.fsencode(photo)) for photo in photos):
        if isinstance(result, Lost):
            yield DeviceMatch(name, None, "unreadable", UNKNOWN, None, f"{visible(name)}: {result.reason}")
        else:
            yield read_match(json.loads(result))


def set_up(task: Task) -> Work:
    """In a worker process: open the database; returns what matches the photo at a path and gives the result's JSON."""
    database = open_database(Path(task.db))

    def work(job: bytes, _ask: Ask) -> bytes:
        found = match(os.fsdecode(job), database, search=task.search, shortlist=task.shortlist)
        return json.dumps(found.to_dict()).encode()

    return work


def read_match(document: dict[str, Any]) -> DeviceMatch:
    """What `DeviceMatch.to_dict` gave, as a result again; raises TypeError or KeyError where it is none."""
    pairs = ("size", "shift")
    lines = tuple(DeviceRanked(**{**line, **{name: tuple(line[name]) for name in pairs}}) for line in document["ranking"])
    return DeviceMatch(**{**document, "ranking": lines, "warnings": tuple(document["warnings"]), "claim": Claim(**document["claim"])})
