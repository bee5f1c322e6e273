"""Compare a questioned photo with a fingerprint: which rotations, scales and shifts are tried, and what the best of them says.

Follows Goljan and Fridrich, "Camera Identification from Cropped and Scaled Images" (SPIE 2008): shifts by one FFT, rotations by quarter
turns, scales one by one. The number of places tried goes into the p-value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camtrace.devices.fingerprint import (
    MIN_SIDE,
    Peak,
    Pixels,
    Plane,
    Span,
    correlate,
    fast_shape,
    find_peak,
    p_value,
    transform,
    weigh,
    wiener,
    zero_mean,
)
from camtrace.screening import visible
from camtrace.types import Photo, PhotoError

Shape = tuple[int, int]

ROTATIONS = (0, 90, 180, 270)
SCALES = tuple(round(1 / (1 + step / 100), 4) for step in range(1, 101))
"""Scales that a photo may have been resized by, 0.99 down to 0.5, tried where the user asks for a search without saying which."""

_BY_COMPUTATION = re.compile(r"samsung|huawei|honor|xiaomi|redmi|poco|google|oneplus|oppo|vivo", re.IGNORECASE)
_RECENT_IPHONE = re.compile(r"iphone (1[1-9]|[2-9]\d|x|se \()", re.IGNORECASE)
_SAME_ASPECT = 0.01
_KEPT = 4

OnStep = Callable[[object], None]


def _ignore(_: object) -> None:
    pass


@dataclass(frozen=True)
class Search:
    """What is tried beyond the photo as it is."""

    rotations: tuple[int, ...] = ROTATIONS  # quarter turns in degrees, counter-clockwise
    scales: tuple[float, ...] = ()  # what the photo may have been resized by, 0.8 = to four fifths of its sides
    exact_scale: bool = False  # also try the scale that the sizes of photo and fingerprint suggest
    everywhere: bool = False  # all shifts even where photo and fingerprint have one size


@dataclass(frozen=True)
class Placement:
    """One rotation and size of the photo, and the shifts at which it may lie on the fingerprint."""

    rotation: int
    scale: float  # what the photo was resized by, according to this placement
    shape: Shape  # of the photo once it is turned and resized back
    rows: Span
    columns: Span

    @property
    def tried(self) -> int:
        """How many shifts these are."""
        return len(self.rows) * len(self.columns)


@dataclass(frozen=True)
class Comparison:
    """The best placement of a photo on one fingerprint."""

    pce: float
    p_value: float
    score: float
    shift: tuple[int, int]  # row and column
    rotation: int
    scale: float
    tried: int  # shifts over all rotations and scales
    one_shift: bool  # the best placement allowed one shift only
    pixels: int  # of the photo


@dataclass
class Questioned:
    """A photo made ready for comparisons; the spectra last used are kept."""

    evidence: Plane  # (h, w), see `fingerprint.weigh`
    _spectra: dict[tuple[int, Shape, Shape], NDArray[np.complex64]] = field(default_factory=dict)

    @classmethod
    def of(cls, photo: Photo) -> Questioned:
        """Take the noise residual of a photo.

        Raises
        ------
        PhotoError
            The photo is too small.
        """
        check_size(photo)
        return cls.of_pixels(photo.pixels)

    @classmethod
    def of_pixels(cls, pixels: Pixels) -> Questioned:
        """Take the noise residual of pixels (h, w, 3)."""
        return cls(weigh(pixels))

    @property
    def shape(self) -> Shape:
        """Height and width."""
        return self.evidence.shape[0], self.evidence.shape[1]

    def as_fingerprint(self) -> Plane:
        """What stands for a fingerprint where there is no other photo: the same evidence, cleaned as an estimate is."""
        return wiener(zero_mean(self.evidence))

    def spectrum(self, placement: Placement, shape: Shape) -> NDArray[np.complex64]:
        """The spectrum (of `shape`) of the photo as this placement turns and sizes it."""
        key = placement.rotation, placement.shape, shape
        if key not in self._spectra:
            while len(self._spectra) >= _KEPT:
                del self._spectra[next(iter(self._spectra))]
            self._spectra[key] = transform(self.placed(placement), shape)
        return self._spectra[key]

    def placed(self, placement: Placement) -> Plane:
        """The evidence turned and sized."""
        turned: Plane = np.rot90(self.evidence, placement.rotation // 90)
        if turned.shape == placement.shape:
            return turned
        height, width = placement.shape
        return np.asarray(Image.fromarray(np.ascontiguousarray(turned)).resize((width, height), Image.Resampling.BICUBIC))


def check_size(photo: Photo) -> None:
    """Refuse a photo too small to say anything, as PhotoError."""
    if min(photo.size) < MIN_SIDE:
        width, height = photo.size
        found = f"{visible(photo.source)}: {width}x{height} pixels"
        raise PhotoError(f"{found}, at least {MIN_SIDE} on each side are compared", status="too_small")


def placements(photo: Shape, sensor: Shape, search: Search) -> list[Placement]:
    """What is tried of a photo on a fingerprint, shapes as (height, width).

    Where the photo fits the fingerprint as it is or turned, it is not shifted unless `search.everywhere`; else it may lie anywhere
    within it. A photo that hangs over an edge is not tried without `everywhere`, nor one resized in one direction only.
    """
    found = [*_sized(photo, sensor, (1.0,), search)]
    exact = [placement for placement in found if placement.tried == 1]
    if exact and not search.everywhere:
        found = exact
    scales = [scale for scale in search.scales if scale != 1]
    found += _sized(photo, sensor, scales, search)
    return [*found, *(_stretched(photo, sensor, search) if search.exact_scale else ())]


def _sized(photo: Shape, sensor: Shape, scales: Sequence[float], search: Search) -> Iterator[Placement]:
    for scale in scales:
        for rotation in search.rotations:
            shape = _turned((round(photo[0] / scale), round(photo[1] / scale)), rotation)
            inside, around = (all(a <= b for a, b in zip(*pair, strict=True)) for pair in ((shape, sensor), (sensor, shape)))
            if min(shape) < MIN_SIDE or not (inside or around):
                continue
            spans = [Span(1 - a, b - 1) if search.everywhere else Span.within(a, b) for a, b in zip(shape, sensor, strict=True)]
            yield Placement(rotation, scale, shape, *spans)


def _stretched(photo: Shape, sensor: Shape, search: Search) -> Iterator[Placement]:
    """A photo of the fingerprint's aspect and another size is taken for a resized whole: one shift to try."""
    for rotation in search.rotations:
        shape = _turned(photo, rotation)
        scales = shape[0] / sensor[0], shape[1] / sensor[1]
        if shape != sensor and abs(scales[0] / scales[1] - 1) < _SAME_ASPECT:
            yield Placement(rotation, round(float(np.mean(scales)), 4), sensor, Span(0, 0), Span(0, 0))


def _turned(shape: Shape, rotation: int) -> Shape:
    return shape if rotation % 180 == 0 else (shape[1], shape[0])


def compare(photo: Questioned, sensor: Plane, places: Sequence[Placement], *, in_all: int = 0, on_step: OnStep = _ignore) -> Comparison:
    """The best of the placements of a photo on a fingerprint (h, w).

    The p-value allows for the shifts of the best placement and then for the number of placements (Sidak), so that a placement of a
    million shifts does not drown one of a single shift. `in_all` is the number of placements if other fingerprints of the device were
    tried too; `on_step` is called after each placement.

    Raises
    ------
    ValueError
        There is nothing to try.
    """
    spectra: dict[Shape, NDArray[np.complex64]] = {}
    peaks: list[tuple[float, float, Peak, Placement]] = []
    for place in places:
        shape = fast_shape(place.shape, sensor.shape)
        if place.rows.first < 0 < place.rows.last:  # shifts over the edges must not come around on the other side
            shape = fast_shape((place.shape[0] + sensor.shape[0], place.shape[1] + sensor.shape[1]))
        if shape not in spectra:
            spectra = {shape: transform(sensor, shape)}
        peak = find_peak(correlate(photo.spectrum(place, shape), spectra[shape], shape), place.rows, place.columns)
        peaks.append((p_value(peak.score, place.tried), -peak.score, peak, place))
        on_step(place)
    chance, _, peak, best = min(peaks, key=lambda one: one[:2])
    return Comparison(
        pce=peak.pce,
        p_value=float(-np.expm1((in_all or len(places)) * np.log1p(-min(chance, 1 - 1e-16)))),
        score=peak.score,
        shift=peak.shift,
        rotation=best.rotation,
        scale=best.scale,
        tried=sum(place.tried for place in places),
        one_shift=best.tried == 1,
        pixels=photo.evidence.size,
    )


def claim_warnings(claimed: str) -> Iterator[str]:
    """What must be said where the EXIF claims a phone whose photos are known to break the rules (Iuliani, Fontani and Piva 2021)."""
    if _BY_COMPUTATION.search(claimed) or _RECENT_IPHONE.search(claimed):
        yield (
            f"the EXIF claims {claimed}: such phones merge and process exposures by computation, and photos of unrelated devices are "
            "known to pass the customary PCE of 60; the false-alarm rate given here does not cover them"
        )
