"""Splices made from real photos, with the truth: what is pasted where, how it is cut out, and what is done to the finished photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from itertools import zip_longest

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camtrace.degrade import NATIVE, degradation
from camtrace.lab.datasets import Record
from camtrace.photo import decode_photo, read_photo
from camtrace.types import CamtraceError

GRID = 16
RELATIONS = ("different", "same", "camera")
"""Of the two photos of a splice: different makers; one maker, two cameras; one camera."""
OUTLINES = ("square", "ragged")

Pixels = NDArray[np.uint8]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Forgery:
    """What is pasted where; a genuine photo has no donor."""

    host: Record
    donor: Record | None
    place: tuple[int, int]  # row and column in the host, as a share of the room there is, in 1/1000
    taken: tuple[int, int]  # the same in the donor
    aligned: bool


@dataclass(frozen=True)
class Way:
    """How splices of one kind are made."""

    relation: str = "different"  # one of RELATIONS
    side: int = 192  # of the pasted piece, in pixels
    feather: int = 0  # over how many pixels within it it fades in
    outline: str = "square"  # one of OUTLINES
    scale: float = 1.0  # of the donor, before its piece is taken
    state: str = NATIVE  # what is done to the finished photo


def draw(records: Sequence[Record], count: int, *, genuine: int, seed: int, relation: str = "different") -> list[Forgery]:
    """`count` splices, every other one aligned, then `genuine` photos as they are, each once while there are any; cameras first.

    Raises
    ------
    CamtraceError
        There is nothing to paste into anything.
    """
    rng = np.random.default_rng(seed)
    albums: dict[str, list[Record]] = {}
    for record in records:
        albums.setdefault(record.camera, []).append(record)
    donors = {camera: [other for other in albums if _may_paste(albums, camera, other, relation)] for camera in sorted(albums)}
    hosts = [camera for camera, others in donors.items() if others]
    if count and not hosts:
        raise CamtraceError(f"{len(albums)} cameras, none of which can be pasted into another; at least two are needed")

    def one(cameras: list[str], without: Record | None = None) -> Record:
        album = [record for record in albums[cameras[rng.integers(len(cameras))]] if record is not without]
        return album[rng.integers(len(album))]

    drawn = []
    for number in range(count):
        host = one(hosts)
        places = rng.integers(0, 1001, 4).tolist()
        donor = one(donors[host.camera], without=host)
        drawn.append(Forgery(host, donor, (places[0], places[1]), (places[2], places[3]), number % 2 == 0))
    return [*drawn, *(Forgery(record, None, (0, 0), (0, 0), False) for record in _in_turn(albums, genuine, rng))]


def _in_turn(albums: dict[str, list[Record]], count: int, rng: np.random.Generator) -> list[Record]:
    """Photos of one camera after the other, none twice before each was drawn once."""
    cameras = [sorted(albums)[place] for place in rng.permutation(len(albums))]
    mixed = [[albums[camera][place] for place in rng.permutation(len(albums[camera]))] for camera in cameras]
    rounds = [record for photos in zip_longest(*mixed) for record in photos if record is not None]
    return [rounds[number % len(rounds)] for number in range(count)]


def _may_paste(albums: dict[str, list[Record]], camera: str, other: str, relation: str) -> bool:
    if relation == "camera":
        return camera == other and len(albums[camera]) > 1
    return camera != other and (camera.split()[0] == other.split()[0]) == (relation == "same")


def make(forgery: Forgery, way: Way) -> tuple[Pixels, Flags]:
    """Read, paste and treat: pixels (h, w, 3) of the finished photo, and (h, w) where they were pasted before the treatment."""
    pixels = read_photo(forgery.host.path).pixels
    mask = np.zeros(pixels.shape[:2], bool)
    if forgery.donor is not None:
        donor = _scaled(read_photo(forgery.donor.path).pixels, way.scale)
        pixels, mask = forge(pixels, donor, forgery, side=way.side, feather=way.feather, outline=way.outline)
    return degradation(way.state)(pixels), mask


def tables_of(state: str) -> dict[int, tuple[int, ...]] | None:
    """The JPEG tables of a photo treated so, as a file would have them; None where it was not saved as JPEG."""
    kind, _, quality = state.partition(" ")
    if kind != "jpeg":
        return None
    stream = BytesIO()
    Image.new("RGB", (GRID, GRID)).save(stream, "JPEG", quality=int(quality))
    return decode_photo(stream.getvalue(), state).quantization


def _scaled(pixels: Pixels, scale: float) -> Pixels:
    if scale == 1:
        return pixels
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def forge(
    host: Pixels, donor: Pixels, forgery: Forgery, *, side: int, feather: int = 0, outline: str = "square"
) -> tuple[Pixels, Flags]:
    """Paste a piece of the donor into the host: the new pixels, and (h, w) True where they come half or more from the donor.

    `feather` is over how many pixels within a square it fades in. Raises CamtraceError where the piece does not fit.
    """
    if min(*host.shape[:2], *donor.shape[:2]) < side + GRID:
        raise CamtraceError(f"{host.shape[:2]} and {donor.shape[:2]} pixels, expected at least {side + GRID} each way")
    row, column = (share * (room - side - GRID) // 1000 for share, room in zip(forgery.place, host.shape, strict=False))
    down, across = (share * (room - side - GRID) // 1000 for share, room in zip(forgery.taken, donor.shape, strict=False))
    if forgery.aligned:
        down, across = down // GRID * GRID + row % GRID, across // GRID * GRID + column % GRID
    weight = _square(side, feather) if outline == "square" else _ragged(side, seed=sum(forgery.place))
    pasted, mask = host.copy(), np.zeros(host.shape[:2], bool)
    old, new = (
        part.astype(np.float64) for part in (host[row : row + side, column : column + side], donor[down:, across:][:side, :side])
    )
    pasted[row : row + side, column : column + side] = np.rint(old + weight[..., None] * (new - old))
    mask[row : row + side, column : column + side] = weight >= 0.5
    return pasted, mask


def _square(side: int, feather: int) -> NDArray[np.float64]:
    """(side, side) shares of the donor: 1 within, falling towards the border."""
    distance = np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5
    ramp = np.clip(distance / max(feather, 0.5), 0, 1)
    return np.minimum.outer(ramp, ramp)


def _ragged(side: int, *, seed: int) -> NDArray[np.float64]:
    """(side, side) 1 within an irregular outline, as of a person or a plant, else 0."""
    rng = np.random.default_rng(seed)
    down, across = np.meshgrid(*[np.linspace(-1, 1, side)] * 2, indexing="ij")
    angle = np.arctan2(down, across)
    radius = 0.7 + sum(rng.normal(0, 0.35) / turns * np.cos(turns * angle + rng.uniform(0, 2 * np.pi)) for turns in range(2, 8))
    return (np.hypot(down, across) < np.clip(radius, 0.3, 1)).astype(np.float64)
