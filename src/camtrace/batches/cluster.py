"""Many photos on a cluster: Ray Data lists and judges them and writes Parquet, with the workers and the verdicts of the local engine.

Only paths travel through Ray; each photo is read where it is judged, from any file system that pyarrow knows (a folder, s3://, gs://,
hdfs://) or fsspec does. Each actor holds one process of `pool`, with the bundle loaded once: a photo that takes too long or kills its
process ends as a verdict, as it does locally, and only where Ray itself loses an actor or a machine the photos there are judged again.
Ray Data holds back what comes faster than it is judged or written. Its usage statistics and its dashboard stay off.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camtrace.batches.batch import Earlier, Task, judge_with, work_with
from camtrace.batches.journal import Tally
from camtrace.batches.pool import Limits, Pool, Work
from camtrace.bundle import load_bundle
from camtrace.outputs import to_table
from camtrace.photo import MAX_BYTES, SUFFIXES, Source, read_bytes, walk
from camtrace.runtime import cores
from camtrace.safe_files import read_stream
from camtrace.screening import visible
from camtrace.types import CamtraceError, PhotoError

if TYPE_CHECKING:
    import pyarrow
    from pyarrow.fs import FileSystem

PHOTOS_AT_ONCE = 32
"""Photos that an actor gets at a time, and are judged again if it is lost."""

PHOTOS_A_FILE = 20_000
"""Verdicts in each file at least, where there are so many; some 40 MB of memory."""

_LISTED_AT_ONCE = 1000
_BLOCK = 2**20  # bytes; Ray's own 128 MiB would hold a million paths back before the first photo is judged
_OURS, _RAYS = 0.9, 0.05  # of a core: judging leaves room on each machine for listing and writing, even on one of two cores


@dataclass(frozen=True)
class Cluster:
    """Where to run and how: `address` None is a local cluster of its own, `actors` None one for each core that there is room for."""

    address: str | None = None
    actors: int | None = None
    limits: Limits = field(default_factory=Limits)
    remember: bool = True  # verdicts for copies, each actor its own
    setup: Callable[[Task, list[str]], Work] | None = None  # replaces `set_up`


def judge(paths: list[str], out: str, *, task: Task, cluster: Cluster, force: bool = False) -> tuple[Tally, list[str]]:
    """Judge photos and the photos in folders, all named by path or URI, into a folder of Parquet files; their order is not kept.

    Returns what came of the photos and messages on folders without any. Paths are named in full in the verdicts.

    Raises
    ------
    CamtraceError
        The folder at `out` is not empty, or the cluster cannot be reached or used.
    """
    here = [path if is_uri(path) else str(Path(path).absolute()) for path in paths]  # the cluster's processes run elsewhere
    task = replace(task, bundle=None if task.bundle is None else str(Path(task.bundle).absolute()))
    system, folder = locate(out)
    _clear(system, folder, out, force=force)
    with _session(cluster) as data:
        names = data.from_items([{"path": path} for path in here], override_num_blocks=min(len(here), 1000))
        judged = _to_actors(
            names.map_batches(_list, batch_size=1, num_cpus=_RAYS), _Actor, (here, task, cluster), cluster, PHOTOS_AT_ONCE
        )
        judged.write_parquet(folder, filesystem=system, min_rows_per_file=PHOTOS_A_FILE, ray_remote_args={"num_cpus": _RAYS})
    return _count(system, folder), [f"{path}: no photos in this folder" for path in here if next(_find(path), None) is None]


def on_actors(
    paths: list[str], actor: type, settings: tuple[Any, ...], cluster: Cluster, photos_at_once: int
) -> Iterator[dict[str, Any]]:
    """The rows that actors, made with `settings`, give for photos; a table of the column `path` at a time, in any order.

    Raises
    ------
    CamtraceError
        The cluster cannot be reached or used.
    """
    with _session(cluster) as data:
        names = data.from_items([{"path": os.fsencode(path)} for path in paths])
        yield from _to_actors(names, actor, settings, cluster, photos_at_once).iter_rows()


def _to_actors(names: Any, actor: type, settings: tuple[Any, ...], cluster: Cluster, photos_at_once: int) -> Any:
    """Names of photos, in parts, to actors that look at them."""
    import ray

    return names.repartition(target_num_rows_per_block=photos_at_once).map_batches(
        actor,
        fn_constructor_args=settings,
        batch_size=photos_at_once,
        batch_format="pyarrow",
        num_cpus=_OURS,
        compute=ray.data.ActorPoolStrategy(size=_count_actors(cluster)),  # a pool that may grow does not, measured
    )


def _count_actors(cluster: Cluster) -> int:
    """As many as were asked for, else as there is room for: one core of the cluster is left for listing and writing."""
    import ray

    room = max(1, int(ray.cluster_resources().get("CPU", 1)) - 1)  # type: ignore[no-untyped-call]
    return min(cluster.actors or room, room)


@contextmanager
def _session(cluster: Cluster) -> Iterator[Any]:
    """Ray Data on the cluster, which ends with it if it was started for it. What goes wrong there is a CamtraceError."""
    started = _connect(cluster)
    import ray

    try:
        yield ray.data
    except ray.exceptions.RayError as error:
        raise CamtraceError(f"the cluster failed: {error}") from error
    finally:
        if started:
            ray.shutdown()


def _connect(cluster: Cluster) -> bool:
    """A local cluster without dashboard, or the one at the address; nothing is told to Ray's makers. Whether it was not there yet."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import logging

    import ray

    started = not ray.is_initialized()
    if started:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            if cluster.address is None:
                ray.init(include_dashboard=False, num_cpus=(cluster.actors or cores()) + 1, **quiet)
            else:
                ray.init(address=cluster.address, **quiet)
        except Exception as error:  # ConnectionError, ValueError and others, by version
            raise CamtraceError(f"the Ray cluster at {cluster.address or 'this machine'} cannot be used: {error}") from error
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.target_max_block_size = _BLOCK
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return started


def _list(batch: dict[str, Any]) -> Iterator[pyarrow.Table]:
    """Names of the photos in folders, in parts; a name may hold bytes that are no text."""
    import pyarrow

    photos = itertools.chain.from_iterable(map(_find, batch["path"]))
    while part := [os.fsencode(photo) for photo in itertools.islice(photos, _LISTED_AT_ONCE)]:
        yield pyarrow.table({"path": pyarrow.array(part, pyarrow.binary())})


class _Actor:
    """One worker of the local engine within a Ray actor."""

    def __init__(self, roots: list[str], task: Task, cluster: Cluster) -> None:
        self._bundle = load_bundle(task.bundle, threads=1).id
        self._earlier = Earlier() if cluster.remember else Earlier(0)
        self._pool = Pool(cluster.setup or set_up, task, roots, workers=1, limits=cluster.limits)

    def __call__(self, batch: pyarrow.Table) -> pyarrow.Table:
        photos = [os.fsdecode(path) for path in batch.column("path").to_pylist()]
        return to_table(verdict.to_dict() for verdict in judge_with(self._pool, photos, self._bundle, earlier=self._earlier))


def set_up(task: Task, roots: list[str]) -> Work:
    """In a worker process: as `batch.set_up`, with photos from any file system."""
    return work_with(load_bundle(task.bundle, threads=1), task, read=Reading(roots))


class Reading:
    """Reads photos by path or by URI; `roots` are the URIs that were asked for, which may carry options of their file systems."""

    def __init__(self, roots: list[str]) -> None:
        self._systems: dict[str, tuple[FileSystem, str]] = {}
        for root in filter(is_uri, roots):
            system, folder = locate(root)
            self._systems[_base(root, system)] = system, folder

    def __call__(self, source: Source, name: str) -> bytes:
        """The bytes of a photo. Raises PhotoError."""
        if not isinstance(source, str) or not is_uri(source):
            return read_bytes(source, name)
        root = max((root for root in self._systems if source == root or source.startswith(f"{root}/")), key=len)
        system, folder = self._systems[root]
        try:
            with system.open_input_stream(folder + source[len(root) :], compression=None) as stream:
                return read_stream(stream, most=MAX_BYTES)
        except Exception as error:  # each file system has errors of its own
            raise PhotoError(f"{visible(name)}: cannot be read: {error}") from error


def is_uri(path: str) -> bool:
    """Whether it names a place by its file system, as s3://bucket/folder does."""
    return "://" in path


def locate(path: str) -> tuple[FileSystem, str]:
    """The file system of a path or URI, and its path there: by pyarrow, else by fsspec.

    Raises
    ------
    CamtraceError
        Neither knows such a file system.
    """
    from pyarrow.fs import FileSystem, FSSpecHandler, LocalFileSystem, PyFileSystem

    if not is_uri(path):
        return LocalFileSystem(), str(Path(path).absolute())
    try:
        system, inner = FileSystem.from_uri(path)
    except Exception as not_arrow:
        try:
            import fsspec

            found, inner = fsspec.core.url_to_fs(path)
        except Exception as error:  # not installed, an unknown scheme, no credentials
            raise CamtraceError(f"{path}: no such file system: {not_arrow}; {error}") from error
        system = PyFileSystem(FSSpecHandler(found))
    return system, inner.rstrip("/")


def _base(uri: str, system: FileSystem) -> str:
    """What begins the names of photos: a URI without the options for pyarrow's file system; fsspec's have none in theirs."""
    from pyarrow.fs import PyFileSystem

    return (uri if isinstance(system, PyFileSystem) else uri.split("?")[0]).rstrip("/")


def _find(path: str) -> Iterator[str]:
    """The photos in a folder, or the photo itself. A folder that cannot be read is given as a photo, which then says so."""
    if is_uri(path):
        system, inner = locate(path)
        yield from _find_remote(system, inner, _base(path, system))
    elif Path(path).is_dir():
        broken: list[str] = []
        yield from walk(Path(path), on_error=lambda error: broken.append(str(error.filename)))
        yield from broken
    else:
        yield path


def _find_remote(system: FileSystem, inner: str, name: str) -> Iterator[str]:
    from pyarrow.fs import FileSelector, FileType

    if system.get_file_info(inner).type != FileType.Directory:
        yield name
        return
    folders = [inner]
    while folders:
        folder = folders.pop()
        found = [one for one in system.get_file_info(FileSelector(folder)) if not one.base_name.startswith(".")]
        for one in sorted(found, key=lambda one: one.base_name):
            if one.type == FileType.File and Path(one.base_name).suffix.lower() in SUFFIXES:
                yield name + one.path[len(inner) :]
        folders += sorted((one.path for one in found if one.type == FileType.Directory), reverse=True)


def _clear(system: FileSystem, folder: str, out: str, *, force: bool) -> None:
    """Make room for the results: a folder with anything in it stays as it is, but for results given up by `force`."""
    from pyarrow.fs import FileSelector, FileType

    if system.get_file_info(folder).type == FileType.File:
        raise CamtraceError(f"{out}: is a file, expected a folder or nothing")
    there = system.get_file_info(FileSelector(folder, allow_not_found=True))
    if there and not force:
        raise CamtraceError(f"{out}: is there already and not empty; --force replaces the verdicts in it")
    if strange := [one.base_name for one in there if one.type != FileType.File or one.extension != "parquet"]:
        raise CamtraceError(f"{out}: holds {strange[0]!r} and so more than verdicts; choose another folder")
    for one in there:
        system.delete_file(one.path)


def _count(system: FileSystem, folder: str) -> Tally:
    """What came of the photos, from what was written."""
    import pyarrow.dataset
    from pyarrow.fs import FileSelector

    tally = Tally()
    if not system.get_file_info(FileSelector(folder, allow_not_found=True)):
        return tally
    written = pyarrow.dataset.dataset(folder, filesystem=system, format="parquet")
    for batch in written.to_batches(columns=["source", "status", "reason"]):
        for row in batch.to_pylist():
            tally.add(row["source"], row["status"], row["reason"])
    return tally
