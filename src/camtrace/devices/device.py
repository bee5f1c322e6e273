"""Which device took a photo: match it with the sensors' fingerprints of a database (METHOD section 8).

`match` is the way of a photo here; the arithmetic is in `fingerprint`, what is tried in `matching`, the folder in `store`. A
device is named only where both hold: the PCE reaches the threshold, and the chance of such a peak, times the number of devices
enrolled, is at most MAX_CHANCE. The numbers always come with the name.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from camtrace.devices.matching import Comparison, Placement, Questioned, Search, claim_warnings, compare, placements
from camtrace.devices.sketch import score_sketches
from camtrace.devices.store import Database, Device, DeviceError, Size
from camtrace.photo import Source, describe, read_photo
from camtrace.types import UNKNOWN, Claim, Photo, PhotoError, Status

MAX_CHANCE = 1e-6
"""The largest chance of a false alarm, over all devices compared, at which a device is still named."""
_FEW_PLACES = 16
"""Quarter turns on a few fingerprints are still a photo laid edge to edge; more places are a search."""
CALIBRATION = "calibration.json"

OnStep = Callable[[int, int], None]
"""Called with how many placements were compared and how many there are."""


Tries = dict[Size, list[Placement]]
"""What is tried on each of a device's fingerprints."""


def _ignore(_done: int, _total: int) -> None:
    pass


@dataclass(frozen=True)
class DeviceRanked:
    """One line of the ranking. `log10_lr` is None where no measured figures stand for such a comparison."""

    device: str
    pce: float
    p_value: float
    log10_lr: float | None
    size: Size  # of the fingerprint
    shift: tuple[int, int]  # where the photo's upper left pixel lies on it, row and column
    rotation: int
    scale: float


@dataclass(frozen=True)
class DeviceMatch:
    """The result for one photo; its JSON form is that of `camtrace device match --to json`."""

    source: str
    sha256: str | None
    status: Status
    answer: str
    best: str | None
    reason: str
    ranking: tuple[DeviceRanked, ...] = ()
    searched: dict[str, Any] = field(default_factory=dict)
    threshold: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    claim: Claim = field(default_factory=Claim)

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON values."""
        document: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return document


@dataclass(frozen=True)
class _Found:
    """The best comparison of the photo with one device."""

    device: str
    size: Size
    comparison: Comparison

    def line(self) -> DeviceRanked:
        found = self.comparison
        lr = log10_lr(found, self.size)
        return DeviceRanked(self.device, found.pce, found.p_value, lr, self.size, found.shift, found.rotation, found.scale)


def match(
    source: Source,
    database: Database,
    *,
    search: Search | None = None,
    shortlist: int = 0,
    name: str | None = None,
    on_step: OnStep = _ignore,
) -> DeviceMatch:
    """Say which device of a database took a photo.

    Parameters
    ----------
    source
        Path, bytes of a file, or binary stream.
    database
        See `devices.store.open_database`.
    search
        What is tried beyond the photo as it is; quarter turns and crops by default.
    shortlist
        Compare in full only so many devices, those whose sketches agree best; 0 compares all. Finds photos at the sensor's size only.
    name
        What to call the photo in the result; its path by default.
    on_step
        Called after each placement of the photo on a fingerprint with the number done and the number in all.

    Returns
    -------
    DeviceMatch
        Always: a photo that cannot be judged is reported in `status` and `reason`, not raised.

    Raises
    ------
    DeviceError
        The database itself cannot be used, or holds no device.
    """
    if not database.devices:
        raise DeviceError(f"{database.folder}: no device is enrolled here; enroll one with `camtrace device enroll`")
    search = search or Search()
    photo = None
    try:
        photo = read_photo(source, name=name)
        questioned = Questioned.of(photo)
    except PhotoError as error:
        sha256, claim = (photo.sha256, photo.claim) if photo else (error.sha256, Claim())
        return DeviceMatch(name or describe(source), sha256, error.status, UNKNOWN, None, str(error), claim=claim)
    names = _nearest(questioned, database, shortlist, search) if shortlist else list(database.devices)
    tries = {device: _tries(questioned.shape, database.devices[device], search) for device in names}
    total = sum(len(places) for one in tries.values() for places in one.values())
    done = itertools.count(1)
    found: list[_Found] = []
    for device in names:
        found += _compare_device(questioned, database, device, tries[device], lambda _: on_step(next(done), total))
    return _decide(photo, database, found, search, devices=len(database.devices), compared=len(names))


def _compare_device(
    questioned: Questioned, database: Database, name: str, tries: Tries, on_place: Callable[[object], None]
) -> list[_Found]:
    """The best placement on any fingerprint of a device; nothing where the photo fits on none."""
    in_all = sum(map(len, tries.values()))
    found = [
        _Found(name, size, compare(questioned, database.fingerprint(name, size), places, in_all=in_all, on_step=on_place))
        for size, places in tries.items()
    ]
    return sorted(found, key=lambda one: (one.comparison.p_value, -one.comparison.score))[:1]


def _tries(shape: tuple[int, int], device: Device, search: Search) -> Tries:
    """What is tried on each fingerprint of a device: on those where the photo lies without shifts, on all where there is none."""
    tries = {one.size: placements(shape, (one.height, one.width), search) for one in device.prints}
    fitting = {size: places for size, places in tries.items() if any(_lies_on(place, size) for place in places)}
    return {size: places for size, places in (fitting or tries).items() if places}


def _lies_on(place: Placement, size: Size) -> bool:
    return place.scale == 1 and place.shape == (size[1], size[0])


def _nearest(questioned: Questioned, database: Database, count: int, search: Search) -> list[str]:
    """The devices whose sketches agree best with the photo, in any of the quarter turns; none where no device has its size."""
    best: dict[str, float] = {}
    for rotation in search.rotations:
        turned = np.rot90(questioned.evidence, rotation // 90)
        names, sketches = database.all_sketches((turned.shape[1], turned.shape[0]))
        for name, score in zip(names, score_sketches(turned, sketches), strict=True):
            best[name] = max(best.get(name, -math.inf), float(score))
    return sorted(best, key=lambda name: -best[name])[:count]


def _decide(photo: Photo, database: Database, found: Sequence[_Found], search: Search, *, devices: int, compared: int) -> DeviceMatch:
    found = sorted(found, key=lambda one: (one.comparison.p_value, -one.comparison.pce))
    lines = tuple(one.line() for one in found)
    rates = threshold(found[0].comparison if found else None)
    searched = _describe(search, found, devices, compared)
    warnings = tuple(_warnings(photo, database, found))
    if not lines:
        reason = "the photo fits on no fingerprint: it is neither a crop of their sizes nor, as far as was searched, a resized copy"
        if not compared:
            reason = "no device has photos of this size, and a shortlist finds no others; without one, crops are searched"
        return DeviceMatch(photo.source, photo.sha256, "ok", UNKNOWN, None, reason, (), searched, rates, warnings, photo.claim)
    best = lines[0]
    named = best.pce >= rates["pce"] and best.p_value * devices <= MAX_CHANCE
    chance = f"chance of such a peak by another device {min(1.0, best.p_value * devices):.1e} over {devices} devices"
    how = "reaches" if best.pce >= rates["pce"] else "is below"
    reason = f"PCE {best.pce:.1f} {how} the threshold of {rates['pce']:g}; {chance}, at most {MAX_CHANCE:g} is asked for"
    answer = best.device if named else UNKNOWN
    return DeviceMatch(photo.source, photo.sha256, "ok", answer, best.device, reason, lines, searched, rates, warnings, photo.claim)


def _describe(search: Search, found: Sequence[_Found], devices: int, compared: int) -> dict[str, Any]:
    """What was tried and what was not, for the reader of a result."""
    tried = max((one.comparison.tried for one in found), default=0)
    shifts = tried > _FEW_PLACES
    scales = [1.0, *search.scales, *(["that of the sizes"] if search.exact_scale else [])]
    missing = [] if shifts else ["shifts: the photo has the fingerprint's size and was laid upon it edge to edge"]
    missing += [] if len(scales) > 1 else ["scales: a resized photo was not looked for"]
    missing.append("turns other than by 90 degrees, perspective, stabilisation, lens correction")
    return {
        "devices": devices,
        "compared": compared,
        "shifts": "none" if not shifts else "all" if search.everywhere else "all that lie within",
        "rotations": list(search.rotations),
        "scales": scales,
        "places": tried,
        "not_searched": missing,
    }


def _warnings(photo: Photo, database: Database, found: Sequence[_Found]) -> Iterator[str]:
    owner = database.owner(photo.sha256)
    if owner is not None:
        yield f"this very photo taught {owner!r}: its PCE proves nothing"
    claimed = " ".join(part for part in (photo.claim.make, photo.claim.model) if part)
    yield from claim_warnings(claimed)
    if photo.software:
        yield f"EXIF names the software {photo.software!r}: editing may resize, crop, turn or warp, all of which weaken the peak"
    best = min(found, key=lambda one: (one.comparison.p_value, -one.comparison.score), default=None)
    if best is None:
        return
    if best.comparison.rotation:
        yield f"the best place is at a quarter turn of {best.comparison.rotation} degrees"
    if best.comparison.scale != 1:
        yield f"the best place is at scale {best.comparison.scale:g}: resizing weakens the peak"
    elif not best.comparison.one_shift:
        yield "the photo's size is none of the device's: it was searched as a crop, which needs a stronger peak"


def same(sources: Iterable[Source], *, search: Search | None = None) -> Iterator[Pair]:
    """Compare photos with each other, each pair once: weak evidence, since a single photo is a poor fingerprint.

    Raises
    ------
    PhotoError
        A photo cannot be read or is too small.
    """
    search = search or Search()
    photos = [(describe(source), Questioned.of(read_photo(source))) for source in sources]
    for (first, one), (second, other) in itertools.combinations(photos, 2):
        smaller, larger = sorted((one, other), key=lambda photo: photo.evidence.size)
        places = placements(smaller.shape, larger.shape, search)
        yield Pair(first, second, compare(smaller, larger.as_fingerprint(), places) if places else None)


@dataclass(frozen=True)
class Pair:
    """Two photos compared with each other; None where their sizes allow no comparison."""

    first: str
    second: str
    found: Comparison | None

    def to_dict(self) -> dict[str, Any]:
        """The pair as plain JSON values."""
        found = self.found
        numbers = {"pce": found.pce, "p_value": found.p_value, "rotation": found.rotation, "shift": list(found.shift)} if found else {}
        return {"first": self.first, "second": self.second, **{"pce": None, "p_value": None, **numbers}}


@cache
def _calibration() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(resources.files("camtrace.devices").joinpath(CALIBRATION).read_text("utf-8"))
    return document


def _case(found: Comparison | None) -> str:
    """Which measured comparisons this one is like."""
    few = found is None or (found.one_shift and found.scale == 1 and found.tried <= _FEW_PLACES)
    return "one place" if few else "searched"


def threshold(found: Comparison | None) -> dict[str, Any]:
    """The PCE from which a device may be named, and how often other devices' photos reached it where that was measured."""
    case = _case(found)
    numbers = _calibration()["cases"][case]
    return {"case": case, **{name: numbers[name] for name in ("pce", "non_matching", "false_alarms", "rate_at_most", "highest_other")}}


def log10_lr(found: Comparison, size: Size) -> float | None:
    """The likelihood ratio of this device against another, from measured comparisons; None where there are none like it.

    A logistic in -log10 of the p-value, kept within what the number of measured comparisons supports.
    """
    if found.scale != 1:
        return None
    case = _calibration()["cases"][_case(found)]
    if min(found.pixels, size[0] * size[1]) < case["min_pixels"]:
        return None
    evidence = -math.log10(max(found.p_value, 1e-300))
    return float(np.clip(case["intercept"] + case["slope"] * evidence, case["low"], case["high"]))
