"""Patches cached once as uint8, so that training never waits for a decoder.

A store is a folder: `patches.npy` (n, size, size, 3) uint8, memory-mapped, and `index.npy` (n, 3) int32: photo, label and copy.
Copy 0 is the photo as the camera saved it, the others are degraded at random, as photos are on their way to whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from camtrace.degrade import NATIVE, degradation, degrade_at_random
from camtrace.experts import OF_A_COPY
from camtrace.history import cut_patches, examine, find_grid, origin_of
from camtrace.lab.datasets import Record
from camtrace.mishaps import COPIES, copies_of
from camtrace.patches import PATCH_SIZE
from camtrace.photo import decode_photo, read_photo
from camtrace.runtime import one_thread_each
from camtrace.simulator import MadeCamera, clean_scene, save, shoot
from camtrace.types import PhotoError

PER_PHOTO = 64
PER_SHOT = 12
PER_COPY = 10
PER_SHOT_COPY = 6
_STEP = 16  # copies are cut on a grid this fine: the least common period of JPEG blocks and subsampled chroma
_MADE_SIDE = 256  # pixels of a made photo that are degraded: enough for a few patches
WORTH_A_POOL = 200
"""Photos from which on more processes save more time than they take to begin."""

Pixels = NDArray[np.uint8]


def ranks_within(photos: NDArray[np.integer]) -> NDArray[np.int64]:
    """(n,) place of each row within its photo, 0 first; `photos` (n,) names the photo of each row, those of one photo together."""
    _, starts, sizes = np.unique(photos, return_index=True, return_counts=True)
    ranks: NDArray[np.int64] = np.arange(len(photos)) - np.repeat(starts, sizes)
    return ranks


@dataclass(frozen=True)
class PatchStore:
    """Cached patches, best first within each photo; for made cameras, the photo is the real one whose scene they shot."""

    patches: Pixels  # (n, size, size, 3)
    photos: NDArray[np.int32]  # (n,) which photo
    labels: NDArray[np.int32]  # (n,) which camera
    copies: NDArray[np.int32] | None = None  # (n,) 0 = as the camera saved it; None: all are

    def __len__(self) -> int:
        return len(self.patches)

    def ranks(self) -> NDArray[np.int64]:
        """(n,) place of each patch within its photo, or within its copy: 0 is the best."""
        return ranks_within(self.shots())

    def shots(self) -> NDArray[np.int64]:
        """(n,) which shot each patch belongs to: one copy of one photo by one camera; numbered from 0 in the order of the store."""
        table = np.stack([self.photos, self.labels, np.zeros_like(self.photos) if self.copies is None else self.copies])
        changes = (table[:, 1:] != table[:, :-1]).any(axis=0)
        shots: NDArray[np.int64] = np.concatenate([[0], np.cumsum(changes)]).astype(np.int64)[: len(self.photos)]
        return shots

    def where(self, keep: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Positions of patches whose photo is kept; `keep` is (n_photos,) bool."""
        return np.flatnonzero(keep[self.photos])


def open_store(folder: Path) -> PatchStore:
    """Memory-map a store that was written before."""
    index = np.load(folder / "index.npy")
    patches = np.load(folder / "patches.npy", mmap_mode="r")[: len(index)]  # the rest of the file was never written
    return PatchStore(patches, index[:, 0], index[:, 1], index[:, 2] if index.shape[1] > 2 else None)


@dataclass(frozen=True)
class Cut:
    """Which patches of a photo go into a store; `degradation` is a name that `camtrace.degrade` understands."""

    size: int = PATCH_SIZE
    rule: str = "mid-tone"
    count: int = PER_PHOTO
    degradation: str = NATIVE


DEFAULT_CUT = Cut()


def cache_photos(
    records: Sequence[Record],
    folder: Path,
    *,
    labels: Sequence[int],
    cut: Cut = DEFAULT_CUT,
    photos: Sequence[int] | None = None,
    copies: int = 0,
    seed: int = 0,
    jobs: int = 2,
) -> PatchStore:
    """Cache patches of every record that can be read, or of those at the indices `photos`; or open the store if it is there.

    After those of the photo come PER_COPY patches, at random places, of each of so many degraded `copies`.
    """
    if (folder / "index.npy").is_file():
        return open_store(folder)
    chosen = range(len(records)) if photos is None else sorted(photos)
    with _workers(jobs if len(chosen) >= WORTH_A_POOL else 1) as each:
        work = partial(_patches_of, cut=cut, copies=copies, seed=seed)
        cuts = each(work, chosen, [records[photo].path for photo in chosen])
        found = zip(chosen, tqdm(cuts, "photos", len(chosen), disable=None), strict=True)
        shots = ((photo, labels[photo], copy, patches) for photo, copied in found for copy, patches in enumerate(copied))
        return _write(folder, shots, len(chosen) * (cut.count + copies * PER_COPY), size=cut.size)


def cache_copies(records: Sequence[Record], folder: Path, *, labels: Sequence[int], jobs: int = 2) -> PatchStore:
    """Cache the copies of every record that `enroll` would teach a head on; or open the store if it is there."""
    if (folder / "index.npy").is_file():
        return open_store(folder)
    with _workers(jobs if len(records) >= WORTH_A_POOL else 1) as each:
        cuts = each(_taught_copies, [record.path for record in records])
        shots = (
            (photo, labels[photo], copy, patches)
            for photo, copied in enumerate(tqdm(cuts, "degraded copies", len(records), disable=None))
            for copy, patches in copied
        )
        return _write(folder, shots, len(records) * COPIES * OF_A_COPY)


def _taught_copies(path: Path) -> list[tuple[int, Pixels]]:
    """Numbers and patches of the copies of a photo; none where it cannot be used."""
    try:
        photo = read_photo(path)
    except PhotoError:
        return []
    origin = origin_of(photo.pixels, examine(photo).grid, size=PATCH_SIZE)
    return [(number, patches.pixels) for number, patches in copies_of(photo, origin, rule=DEFAULT_CUT.rule, size=PATCH_SIZE)]


def cache_made(
    cameras: Sequence[MadeCamera], scenes: Sequence[Path], folder: Path, *, per_camera: int, seed: int, copies: int = 0, jobs: int = 2
) -> PatchStore:
    """Let every made camera shoot `per_camera` scenes, drawn from real photos cleaned of their own traces.

    With `copies` each photo gives PER_SHOT_COPY patches, and as many of every degraded copy of it.
    """
    if (folder / "index.npy").is_file():
        return open_store(folder)
    work = partial(_shoot_all, scenes=scenes, count=per_camera, seed=seed, copies=copies)
    with _workers(jobs if len(cameras) * per_camera >= WORTH_A_POOL else 1) as each:
        rolls = tqdm(each(work, enumerate(cameras)), "made cameras", len(cameras), disable=None)
        shots = (
            (scene, label, copy, patches)
            for label, roll in enumerate(rolls)
            for scene, copied in roll
            for copy, patches in enumerate(copied)
        )
        return _write(folder, shots, len(cameras) * per_camera * max(PER_SHOT, PER_SHOT_COPY * (1 + copies)))


@contextmanager
def _workers(jobs: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """A `map` over so many processes, begun anew rather than forked: PyTorch has threads."""
    if jobs == 1:
        yield map
        return
    with one_thread_each(), ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield partial(pool.map, chunksize=4)


def _write(folder: Path, shots: Iterable[tuple[int, int, int, Pixels]], capacity: int, *, size: int = PATCH_SIZE) -> PatchStore:
    """Append patches as they come; `index.npy` is written last, so that a store cut short is made anew."""
    folder.mkdir(parents=True, exist_ok=True)
    index: list[tuple[int, int, int]] = []
    shape = (capacity, size, size, 3)
    stored = np.lib.format.open_memmap(folder / "patches.npy", mode="w+", dtype=np.uint8, shape=shape)
    for photo, label, copy, patches in shots:
        stored[len(index) : len(index) + len(patches)] = patches
        index += [(photo, label, copy)] * len(patches)
    stored.flush()
    np.save(folder / "index.npy", np.array(index, np.int32).reshape(-1, 3))
    return open_store(folder)


def _patches_of(number: int, path: Path, *, cut: Cut, copies: int, seed: int) -> list[Pixels]:
    """Patches of a photo, then those of each degraded copy of it."""
    try:
        photo = read_photo(path)
        photo = replace(photo, pixels=degradation(cut.degradation)(photo.pixels))
        native = cut_patches(photo, rule=cut.rule, count=cut.count, size=cut.size).pixels
    except PhotoError:
        return [np.empty((0, cut.size, cut.size, 3), np.uint8)]
    rng = np.random.default_rng([seed, number])
    return [native, *_copies_of(photo.pixels, rng, copies=copies, count=PER_COPY, size=cut.size)]


def _copies_of(pixels: Pixels, rng: np.random.Generator, *, copies: int, count: int, size: int = PATCH_SIZE) -> list[Pixels]:
    return [_cut_at_random(degrade_at_random(pixels, rng, smallest=size), rng, count, size) for _ in range(copies)]


def _cut_at_random(pixels: Pixels, rng: np.random.Generator, count: int, size: int) -> Pixels:
    """Up to `count` patches, neither dark nor blown out, at random places of a fine grid that starts where the JPEG's does."""
    top, left = origin_of(pixels, find_grid(pixels), size=size)
    pixels = pixels[top:, left:]
    rows, columns = ((side - size) // _STEP + 1 for side in pixels.shape[:2])
    found: list[Pixels] = []
    for _ in range(4 * count):
        row, column = int(rng.integers(rows)) * _STEP, int(rng.integers(columns)) * _STEP
        patch = pixels[row : row + size, column : column + size]
        if len(found) < count and 30 < patch.mean() < 225 and (patch == 255).mean() < 0.02:
            found.append(patch)
    return np.stack(found) if found else np.empty((0, size, size, 3), np.uint8)


def _shoot_all(
    numbered: tuple[int, MadeCamera], *, scenes: Sequence[Path], count: int, seed: int, copies: int
) -> list[tuple[int, list[Pixels]]]:
    number, camera = numbered
    rng = np.random.default_rng([seed, number])
    drawn = rng.integers(len(scenes), size=count)
    return [(int(scene), _shoot_one(camera, scenes[scene], rng, copies)) for scene in drawn]


def _shoot_one(camera: MadeCamera, path: Path, rng: np.random.Generator, copies: int) -> list[Pixels]:
    """Patches of one photo by a made camera, at random places of the grid; then those of degraded copies."""
    scene = clean_scene(read_photo(path).pixels)
    if rng.random() < 0.5:
        scene = scene[:, ::-1]
    seed = int(rng.integers(1 << 31))
    photo = decode_photo(save(shoot(scene, camera, device=seed % 1000, seed=seed), camera, seed=seed, exif=False), "made photo")
    if copies:
        pixels = photo.pixels[:_MADE_SIDE, :_MADE_SIDE]
        native = _cut_at_random(pixels, rng, PER_SHOT_COPY, PATCH_SIZE)
        return [native, *_copies_of(pixels, rng, copies=copies, count=PER_SHOT_COPY)]
    try:
        patches = cut_patches(photo, count=PER_PHOTO).pixels
    except PhotoError:
        return [np.empty((0, PATCH_SIZE, PATCH_SIZE, 3), np.uint8)]
    return [patches[rng.permutation(len(patches))[:PER_SHOT]]]
