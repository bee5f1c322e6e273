"""Where in a photo does something come from another camera or another processing history (METHOD section 7).

The features of overlapping blocks are clustered in two (`blocks`); how far the clusters lie apart, and whether they compare
as two cameras do, is the photo's score (`alarm`). It alarms where the score reaches a threshold that was measured on genuine
photos (localization.json), and only then are there regions: what is foreign in the fused map. Below the threshold nothing is claimed,
nor is it said that the photo is genuine.

The fused map is how much nearer each place lies to the foreign cluster, raised where the noise or the JPEG grid is another one than in
most of the photo: both made it better on photos that its weights were not fitted on. Resampling did not, and is a map of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from camtrace.bundle import Bundle
from camtrace.history import Grid, History, examine, origin_of
from camtrace.identification import BundleLike, ready
from camtrace.photo import Source, describe, read_photo
from camtrace.tampering.alarm import Found, Measured, judge_photo, read_measured, sum_up
from camtrace.tampering.blocks import CELL, Blocks, Flags, Floats, OnStep, choose_stride, gather, ignore, paint, split_blocks
from camtrace.tampering.fusion import Layers, find_reasons, fuse, read_layers
from camtrace.tampering.grids import Grids, read_grids
from camtrace.tampering.regions import box_of, find_areas, outline_of
from camtrace.types import BundleId, CamtraceError, Photo, PhotoError, Status

Part = TypeVar("Part")

SCHEMA_VERSION = 1
FEWEST_BLOCKS = 40
"""With fewer informative blocks nothing is said: no centre can be told from another."""
SMALLEST_REGION = 16
"""In cells: one block."""

MAPS = {
    "fused": "consistency, raised where noise or jpeg_grid differ; alarm regions and mask are where it is above 0",
    "consistency": "how much nearer each place lies to the foreign cluster of blocks than to the dominant one; no camera need be known",
    "cameras": "the known camera that each place is closest to, right or wrong: it may be none of them",
    "jpeg_grid": "where the JPEG grid is another one than in most of the photo; it takes no part in the alarm",
    "noise": "how much noisier (above 0) or cleaner (below 0) a place is than most of the photo at its brightness and texture",
    "resampling": "traces of enlarging that most of the photo has not; part of neither the fused map nor the alarm",
    "doubled_jpeg": "where a photo saved as JPEG twice looks saved once (above 0); without data where that does not show, and in files "
    "that are no JPEG; part of neither the fused map nor the alarm",
}
"""The maps there are, and what each says."""

_NOT_IN_JSON = frozenset({"cells", "labels", "certainty", "layers", "found", "foreign", "cameras", "origin"})
_SMOOTHED_UP_TO = 32  # above this stride neighbours no longer overlap by half


@dataclass(frozen=True)
class Region:
    """One connected foreign area."""

    box: tuple[int, int, int, int]  # left, top, right, bottom in pixels, the last two just outside
    polygon: tuple[tuple[int, int], ...]  # its outer outline, (x, y), clockwise, without holes
    area: int  # pixels
    score: float
    probability: float | None  # of its blocks to be foreign, on average; None until that is calibrated
    camera: str | None  # the known camera that it is closest to, right or wrong; None where that is the one of the rest
    reason: str


@dataclass(frozen=True)
class Localization:
    """The result for one photo. Arrays are None where the photo could not be judged.

    `cells` and `labels` hold one value for each CELL x CELL pixels from `origin` on.
    """

    source: str
    sha256: str | None
    status: Status
    reason: str
    alarm: bool
    score: float | None
    threshold: float | None
    bundle: BundleId
    regions: tuple[Region, ...] = ()
    maps: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    size: tuple[int, int] | None = None  # width and height
    stride: int | None = None
    origin: tuple[int, int] = (0, 0)  # row and column of the first cell
    cells: Floats | None = field(default=None, repr=False)  # (r, c) of the fused map, NaN = no data
    labels: NDArray[np.int64] | None = field(default=None, repr=False)  # (r, c) known camera, -1 = no data
    layers: Layers | None = field(default=None, repr=False)  # each trace by itself
    found: Found | None = None  # what the score weighs
    foreign: Flags | None = field(default=None, repr=False)  # (r, c) within a region
    certainty: Floats | None = field(default=None, repr=False)  # (r, c) 0..1, how clearly that camera leads; NaN = no data
    cameras: tuple[str, ...] = ()

    def heat(self) -> Floats:
        """The fused map (height, width): larger = more foreign, 0 = half way, NaN = no data."""
        return self._spread(self._judged(self.cells), np.float32(np.nan))

    def consistency_map(self) -> Floats:
        """(height, width): how much nearer to the foreign cluster than to the dominant one, NaN = no data."""
        return self._spread(self._judged(self.layers).consistency, np.float32(np.nan))

    def mask(self) -> NDArray[np.uint8]:
        """(height, width): 255 within a region, else 0; all 0 where the photo does not alarm."""
        return self._spread(np.where(self._judged(self.foreign), 255, 0).astype(np.uint8), np.uint8(0))

    def camera_map(self) -> NDArray[np.int64]:
        """(height, width): index into `cameras` of the closest known camera, -1 = no data."""
        return self._spread(self._judged(self.labels), np.int64(-1))

    def grid_map(self) -> Floats:
        """(height, width): 0 = the JPEG grid of most of the photo .. 1 = another one, NaN = no data."""
        return self._spread(self._judged(self.layers).grid, np.float32(np.nan))

    def noise_map(self) -> Floats:
        """(height, width): above 0 noisier, below 0 cleaner than most of the photo, in robust deviations; NaN = no data."""
        return self._spread(self._judged(self.layers).noise, np.float32(np.nan))

    def resampling_map(self) -> Floats:
        """(height, width): how high peaks of enlarging stand that most of the photo has not, natural log; NaN = no data."""
        return self._spread(self._judged(self.layers).resampling, np.float32(np.nan))

    def doubled_map(self) -> Floats:
        """(height, width): above 0 as if saved once where most of the photo was saved twice; NaN = no data."""
        return self._spread(self._judged(self.layers).doubled, np.float32(np.nan))

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON values, without the arrays."""
        plain = replace(self, cells=None, labels=None, certainty=None, layers=None, foreign=None)
        values = {name: value for name, value in asdict(plain).items() if name not in _NOT_IN_JSON}
        document: dict[str, Any] = json.loads(json.dumps({"schema_version": SCHEMA_VERSION, **values}))
        return document

    def _judged(self, part: Part | None) -> Part:
        if part is None:
            raise CamtraceError(f"{self.source}: there is no map: {self.reason}")
        return part

    def _spread(self, cells: NDArray[Any], empty: np.generic) -> NDArray[Any]:
        """Cells (r, c) -> pixels (height, width)."""
        assert self.size is not None
        width, height = self.size
        whole = np.full((height, width), empty)
        down, across = (CELL * count for count in cells.shape)
        row, column = self.origin
        lines = np.repeat(cells, CELL, axis=1)
        for offset in range(CELL):  # not both ways at once, which would take the memory of a second map
            whole[row + offset : row + down : CELL, column : column + across] = lines
        return whole


def localize(
    source: Source, *, bundle: BundleLike = None, stride: int | None = None, name: str | None = None, on_step: OnStep = ignore
) -> Localization:
    """Say where a photo does not fit itself.

    Parameters
    ----------
    source
        Path, bytes of a file, or binary stream.
    bundle
        A loaded bundle or its folder; the one that ships with camtrace if not given.
    stride
        Pixels from block to block, one of STRIDES; by the photo's size if not given. The threshold was measured at 16.
    name
        What to call the photo in the result; its path by default.
    on_step
        Called after each row of blocks.

    Returns
    -------
    Localization
        Always: a photo that cannot be judged is reported in `status` and `reason`, not raised.
    """
    bundle = ready(bundle)
    photo = None
    try:
        photo = read_photo(source, name=name)
        return locate(photo, bundle=bundle, stride=stride, on_step=on_step)
    except PhotoError as error:
        sha256 = photo.sha256 if photo else error.sha256
        source_name = name or describe(source)
        return Localization(source_name, sha256, error.status, str(error), False, None, None, bundle.id)


def locate(photo: Photo, *, bundle: Bundle, stride: int | None = None, on_step: OnStep = ignore) -> Localization:
    """The same for a photo that was read; raises PhotoError where it is too small or too few of its blocks carry evidence."""
    size = bundle.manifest.patch_size
    grids = read_grids(photo.pixels)
    history = _without_local_grid(examine(photo), grids)
    origin = origin_of(photo.pixels, history.grid, size=size)
    stride = stride or choose_stride(photo.pixels.shape[:2], size=size)
    blocks = gather(photo, bundle, origin=origin, stride=stride, on_step=on_step)
    count = int(blocks.usable.sum())
    if count < FEWEST_BLOCKS:
        raise PhotoError(
            f"{photo.source}: {count} of {blocks.usable.size} blocks carry evidence, expected at least {FEWEST_BLOCKS}; "
            "the others are saturated, flat or dark",
            status="no_usable_patches",
        )
    split = split_blocks(blocks, smooth=stride <= _SMOOTHED_UP_TO)
    layers = read_layers(photo.pixels, blocks, split, grids, steps=(photo.quantization or {}).get(0))
    found = sum_up(blocks, split, bundle.comparison())
    remarks = (*history.words(), *_remark(grids))
    return _conclude(photo, bundle, blocks, layers=layers, found=found, stride=stride, remarks=remarks)


def _without_local_grid(history: History, grids: Grids) -> History:
    """The history with the grid of most of the photo: the one found first may be that of a pasted part."""
    if history.grid is None or not grids.found:
        return history
    row, column = grids.origin
    return replace(history, grid=Grid(row, column, history.grid.certainty), cropped=(row, column) != (0, 0))


def _conclude(
    photo: Photo, bundle: Bundle, blocks: Blocks, *, layers: Layers, found: Found, stride: int, remarks: tuple[str, ...]
) -> Localization:
    measured = read_measured()
    score = judge_photo(measured, found)
    cells = fuse(layers, measured)
    areas = find_areas(np.nan_to_num(cells, nan=-1) > 0, smallest=SMALLEST_REGION)
    alarm = bool(areas) and score >= measured.threshold
    areas = areas if alarm else []
    foreign = np.any([np.zeros(cells.shape, bool), *areas], axis=0)
    labels, scores = name_cells(bundle, blocks)
    names, origin = bundle.manifest.labels, (int(blocks.rows[0]), int(blocks.columns[0]))
    rest = _closest(scores, ~foreign, names)
    regions = [
        _describe(area, cells, layers, origin=origin, camera=_closest(scores, area, names), rest=rest, measured=measured)
        for area in areas
    ]
    return Localization(
        source=photo.source,
        sha256=photo.sha256,
        status="ok",
        reason=_in_words(found, score, measured, len(regions)),
        alarm=alarm,
        score=score,
        threshold=measured.threshold,
        bundle=bundle.id,
        regions=tuple(sorted(regions, key=lambda region: -region.score)),
        maps=dict(MAPS),
        remarks=(*remarks, *_warn(photo, bundle, cells, measured)),
        size=photo.size,
        stride=stride,
        origin=origin,
        cells=cells,
        labels=labels,
        certainty=lead(scores),
        layers=layers,
        found=found,
        foreign=foreign,
        cameras=names,
    )


def _in_words(found: Found, score: float, measured: Measured, count: int) -> str:
    alike = "" if found.likeness is None else f" and are {'more' if found.likeness < 0 else 'less'} like two cameras than like one"
    so = f"{count} area(s) do not fit the rest" if count else "nothing is claimed"
    weighed = f"score {score:.2f}, {measured.threshold:.2f} is asked for"
    return f"two clusters of its blocks lie {found.separation:.2f} apart{alike}: {weighed}: {so}"


def _remark(grids: Grids) -> Iterator[str]:
    if grids.others:
        yield (
            f"{grids.others} of {int(np.isfinite(grids.foreign).sum())} windows have another JPEG grid than most: a part was pasted or "
            "moved, or the photo was cropped and saved again at a quality near 100"
        )


def _warn(photo: Photo, bundle: Bundle, cells: Floats, measured: Measured) -> Iterator[str]:
    if max(photo.size) > measured.largest_side:
        yield f"the threshold was measured on photos of {measured.largest_side} pixels a side, this one is larger"
    if [bundle.id.name, bundle.id.version] not in measured.bundles:
        yield f"the threshold was not measured with the bundle {bundle.id.name} {bundle.id.version}"
    if (share := float(np.isnan(cells).mean())) > 0:
        yield f"{share:.0%} of the map is without data: saturated, flat or dark"


def name_cells(bundle: Bundle, blocks: Blocks) -> tuple[NDArray[np.int64], Floats]:
    """The closest known camera of every cell (r, c), -1 = no data, and the evidence (r, c, cameras) for each, NaN = no data."""
    # all blocks at once: the gate of the head judges the photo by the mean of the features it is given
    votes = bundle.cast_votes(blocks.features[blocks.usable])
    scores = np.zeros((*blocks.usable.shape, votes.scores.shape[1]), np.float32)
    scores[blocks.usable] = votes.scores
    cells = paint(blocks, scores)
    labels = np.where(np.isnan(cells[..., 0]), -1, cells.argmax(axis=2))
    return labels, cells


def lead(scores: Floats) -> Floats:
    """Evidence (r, c, cameras) -> (r, c): the share of the winner beside the second, 0 = they are equal, 1 = it is far ahead."""
    if scores.shape[2] < 2:
        return np.where(np.isnan(scores[..., 0]), np.float32(np.nan), np.float32(1))
    second, best = np.moveaxis(np.partition(scores, -2, axis=2)[..., -2:], 2, 0)
    certainty: Floats = np.tanh((best - second) / 2)
    return certainty


def _closest(scores: Floats, area: Flags, names: tuple[str, ...]) -> str | None:
    """The known camera that cells (r, c) together are closest to; None without any data."""
    chosen = scores[area & ~np.isnan(scores[..., 0])]
    return names[int(chosen.sum(axis=0, dtype=np.float64).argmax())] if len(chosen) else None


def _describe(
    area: Flags, cells: Floats, layers: Layers, *, origin: tuple[int, int], camera: str | None, rest: str | None, measured: Measured
) -> Region:
    values = cells[area]
    reasons = list(find_reasons(area, layers, measured)) or ["small differences of several traces together"]
    named = [f"of the known cameras it is closest to {camera}, the rest to {rest}"] if camera != rest else []
    return Region(
        box=box_of(area, origin=origin, cell=CELL),
        polygon=outline_of(area, origin=origin, cell=CELL),
        area=int(area.sum()) * CELL * CELL,
        score=float(values.mean()),
        probability=measured.probability(values),
        camera=camera if camera != rest else None,
        reason="; ".join([*reasons, *named]),
    )
