"""Localization of photos larger than the crops that its numbers were fitted on: made ones, since no large real ones were at hand.

    python -m camtrace.lab.splicing large --out docs/results/localize

A made camera shoots a drawn scene, and in half of the photos a piece of another made camera's photo is pasted in. No such camera
trained a net: a build invents its own with other seeds. Drawn scenes are simpler than real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camtrace.bundle import FEATURES, Bundle
from camtrace.degrade import NATIVE
from camtrace.lab.datasets import Record
from camtrace.lab.forging import GRID, Forgery, forge
from camtrace.lab.plan import keep_plan
from camtrace.lab.splice_metrics import Row
from camtrace.lab.splicing import Asked, ask_photo, summarise, weigh
from camtrace.lab.splicing_folds import is_kept, keep_asked, read_asked
from camtrace.photo import decode_photo
from camtrace.simulator import MadeCamera, draw_scene, make_cameras, save, shoot
from camtrace.tampering.alarm import Measured, read_measured
from camtrace.types import Photo

SIZES = ((1500, 2000), (1800, 2400), (2400, 3200))
"""Height and width of the scenes, in turn."""
SIDES = (192, 384, 768)
"""Of the pasted piece, in turn, in pixels of the photo."""
CAMERAS, SEED = 24, 7_700
"""How many cameras are invented, by a seed that no build has."""
_SMALLEST_SCALE = 0.8  # of a camera's photo beside the scene: the donor's scene must be that much larger than its piece

Pixels = NDArray[np.uint8]
Told = Callable[[Sequence["Plan"]], Iterator["Plan"]]


@dataclass(frozen=True)
class Plan:
    """One photo to make."""

    number: int
    size: tuple[int, int]  # of the scene
    side: int  # of the piece; 0 = genuine


def plan_large(count: int, *, sizes: Sequence[tuple[int, int]], sides: Sequence[int]) -> list[Plan]:
    """`count` spliced photos and as many genuine ones, of all sizes alike; every size comes with every side."""
    shapes = [sizes[number % len(sizes)] for number in range(count)]
    pieces = [sides[(number + number // len(sizes)) % len(sides)] for number in range(count)]
    plans = [(size, side) for size, side in zip(shapes, pieces, strict=True)] + [(size, 0) for size in shapes]
    return [Plan(number, size, side) for number, (size, side) in enumerate(plans)]


def make_large(plan: Plan, cameras: Sequence[MadeCamera]) -> tuple[Pixels, NDArray[np.bool_], str, str]:
    """Pixels (h, w, 3), where they are pasted (h, w), the camera, and the donor's or "" where the photo is genuine."""
    rng = np.random.default_rng([SEED, plan.number])
    one, other = (cameras[place] for place in rng.choice(len(cameras), 2, replace=False))
    host = _take(one, plan.size, seed=SEED + 2 * plan.number)
    if not plan.side:
        return host, np.zeros(host.shape[:2], bool), one.name, ""
    room = int((plan.side + 4 * GRID) / _SMALLEST_SCALE)
    donor = _take(other, (room, room), seed=SEED + 2 * plan.number + 1)
    places = rng.integers(0, 1001, 4).tolist()
    record = Record(Path("made"), one.name, "", "")
    forgery = Forgery(record, None, (places[0], places[1]), (places[2], places[3]), aligned=plan.number % 2 == 0)
    pixels, mask = forge(host, donor, forgery, side=plan.side)
    return pixels, mask, one.name, other.name


def _take(camera: MadeCamera, size: tuple[int, int], *, seed: int) -> Pixels:
    """The decoded JPEG of a drawn scene."""
    return decode_photo(save(shoot(draw_scene(*size, seed=seed), camera, seed=seed), camera, seed=seed), "made").pixels


def measure_large(count: int, bundle: Bundle, kept: Path, *, told: Told) -> list[dict[str, Any]]:
    """Make and ask so many splices and as many genuine photos, or take what was kept, and judge them by what ships.

    Raises CamtraceError where `kept` holds other work.
    """
    plans = plan_large(count, sizes=SIZES, sides=SIDES)
    folder = kept / f"large-{bundle.id.name}-{bundle.id.version}"
    keep_plan(folder / "plan.json", {"count": count, "sizes": SIZES, "sides": SIDES, "net": sha256(bundle.files[FEATURES]).hexdigest()})
    if not is_kept(folder):
        keep_asked(ask_large(told(plans), bundle), folder)
    return tell_large(plans, read_asked(folder), read_measured())


def ask_large(plans: Iterable[Plan], bundle: Bundle) -> list[Asked]:
    """Make every photo and measure its traces."""
    cameras = make_cameras(CAMERAS, seed=SEED)
    asked = []
    for plan in plans:
        pixels, mask, camera, donor = make_large(plan, cameras)
        photo = Photo(f"made {plan.number}", "", pixels)
        asked.append(ask_photo(photo, mask, bundle, camera=camera, donor=donor, state=NATIVE, aligned=plan.number % 2 == 0))
    return asked


def tell_large(plans: Sequence[Plan], asked: Sequence[Asked], measured: Measured) -> list[dict[str, Any]]:
    """Lines of a table: the splices by the side of the piece, each beside all genuine photos, then all together."""
    rows = [weigh(one, measured) for one in asked]
    genuine = [row for row in rows if not row.donor]
    sides = sorted({plan.side for plan in plans if plan.side})
    groups: dict[str, list[Row]] = {
        f"piece of {side} pixels": [row for plan, row in zip(plans, rows, strict=True) if plan.side == side] for side in sides
    }
    groups["all"] = [row for row in rows if row.donor]
    lines = []
    for name, part in groups.items():
        figures = summarise([*part, *genuine], measured.threshold)
        lines.append(
            {
                "kind": name,
                "splices": figures["splices"],
                "genuine": figures["genuine"],
                "pixel_auc": figures["pixel_auc"]["all"],
                "pixel_auc_median": figures["pixel_auc_median"]["all"],
                "photo_auc": figures["photo_auc"],
                "found": figures["found"]["all"],
                "false_alarms": figures["false_alarms"],
            }
        )
    return lines
