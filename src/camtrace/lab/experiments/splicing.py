"""Splices of many kinds and as many genuine photos, judged by the bundle that ships (METHOD section 7; Bondi et al., CVPRW 2017).

No net is trained here: `camtrace localize` is measured as it ships. `--splits N` asks for 4 x N splices of each kind, 40 as in the
docs by default. Figures on photos that taught the bundle flatter; `camtrace.lab.splicing evaluate` takes other bundles.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from camtrace.bundle import Bundle, load_bundle
from camtrace.lab.datasets import Record
from camtrace.lab.evaluate import interval
from camtrace.lab.experiments.settings import Settings
from camtrace.lab.forging import GRID, Way, draw
from camtrace.lab.page import Cell, Experiment, Table, write_table
from camtrace.lab.plots import draw_bars
from camtrace.lab.splice_metrics import Row
from camtrace.lab.splicing import judge, summarise, write_rows
from camtrace.photo import read_photo
from camtrace.tampering.alarm import read_measured
from camtrace.types import CamtraceError, PhotoError

KINDS = {
    "different makers": Way(),
    "one maker": Way(relation="same"),
    "one camera, enlarged 1.3": Way(relation="camera", scale=1.3),
    "64 pixels": Way(side=64),
    "128 pixels": Way(side=128),
    "256 pixels": Way(side=256),
    "ragged outline": Way(side=240, outline="ragged"),
    "feathered over 8": Way(feather=8),
    "JPEG 90": Way(state="jpeg 90"),
    "JPEG 70": Way(state="jpeg 70"),
}
"""How the splices of each line are made."""

PER_SPLIT = 4
TRACES = ("consistency", "grid", "noise", "resampling", "doubled")
_SHOWN = ("f1", "f1_best", "mcc", "mcc_best", "iou", "iou_best")


def reproduce(settings: Settings) -> Experiment:
    """Judge splices of every kind that fits into the photos, and genuine photos treated alike."""
    records, bundle = settings.material.records, load_bundle(threads=1)
    kinds = {name: way for name, way in KINDS.items() if _fits(records, way)}
    count = PER_SPLIT * settings.splits
    genuine: dict[str, list[Row]] = {}
    rows = {name: _judge(records, bundle, way, count=count, seed=settings.seed) for name, way in kinds.items()}
    for way in kinds.values():
        if way.state not in genuine:
            genuine[way.state] = _judge(records, bundle, Way(state=way.state), count=0, genuine=count, seed=settings.seed)
    settings.out.mkdir(parents=True, exist_ok=True)
    write_rows([row for part in (*rows.values(), *genuine.values()) for row in part], settings.out / "splicing-photos.csv")
    threshold = read_measured().threshold
    figures = {name: summarise([*part, *genuine[kinds[name].state]], threshold) for name, part in rows.items()}
    write_table([{"kind": name, **_flat(figure)} for name, figure in figures.items()], settings.out / "splicing")
    path = settings.out / "splicing.svg"
    draw_bars(
        {
            name: {
                "pixel AUC": interval(np.array([row.auc for row in part if row.auc is not None])),
                "splices found": interval(np.array([row.score is not None and row.score >= threshold for row in part], float)),
            }
            for name, part in rows.items()
        },
        path,
        y_label="pixel AUC; share of splices found",
        title="Splices found by the bundle that ships",
    )
    return settings.page("splicing", _page(figures, path, _cuts(settings, records, bundle, left_out=set(KINDS) - set(kinds))))


def _fits(records: Sequence[Record], way: Way) -> bool:
    """Whether the photos are large enough, and there are two cameras that stand as these splices ask for."""
    try:
        draw(records, 1, genuine=0, seed=0, relation=way.relation)
    except CamtraceError:
        return False
    try:
        return bool(min(read_photo(records[0].path).size) >= way.side + GRID)
    except PhotoError:
        return True  # reported where the photo is judged


def _judge(records: Sequence[Record], bundle: Bundle, way: Way, *, count: int, seed: int, genuine: int = 0) -> list[Row]:
    return [judge(one, bundle, way, seed=seed)[0] for one in draw(records, count, genuine=genuine, seed=seed, relation=way.relation)]


def _flat(figure: dict[str, object]) -> dict[str, object]:
    """Figures without groups: `pixel_auc` of all becomes `pixel_auc_all`."""
    return {
        key if inner is None else f"{key}_{inner}": value
        for key, part in figure.items()
        for inner, value in (part.items() if isinstance(part, dict) else [(None, part)])
    }


def _page(figures: dict[str, dict[str, object]], path: Path, cut: tuple[str, ...]) -> Experiment:
    flat = {name: _flat(figure) for name, figure in figures.items()}

    def table(title: str, columns: dict[str, str], note: str = "") -> Table:
        lines = tuple((name, *(_cell(line[column]) for column in columns.values())) for name, line in flat.items())
        return Table(title, ("splices", *columns), lines, note)

    detection = {"pixel AUC": "pixel_auc_all", "median": "pixel_auc_median_all", "photo AUC": "photo_auc", "found": "found_all"}
    counts = {"of splices": "splices", "false alarms": "false_alarms", "of genuine photos": "genuine"}
    masks = {name.replace("_", " "): f"maps_{name}" for name in _SHOWN}
    return Experiment(
        title="What was pasted in, and where",
        paper="Bondi et al., CVPR Workshops 2017, who cluster as well; the splices are camtrace's own",
        published=None,
        tables=(
            table("Maps and alarms", detection | counts, "found and false alarms at the threshold that ships"),
            table("Masks: the map above 0, and at the best threshold of each photo", masks),
            table("Single traces, pixel AUC", {name: f"maps_auc_{name}" for name in TRACES}, "0.5 = nothing; noise by its size"),
            table(
                "By the convention of the literature: the better of map and inverse",
                {"pixel AUC": "maps_auc_inverted", "best F1": "maps_f1_inverted"},
            ),
        ),
        figures=(("Pixel AUC, and the share of splices that alarm", path),),
        cut=cut,
    )


def _cell(value: object) -> Cell:
    return round(value, 3) if isinstance(value, float) else value if isinstance(value, int | str) else None


def _cuts(settings: Settings, records: Sequence[Record], bundle: Bundle, *, left_out: set[str]) -> tuple[str, ...]:
    known = {record.camera for record in records} & set(bundle.manifest.labels)
    cut = ["no net was trained: the bundle that ships is measured", f"{PER_SPLIT * settings.splits} splices of each kind"]
    if known:
        cut.append(f"{len(known)} of the cameras taught this bundle: their figures flatter")
    if left_out:
        cut.append(f"photos are too small, or no two cameras stand as asked for: {', '.join(sorted(left_out))}")
    return tuple(cut)
