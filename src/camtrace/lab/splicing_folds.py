"""Localization measured across the folds of a build: each fold's net about cameras it never saw, by what was fitted on the other folds.

    python -m camtrace.lab.splicing folds --work work/build --out docs/results/localize

Weights, threshold and probability of a fold's figures come from the other folds alone; then all folds, and the bundle that ships,
are fitted together to what ships as localization.json. Traces of every photo are kept in the folder of work, set by set, so that a
run that was cut short goes on and a new fit asks no net. Pixels are never written.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from camtrace.bundle import Bundle, load_bundle
from camtrace.lab.datasets import Record
from camtrace.lab.forging import Forgery, Way, draw
from camtrace.lab.plan import fingerprint, keep_plan
from camtrace.lab.splice_metrics import Row
from camtrace.lab.splicing import Asked, ask, draw_values, read_rows, summarise, weigh, write_rows
from camtrace.lab.splicing_fit import fit_measured
from camtrace.lab.splicing_nets import Build, write_fold
from camtrace.tampering.alarm import Measured, read_measured
from camtrace.tampering.fusion import Layers

ROWS, MAPS = "rows.csv", "maps.npz"
SHIPPED = "shipped"

Told = Callable[[Sequence[Forgery]], Iterator[Forgery]]


@dataclass(frozen=True)
class Kind:
    """One kind of photos: so many splices and, treated the same, so many genuine ones."""

    way: Way
    splices: int
    genuine: int = 0


KINDS = {
    "different makers": Kind(Way(), 40, 240),
    "one maker": Kind(Way(relation="same"), 24),
    "JPEG 90": Kind(Way(state="jpeg 90"), 24, 60),
    "JPEG 70": Kind(Way(state="jpeg 70"), 24, 60),
    "64 pixels, feathered over 8": Kind(Way(side=64, feather=8), 16),
    "128 pixels": Kind(Way(side=128), 16),
    "256 pixels": Kind(Way(side=256), 16),
    "irregular, 240 pixels across": Kind(Way(side=240, outline="ragged"), 16),
}
"""Asked of every fold. At least half of each test is genuine: splices that are treated alike share their genuine photos.
About 18 minutes of one core."""

OF_SHIPPED = {"different makers": Kind(Way(), 0, 60)}
"""Asked of the bundle that ships about photos that taught it: only that the threshold holds there as well."""


@dataclass(frozen=True)
class Crossed:
    """What was measured: kinds by fold, each by the other folds' fit, and by what ships or could ship."""

    tables: dict[int, list[dict[str, Any]]]  # one line a kind
    fits: dict[int, Measured]  # by the fold that they were not fitted on
    alarms: dict[int, tuple[int, int]]  # genuine photos that alarm, and all, by those
    shipped: Measured
    lines: list[dict[str, Any]]  # kinds by fold, by what ships
    alarms_as_shipped: tuple[int, int]  # of all folds' genuine photos, by that


def measure_folds(build: Build, kept: Path, *, share: float = 1.0, seed: int = 0, refit: bool = True, told: Told = iter) -> Crossed:
    """Ask every fold, or take what was kept; `share` is how many of the photos in KINDS. With one fold alone nothing crosses.

    With `refit` the bundle that ships is asked as well, and what could ship is fitted on all of it; else it is what ships now.

    Raises CamtraceError where `kept` holds other work, or photos are too few to fit on.
    """
    folds = range(build.plan.folds)
    asked_by = {str(fold): fingerprint(build.net_of(fold)) for fold in folds}
    keep_plan(kept / "plan.json", {"share": share, "seed": seed, "nets": asked_by})
    asked = {fold: _ask_fold(build, fold, kept, share=share, seed=seed, told=told) for fold in folds}
    own: dict[str, list[Asked]] = {}
    if refit:
        own = ask_kinds(build.records, load_bundle(threads=1), OF_SHIPPED, kept / SHIPPED, share=share, seed=seed, told=told)
    return cross(asked, own, shipped=None if refit else read_measured())


def _ask_fold(build: Build, fold: int, kept: Path, *, share: float, seed: int, told: Told) -> dict[str, list[Asked]]:
    folder = kept / f"fold{fold}"
    if not (folder / "bundle").is_dir():
        write_fold(build, fold, folder / "bundle")
    bundle = load_bundle(folder / "bundle", threads=1)
    return ask_kinds(build.unseen(fold), bundle, KINDS, folder, share=share, seed=seed, told=told)


def ask_kinds(
    records: Sequence[Record], bundle: Bundle, kinds: dict[str, Kind], folder: Path, *, share: float, seed: int, told: Told = iter
) -> dict[str, list[Asked]]:
    """Draw, make and ask the photos of every kind, or take what the folder has of them."""
    asked: dict[str, list[Asked]] = {}
    for number, (name, kind) in enumerate(kinds.items()):
        place = folder / f"{number}-{''.join(letter for letter in name if letter.isalnum())}"
        if not is_kept(place):
            splices, genuine = (max(min(2, count), round(share * count)) for count in (kind.splices, kind.genuine))
            drawn = draw(records, splices, genuine=genuine, seed=seed + number, relation=kind.way.relation)
            keep_asked([ask(one, bundle, kind.way) for one in told(drawn)], place)
        asked[name] = read_asked(place)
    return asked


def keep_asked(asked: Sequence[Asked], folder: Path) -> None:
    """Rows and traces of photos, the traces last: a folder without them is not complete."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows([one.row for one in asked], folder / ROWS)
    maps = [
        np.stack([*astuple(one.layers), one.pasted.astype(np.float32)], axis=-1)
        for one in asked
        if one.layers is not None and one.pasted is not None
    ]
    shapes = np.array([part.shape[:2] for part in maps], np.int64).reshape(-1, 2)
    flat = np.concatenate([np.zeros((0, len(fields(Layers)) + 1), np.float32), *(part.reshape(-1, part.shape[-1]) for part in maps)])
    partial = folder / f"partial-{MAPS}"
    np.savez_compressed(partial, maps=flat, shapes=shapes)
    partial.replace(folder / MAPS)


def is_kept(folder: Path) -> bool:
    """Whether `keep_asked` ended here."""
    return (folder / MAPS).is_file()


def read_asked(folder: Path) -> list[Asked]:
    """The reverse of `keep_asked`."""
    with np.load(folder / MAPS) as kept:
        maps, shapes = kept["maps"], kept["shapes"]
    ends = np.cumsum(shapes.prod(axis=1))
    parts = iter([part.reshape(*shape, -1) for part, shape in zip(np.split(maps, ends), shapes, strict=False)])
    return [_restored(row, next(parts)) if row.status == "ok" else Asked(row) for row in read_rows(folder / ROWS)]


def _restored(row: Row, part: np.ndarray[Any, np.dtype[np.float32]]) -> Asked:
    return Asked(row, Layers(*np.moveaxis(part[..., :-1], -1, 0)), part[..., -1].astype(np.int64))


def cross(asked: dict[int, dict[str, list[Asked]]], own: dict[str, list[Asked]], *, shipped: Measured | None = None) -> Crossed:
    """Every fold by the fit of the others, then all by what ships, or by the fit of all; `own` are photos of the bundle that ships."""
    fits = {fold: fit_asked([kinds for other, kinds in asked.items() if other != fold] or [asked[fold]]) for fold in asked}
    flattered = {one.row.bundle for part in own.values() for one in part}
    together = shipped or fit_asked([*asked.values(), own], unbounded=flattered)
    rows = {fold: {name: [weigh(one, fits[fold]) for one in part] for name, part in kinds.items()} for fold, kinds in asked.items()}
    again = {fold: {name: [weigh(one, together) for one in part] for name, part in kinds.items()} for fold, kinds in asked.items()}
    alarms = {
        fold: count_alarms([row for part in kinds.values() for row in part], fits[fold].threshold) for fold, kinds in rows.items()
    }
    lines = [{"fold": fold, **line} for fold, kinds in again.items() for line in tell(kinds, together.threshold)]
    tables = {fold: tell(kinds, fits[fold].threshold) for fold, kinds in rows.items()}
    everything = [row for kinds in again.values() for part in kinds.values() for row in part]
    return Crossed(tables, fits, alarms, together, lines, count_alarms(everything, together.threshold))


def fit_asked(parts: Sequence[dict[str, list[Asked]]], *, unbounded: Container[str] = ()) -> Measured:
    """What localization.json would hold, by these photos; `unbounded` are bundles that some of them taught."""
    every = [one for kinds in parts for part in kinds.values() for one in part]
    drawn = [draw_values(one, seed=number) for number, one in enumerate(every)]
    cells, windows = (np.concatenate([getattr(one, part) for one in drawn]) for part in ("cells", "windows"))
    return fit_measured([one.row for one in every], cells, windows, unbounded=unbounded)


def tell(kinds: dict[str, list[Row]], threshold: float) -> list[dict[str, Any]]:
    """One line a kind; the genuine photos beside its splices are all those treated the same."""
    genuine: dict[str, list[Row]] = {}
    for row in (row for part in kinds.values() for row in part if not row.donor):
        genuine.setdefault(row.state, []).append(row)
    lines = []
    for name, part in kinds.items():
        splices = [row for row in part if row.donor]
        if splices:
            figures = summarise([*splices, *genuine.get(splices[0].state, [])], threshold)
            lines.append({"kind": name, **_line(figures)})
    return lines


def _line(figures: dict[str, Any]) -> dict[str, Any]:
    maps = figures["maps"]
    chosen = (
        "f1",
        "f1_best",
        "mcc",
        "iou",
        "auc_consistency",
        "auc_noise",
        "auc_grid",
        "auc_resampling",
        "auc_doubled",
        "auc_inverted",
    )
    return {
        "splices": figures["splices"],
        "genuine": figures["genuine"],
        "pixel_auc": figures["pixel_auc"]["all"],
        **{name: maps[name] for name in chosen},
        "photo_auc": figures["photo_auc"],
        "found": figures["found"]["all"],
        "false_alarms": figures["false_alarms"],
    }


def count_alarms(rows: Sequence[Row], threshold: float) -> tuple[int, int]:
    """Genuine photos that alarm, and all genuine ones."""
    scores = [row.score for row in rows if not row.donor]
    return sum(score is not None and score >= threshold for score in scores), len(scores)
