"""Enrolment with worker processes: they read the photos and extract the features, this process fits and writes.

The bundle is the same byte for byte however many there are. A worker that dies or overstays costs the photo that it was at, which is
left out and reported. Nothing but paths, features and messages crosses between the processes, no pickles.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np

from camtrace import enrolment
from camtrace.batches.batch import TIME_LIMIT
from camtrace.batches.pool import Ask, Limits, Lost, Pool, Work
from camtrace.bundle import Bundle, open_bundle
from camtrace.enrolment import Embedded, Enrolment, Step, embed_photo
from camtrace.identification import BundleLike, ready
from camtrace.manifest import MANIFEST, BundleError, manifest_json
from camtrace.photo import Source
from camtrace.screening import visible
from camtrace.types import PhotoError

_TAUGHT, _LEFT_OUT, _BROKEN = b"T", b"L", b"B"
_HASH = 64  # hexadecimal digits


def enroll(
    folder: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    bundle: BundleLike = None,
    only: bool = False,
    force: bool = False,
    on_photo: Step = lambda _: None,
    jobs: int = 1,
) -> Enrolment:
    """Teach the cameras of `folder`, which holds one sub-folder of photos for each, and write the new bundle to `out`.

    The new cameras join those of the base `bundle`, unless `only` makes a bundle of just these. A sub-folder named as a camera
    that the base knows adds photos to it. `on_photo` is called after each photo, for progress. With more than one of `jobs` so many
    processes read the photos; the bundle is the same.

    Raises
    ------
    CamtraceError
        There is nothing to teach, `only` with fewer than two cameras, a base without reference features and not `only`, or `out`
        exists and `force` was not given; the processes cannot be set up.
    """
    base = ready(bundle)
    if jobs <= 1:
        return enrolment.enroll(folder, out=out, bundle=base, only=only, force=force, on_photo=on_photo)
    with Pool(set_up, packed(base), workers=jobs, limits=Limits(TIME_LIMIT)) as pool:
        embed = partial(embed_with, pool)
        return enrolment.enroll(folder, out=out, bundle=base, only=only, force=force, on_photo=on_photo, embed=embed)


def packed(base: Bundle) -> dict[str, bytes]:
    """The files of a loaded bundle, for a worker to open."""
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in base.files.items()}
    return {**base.files, MANIFEST: manifest_json(base.manifest, hashes)}


def set_up(files: dict[str, bytes]) -> Work:
    """In a worker process: open the bundle; returns what embeds the photo at a path."""
    base = open_bundle(files, threads=1)

    def work(job: bytes, _ask: Ask) -> bytes:
        try:
            return _pack(embed_photo(os.fsdecode(job[1:]), base, copies=job[0]))
        except PhotoError as error:
            return _LEFT_OUT + str(error).encode("utf-8", "backslashreplace")
        except BundleError as error:
            return _BROKEN + str(error).encode("utf-8", "backslashreplace")

    return work


def embed_with(pool: Pool, shots: Iterable[tuple[Source, int]]) -> Iterator[Embedded | PhotoError]:
    """Photos, given by path, embedded by the processes of a pool; as `camtrace.enrolment.Embed`.

    Raises
    ------
    CamtraceError
        The processes cannot be set up, or the bundle gives no numbers.
    """

    def jobs() -> Iterator[tuple[str, bytes]]:
        for source, copies in shots:
            assert isinstance(source, str | os.PathLike)  # albums of a folder hold nothing else
            yield os.fspath(source), bytes([copies]) + os.fsencode(source)

    for path, result in pool.run_named(jobs()):
        yield PhotoError(f"{visible(path)}: {result.reason}") if isinstance(result, Lost) else _unpack(result)


def _pack(found: Embedded) -> bytes:
    from safetensors.numpy import save

    return _TAUGHT + found.sha256.encode() + save({str(number): part for number, part in found.features.items()})


def _unpack(result: bytes) -> Embedded | PhotoError:
    from safetensors.numpy import load

    kind, rest = result[:1], result[1:]
    if kind == _TAUGHT:
        tensors = load(rest[_HASH:])
        features = {number: tensors[str(number)].astype(np.float32) for number in sorted(map(int, tensors))}
        return Embedded(rest[:_HASH].decode(), features)
    message = rest.decode("utf-8", "replace")
    if kind == _BROKEN:
        raise BundleError(message)
    return PhotoError(message)
