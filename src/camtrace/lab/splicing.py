"""How well `camtrace localize` finds what was pasted in: splices of two real cameras' photos, and as many genuine photos.

    python -m camtrace.lab.splicing evaluate --data ../shared/cameras --out work/splicing/native
    python -m camtrace.lab.splicing evaluate --data ../shared/cameras --out work/splicing/q90 --state "jpeg 90" --relation same
    python -m camtrace.lab.splicing folds --work work/build --out docs/results/localize --page docs/results/localize.md
    python -m camtrace.lab.splicing fit work/splicing/*/photos.csv --out src/camtrace/tampering/localization.json

A piece of another photo is pasted into a photo, both drawn at random: hard-edged or feathered, on the JPEG grid of the photo it
comes into (`aligned`, where only the camera differs) or anywhere (`camtrace.lab.forging`). Every photo is a row of a table; pixels are
never written. Figures of cameras that taught the bundle flatter: `--only` takes a list of photos that it never saw.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import typer
from numpy.typing import NDArray

from camtrace.bundle import Bundle, load_bundle
from camtrace.degrade import NATIVE
from camtrace.lab.datasets import read_dataset
from camtrace.lab.forging import OUTLINES, RELATIONS, Forgery, Way, draw, make, tables_of
from camtrace.lab.splice_metrics import MapFigures, Row, area_under, measure_map
from camtrace.lab.splicing_fit import ALARMS, fit_measured, to_document
from camtrace.tampering.alarm import Measured, judge_photo, read_measured
from camtrace.tampering.blocks import CELL
from camtrace.tampering.fusion import Layers, fuse
from camtrace.tampering.localization import locate
from camtrace.types import Photo, PhotoError

app = typer.Typer(pretty_exceptions_enable=False)

SAMPLED = 50
"""Cells of each photo, drawn at random, that weights and probability are fitted on."""
WINDOWS = 6
"""Areas of each genuine photo, drawn at random, whose noise and resampling are measured."""
TABLE, CELLS, SUMMARY = "photos.csv", "cells.npz", "summary.json"
LAYERS = ("consistency", "grid", "noise", "resampling", "doubled")

Floats = NDArray[np.float64]
Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Drawn:
    """Values of one photo that are fitted on."""

    cells: Floats  # (n, 4): consistency, grid, noise, and 1 if pasted
    windows: Floats  # (n, 2): noise and resampling of areas of a genuine photo

    @classmethod
    def none(cls) -> Drawn:
        """Of a photo that was not judged."""
        return cls(np.zeros((0, 4)), np.zeros((0, 2)))


@dataclass(frozen=True)
class Asked:
    """One photo whose traces are known, so that it can be judged by any weights without asking the net again."""

    row: Row  # without score and figures of maps
    layers: Layers | None = None  # None where it could not be judged
    pasted: NDArray[np.int64] | None = None  # (r, c) pixels of each cell that were


def judge(forgery: Forgery, bundle: Bundle, way: Way, *, seed: int) -> tuple[Row, Drawn]:
    """Make the photo, localize, and compare with the truth, by the weights that ship."""
    asked = ask(forgery, bundle, way)
    return weigh(asked, read_measured()), draw_values(asked, seed=seed)


def ask(forgery: Forgery, bundle: Bundle, way: Way) -> Asked:
    """Make the photo and measure its traces."""
    pixels, mask = make(forgery, way)
    donor = forgery.donor.camera if forgery.donor else ""
    host = forgery.host
    photo = Photo(host.path.name, "", pixels, quantization=tables_of(way.state))
    return ask_photo(photo, mask, bundle, camera=host.camera, donor=donor, state=way.state, aligned=forgery.aligned)


def ask_photo(
    photo: Photo, mask: NDArray[np.bool_], bundle: Bundle, *, camera: str, donor: str, state: str = NATIVE, aligned: bool = False
) -> Asked:
    """Measure the traces of a photo of `camera` whose pixels are the `donor`'s where the mask (h, w) is True."""
    base: dict[str, Any] = {"bundle": bundle.id.name, "version": bundle.id.version, "photo": camera, "donor": donor}
    base |= {"state": state, "aligned": aligned, "side": max(photo.size)}
    try:
        found = locate(photo, bundle=bundle)
    except PhotoError as error:
        return Asked(Row(**base, status=error.status))
    assert found.found is not None
    assert found.layers is not None
    shape = found.layers.consistency.shape
    with_data = float(np.isfinite(found.layers.consistency).sum()) * CELL**2 / mask.size
    row = Row(**base, status="ok", with_data=with_data, **asdict(found.found))
    return Asked(row, found.layers, count_pasted(mask, shape, found.origin))


def weigh(asked: Asked, measured: Measured) -> Row:
    """The photo's row with its score and the figures of its maps, by these weights."""
    if asked.layers is None or asked.pasted is None or asked.row.found is None:
        return asked.row
    figures: dict[str, Any] = {}
    if (fused := _measure(fuse(asked.layers, measured), asked.pasted)) is not None:
        figures = asdict(fused)
    for name, part in zip(LAYERS, astuple(asked.layers), strict=True):
        alone = _measure(np.abs(part) if name == "noise" else part, asked.pasted)
        figures[f"auc_{name}"] = None if alone is None else alone.auc
    return replace(asked.row, score=judge_photo(measured, asked.row.found), **figures)


def count_pasted(mask: NDArray[np.bool_], shape: tuple[int, ...], origin: tuple[int, int]) -> NDArray[np.int64]:
    """How many pixels of each cell (r, c) were pasted; `origin` is row and column of the first cell in the mask (h, w)."""
    rows, columns = (count * CELL for count in shape)
    part = mask[origin[0] : origin[0] + rows, origin[1] : origin[1] + columns]
    counts: NDArray[np.int64] = part.reshape(shape[0], CELL, shape[1], CELL).sum(axis=(1, 3))
    return counts


def _measure(part: NDArray[np.float32], pasted: NDArray[np.int64]) -> MapFigures | None:
    known = np.isfinite(part)
    return measure_map(part[known], pasted[known], CELL**2 - pasted[known])


def draw_values(asked: Asked, *, seed: int) -> Drawn:
    """Values of some cells, and of areas where nothing was pasted, that weights are fitted on."""
    if asked.layers is None or asked.pasted is None:
        return Drawn.none()
    layers, rng = asked.layers, np.random.default_rng(seed)
    known = np.argwhere(np.isfinite(layers.consistency))
    chosen = tuple(known[rng.choice(len(known), min(SAMPLED, len(known)), replace=False)].T)
    parts = [np.nan_to_num(layer[chosen]) for layer in (layers.consistency, layers.grid, layers.noise)]
    truth = asked.pasted[chosen] > CELL**2 // 2
    windows = [] if asked.pasted.any() else [_window(layers, rng) for _ in range(WINDOWS)]
    return Drawn(np.stack([*parts, truth], axis=1).astype(np.float64), np.array(windows, np.float64).reshape(-1, 2))


def _window(layers: Layers, rng: np.random.Generator) -> tuple[float, float]:
    """Mean noise and resampling of an area of 4 to 12 cells a side; NaN where less than half of it is known."""
    side = int(rng.integers(4, 13))
    row, column = (int(rng.integers(0, max(1, count - side))) for count in layers.noise.shape)
    parts = (layer[row : row + side, column : column + side] for layer in (layers.noise, layers.resampling))
    noise, resampling = (float(np.nanmean(part)) if np.isfinite(part).mean() >= 0.5 else float("nan") for part in parts)
    return noise, resampling


def summarise(rows: Sequence[Row], threshold: float) -> dict[str, Any]:
    """The figures of a table: of maps, of the detection at `threshold`, and of the two kinds of splices apart."""
    forged, genuine = [row for row in rows if row.donor], [row for row in rows if not row.donor]
    kinds = {"all": forged, "aligned": [row for row in forged if row.aligned], "anywhere": [row for row in forged if not row.aligned]}
    names = [column.name for column in fields(MapFigures)] + [f"auc_{name}" for name in LAYERS]
    scores = [-np.inf if row.score is None else row.score for row in (*forged, *genuine)]
    both = bool(forged) and bool(genuine)
    is_forged = (np.arange(len(scores)) < len(forged)).astype(int)
    return {
        "splices": len(forged),
        "genuine": len(genuine),
        "pixel_auc": {kind: _mean([row.auc for row in some]) for kind, some in kinds.items()},
        "pixel_auc_median": {kind: _median([row.auc for row in some]) for kind, some in kinds.items()},
        "maps": {name: _mean([getattr(row, name) for row in forged]) for name in names},
        "photo_auc": area_under(np.array(scores), is_forged, 1 - is_forged) if both else None,
        "threshold": threshold,
        "found": {kind: _mean([float(_alarms(row, threshold)) for row in some]) for kind, some in kinds.items()},
        "false_alarms": sum(_alarms(row, threshold) for row in genuine),
        "not_judged": sum(row.status != "ok" for row in rows),
    }


def _alarms(row: Row, threshold: float) -> bool:
    return row.score is not None and row.score >= threshold


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 4) if known else None


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.median(known)), 4) if known else None


def write_rows(rows: Sequence[Row], path: Path) -> None:
    """The table as CSV."""
    with path.open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, [column.name for column in fields(Row)], lineterminator="\n")
        table.writeheader()
        table.writerows(asdict(row) for row in rows)


def read_rows(path: Path) -> list[Row]:
    """The reverse of `write_rows`."""
    with path.open(newline="", encoding="utf-8") as stream:
        return [_row(line) for line in csv.DictReader(stream)]


def _row(line: dict[str, str]) -> Row:
    words = ("bundle", "version", "photo", "donor", "state", "status")
    numbers: dict[str, Any] = {
        name: float(text) if text else None for name, text in line.items() if name not in (*words, "aligned", "side")
    }
    named: dict[str, Any] = {name: line[name] for name in words}
    return Row(**named, aligned=line["aligned"] == "True", side=int(line["side"]), **numbers)


def write_cells(drawn: Sequence[Drawn], path: Path) -> None:
    """Drawn values of all photos of a table, as NPZ."""
    cells, windows = (np.concatenate(parts) for parts in ([one.cells for one in drawn], [one.windows for one in drawn]))
    np.savez(path, cells=cells, windows=windows)


def evaluate_way(
    data: Path, bundle: Path | None, only: Path | None, way: Way, *, count: int, genuine: int, seed: int
) -> tuple[Bundle, list[Row], list[Drawn]]:
    """Draw, make and judge."""
    records = read_dataset(data)
    if only is not None:
        records = [records[place] for place in json.loads(only.read_text("utf-8"))]
    loaded = load_bundle(bundle, threads=1)
    drawn = draw(records, count, genuine=genuine, seed=seed, relation=way.relation)
    judged = [judge(one, loaded, way, seed=seed) for one in told(drawn)]
    return loaded, [row for row, _ in judged], [values for _, values in judged]


@app.command()
def evaluate(
    data: Annotated[Path, typer.Option(help="Photos with a manifest.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    bundle: Annotated[Path | None, typer.Option(help="Bundle folder; the one that ships if not given.")] = None,
    only: Annotated[Path | None, typer.Option(help="JSON list of the photos to take: places in the manifest, from 0.")] = None,
    count: Annotated[int, typer.Option(min=0, help="Splices.")] = 40,
    genuine: Annotated[int | None, typer.Option(min=0, help="Genuine photos; as many as splices if not given.")] = None,
    state: Annotated[str, typer.Option(help="What is done to the finished photo: native, jpeg 90, ...")] = NATIVE,
    relation: Annotated[
        str, typer.Option(help=f"Of the two photos of a splice: {', '.join(RELATIONS)} (maker, maker, body).")
    ] = "different",
    side: Annotated[int, typer.Option(min=16, help="Of the pasted piece, in pixels.")] = 192,
    feather: Annotated[int, typer.Option(min=0, help="Over how many pixels it fades in.")] = 0,
    outline: Annotated[str, typer.Option(help=f"Of the piece: {' or '.join(OUTLINES)}.")] = "square",
    scale: Annotated[float, typer.Option(min=0.5, help="Of the photo that the piece comes from.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Other splices.")] = 0,
) -> None:
    """Make splices, localize, and write the table, the figures, and drawn values of the maps."""
    way = Way(relation, side, feather, outline, scale, state)
    count_genuine = count if genuine is None else genuine
    loaded, rows, drawn = evaluate_way(data, bundle, only, way, count=count, genuine=count_genuine, seed=seed)
    out.mkdir(parents=True, exist_ok=True)
    write_rows(rows, out / TABLE)
    write_cells(drawn, out / CELLS)
    summary = {**asdict(way), "seed": seed, "bundle": asdict(loaded.id), **summarise(rows, read_measured().threshold)}
    text = json.dumps(summary, indent=1)
    (out / SUMMARY).write_text(text + "\n", "utf-8")
    typer.echo(text)


def told(drawn: Sequence[Thing]) -> Iterator[Thing]:
    """The same, with a progress bar."""
    from camtrace.cli.parts import progress

    with progress("localizing") as show:
        for number, one in enumerate(drawn, 1):
            yield one
            show(number, len(drawn))


@app.command()
def folds(
    work: Annotated[Path, typer.Option(help="Folder of work of a build, with the nets of its folds.")],
    out: Annotated[Path, typer.Option(help="Folder to write the tables to.")],
    data: Annotated[Path | None, typer.Option(help="The photos, if they lie elsewhere now.")] = None,
    kept: Annotated[Path | None, typer.Option(help="Folder to keep traces in; WORK/splicing if not given.")] = None,
    share: Annotated[
        float,
        typer.Option(
            min=0.01, help="Of the photos that are asked. Below 1 only for a first look: with few photos the threshold is strict."
        ),
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Other splices.")] = 0,
    page: Annotated[Path | None, typer.Option(help="Page whose tables are written anew.")] = None,
    fitted: Annotated[
        Path | None,
        typer.Option(help="JSON file for a new fit of all that is asked and the bundle that ships; else what ships now is judged."),
    ] = None,
) -> None:
    """Measure every fold of a build by what was fitted on the others and by what ships, and write the tables."""
    from camtrace.lab.splicing_folds import measure_folds
    from camtrace.lab.splicing_nets import read_build
    from camtrace.lab.splicing_page import FOLDS, put_into, to_markdown, write_crossed

    crossed = measure_folds(
        read_build(work, data), kept or work / "splicing", share=share, seed=seed, refit=fitted is not None, told=told
    )
    write_crossed(crossed, out)
    text = to_markdown(crossed)
    if page is not None:
        put_into(page, text, FOLDS)
    if fitted is not None:
        write_fit(crossed.shipped, fitted)
    typer.echo(text)


@app.command()
def large(
    out: Annotated[Path, typer.Option(help="Folder to write the table to.")],
    kept: Annotated[Path | None, typer.Option(help="Folder to keep traces in; OUT if not given.")] = None,
    bundle: Annotated[Path | None, typer.Option(help="Bundle folder; the one that ships if not given.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Splices, and as many genuine photos.")] = 20,
    page: Annotated[Path | None, typer.Option(help="Page whose table is written anew.")] = None,
) -> None:
    """Make large photos, half of them spliced, localize by what ships, and write the table."""
    from camtrace.lab.splicing_large import measure_large
    from camtrace.lab.splicing_page import LARGE, large_to_markdown, put_into, write_large

    lines = measure_large(count, load_bundle(bundle, threads=1), kept or out, told=told)
    write_large(lines, out)
    text = large_to_markdown(lines)
    if page is not None:
        put_into(page, text, LARGE)
    typer.echo(text)


@app.command()
def fit(
    tables: Annotated[list[Path], typer.Argument(help="Tables that `evaluate` wrote; their drawn values lie beside them.")],
    out: Annotated[Path, typer.Option(help="The JSON file to write.")],
) -> None:
    """Set weights, threshold, limits and probability by these tables, and say how many of their genuine photos alarm."""
    rows = [row for table in tables for row in read_rows(table)]
    beside = [np.load(table.with_name(CELLS)) for table in tables]
    measured = fit_measured(
        rows, np.concatenate([values["cells"] for values in beside]), np.concatenate([values["windows"] for values in beside])
    )
    text = write_fit(measured, out)
    typer.echo(f"{text}\n{measured.alarms} of {measured.genuine} genuine photos alarm, {ALARMS:.0%} may")


def write_fit(measured: Measured, out: Path) -> str:
    """The JSON file that ships as localization.json; returns its text."""
    text = json.dumps(to_document(measured), indent=1)
    out.write_text(text + "\n", "utf-8", newline="\n")
    return text


if __name__ == "__main__":
    app()
