"""How well `camtrace localize` finds what was pasted in: splices of two real cameras' photos, and as many genuine photos.

    python -m camtrace.lab.splicing evaluate --data ../shared/cameras --out work/splicing/native
    python -m camtrace.lab.splicing evaluate --data ../shared/cameras --out work/splicing/q90 --state "jpeg 90" --makers same
    python -m camtrace.lab.splicing fit work/splicing/*/photos.csv --out src/camtrace/localization.json

A square of another camera's photo is pasted into a photo, both drawn at random: hard-edged or feathered, on the JPEG grid of
the photo it comes into (`aligned`, where only the camera differs) or anywhere. Every photo is a row of a table; pixels are never
written. Figures of cameras that taught the bundle flatter: `--only` takes a list of photos that it never saw.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from camtrace.bundle import Bundle, load_bundle
from camtrace.degrade import NATIVE, degradation
from camtrace.lab.datasets import Record, read_dataset
from camtrace.localization import Localization, locate
from camtrace.photo import read_photo
from camtrace.types import CamtraceError, Photo, PhotoError

app = typer.Typer(pretty_exceptions_enable=False)

ALARMS = 0.05
"""The share of genuine photos that may alarm at the default threshold."""
GRID = 16
SAMPLED = 50
"""Pixels of each photo, drawn at random, that the probability is fitted on."""
TABLE, CELLS, SUMMARY = "photos.csv", "pixels.npz", "summary.json"

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Forgery:
    """What is pasted where; a genuine photo has no donor."""

    host: Record
    donor: Record | None
    place: tuple[int, int]  # row and column in the host, as a share of the room there is, in 1/1000
    taken: tuple[int, int]  # the same in the donor
    aligned: bool


@dataclass(frozen=True)
class Row:
    """One photo judged. Figures of the map are None for a genuine one, and where it could not be judged."""

    bundle: str
    version: str
    photo: str
    donor: str
    state: str
    aligned: bool
    status: str
    score: float  # 0 where not judged
    side: int  # the photo's longer one
    with_data: float  # share of the pixels
    auc: float | None = None  # pasted pixels against others, those with data; the map as it is, never inverted
    f1: float | None = None  # of the map above 0, whether the photo alarms or not
    iou: float | None = None


def draw(records: Sequence[Record], count: int, *, genuine: int, seed: int, same_maker: bool = False) -> list[Forgery]:
    """`count` splices, every other one aligned, then `genuine` photos as they are; cameras first, then one of their photos.

    Raises
    ------
    CamtraceError
        There are no two cameras to paste from one into the other.
    """
    rng = np.random.default_rng(seed)
    albums: dict[str, list[Record]] = {}
    for record in records:
        albums.setdefault(record.camera, []).append(record)
    donors = {camera: [other for other in albums if _may_paste(camera, other, same_maker)] for camera in sorted(albums)}
    hosts = [camera for camera, others in donors.items() if others]
    if count and not hosts:
        raise CamtraceError(f"{len(albums)} cameras, none of which can be pasted into another; at least two are needed")

    def one(cameras: list[str]) -> Record:
        album = albums[cameras[rng.integers(len(cameras))]]
        return album[rng.integers(len(album))]

    drawn = []
    for number in range(count):
        host = one(hosts)
        places = rng.integers(0, 1001, 4).tolist()
        drawn.append(Forgery(host, one(donors[host.camera]), (places[0], places[1]), (places[2], places[3]), number % 2 == 0))
    return [*drawn, *(Forgery(one(sorted(albums)), None, (0, 0), (0, 0), False) for _ in range(genuine))]


def _may_paste(camera: str, other: str, same_maker: bool) -> bool:
    return camera != other and (camera.split()[0] == other.split()[0]) == same_maker


def forge(host: Pixels, donor: Pixels, forgery: Forgery, *, side: int, feather: int = 0) -> tuple[Pixels, NDArray[np.bool_]]:
    """Paste a square of the donor into the host: the new pixels, and (h, w) True where they come half or more from the donor.

    `feather` is over how many pixels within the square it fades in. Raises CamtraceError where the square does not fit.
    """
    if min(*host.shape[:2], *donor.shape[:2]) < side + GRID:
        raise CamtraceError(f"{host.shape[:2]} and {donor.shape[:2]} pixels, expected at least {side + GRID} each way")
    row, column = (share * (room - side - GRID) // 1000 for share, room in zip(forgery.place, host.shape, strict=False))
    down, across = (share * (room - side - GRID) // 1000 for share, room in zip(forgery.taken, donor.shape, strict=False))
    if forgery.aligned:
        down, across = down // GRID * GRID + row % GRID, across // GRID * GRID + column % GRID
    distance = np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5
    ramp = np.clip(distance / max(feather, 0.5), 0, 1)
    weight = np.minimum.outer(ramp, ramp)
    pasted, mask = host.copy(), np.zeros(host.shape[:2], bool)
    old, new = (
        part.astype(np.float64) for part in (host[row : row + side, column : column + side], donor[down:, across:][:side, :side])
    )
    pasted[row : row + side, column : column + side] = np.rint(old + weight[..., None] * (new - old))
    mask[row : row + side, column : column + side] = weight >= 0.5
    return pasted, mask


def judge(forgery: Forgery, bundle: Bundle, *, state: str, side: int, feather: int, seed: int) -> tuple[Row, NDArray[np.float64]]:
    """Make the photo, localize, and compare with the truth; with (n, 2) drawn pixels: their excess, and 1 if pasted."""
    pixels = read_photo(forgery.host.path).pixels
    mask = np.zeros(pixels.shape[:2], bool)
    if forgery.donor is not None:
        pixels, mask = forge(pixels, read_photo(forgery.donor.path).pixels, forgery, side=side, feather=feather)
    photo = Photo(forgery.host.path.name, "", degradation(state)(pixels))
    donor = forgery.donor.camera if forgery.donor else ""
    base: dict[str, Any] = {"bundle": bundle.id.name, "version": bundle.id.version, "photo": forgery.host.camera, "donor": donor}
    base |= {"state": state, "aligned": forgery.aligned, "side": max(photo.size)}
    try:
        found = locate(photo, bundle=bundle)
    except PhotoError as error:
        return Row(**base, status=error.status, score=0.0, with_data=0.0), np.zeros((0, 2))
    return _compare(base, found, mask, seed=seed)


def _compare(base: dict[str, Any], found: Localization, mask: NDArray[np.bool_], *, seed: int) -> tuple[Row, NDArray[np.float64]]:
    heat = found.heat()
    known = np.isfinite(heat)
    truth, values = mask[known], heat[known]
    figures: dict[str, Any] = {}
    if truth.any() and not truth.all():
        hits, either = int((truth & (values > 0)).sum()), int((truth | (values > 0)).sum())
        figures = {"auc": float(roc_auc_score(truth, values)), "iou": hits / either, "f1": 2 * hits / (hits + either)}
    drawn = np.random.default_rng(seed).choice(len(values), min(SAMPLED, len(values)), replace=False)
    row = Row(**base, status="ok", score=found.score or 0.0, with_data=float(known.mean()), **figures)
    return row, np.stack([values[drawn], truth[drawn]], axis=1).astype(np.float64)


def summarise(rows: Sequence[Row], threshold: float) -> dict[str, Any]:
    """The figures of a table: of maps, of the detection at `threshold`, and of the two kinds of splices apart."""
    forged, genuine = [row for row in rows if row.donor], [row for row in rows if not row.donor]
    scores = [row.score for row in (*forged, *genuine)]
    kinds = {"all": forged, "aligned": [row for row in forged if row.aligned], "anywhere": [row for row in forged if not row.aligned]}
    return {
        "splices": len(forged),
        "genuine": len(genuine),
        "pixel_auc": {kind: _mean([row.auc for row in some]) for kind, some in kinds.items()},
        "pixel_auc_median": {kind: _median([row.auc for row in some]) for kind, some in kinds.items()},
        "f1": _mean([row.f1 for row in forged]),
        "iou": _mean([row.iou for row in forged]),
        "photo_auc": float(roc_auc_score([1] * len(forged) + [0] * len(genuine), scores)) if forged and genuine else None,
        "threshold": threshold,
        "found": {kind: _mean([float(row.score >= threshold) for row in some]) for kind, some in kinds.items()},
        "false_alarms": sum(row.score >= threshold for row in genuine),
        "not_judged": sum(row.status != "ok" for row in rows),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 4) if known else None


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.median(known)), 4) if known else None


def choose_threshold(rows: Sequence[Row]) -> float:
    """The smallest score, in hundredths, that at most ALARMS of the genuine photos of every bundle and state reach.

    Raises CamtraceError where there is no genuine photo.
    """
    groups: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        if not row.donor:
            groups.setdefault((row.bundle, row.version, row.state), []).append(row.score)
    if not groups:
        raise CamtraceError("no genuine photo among these rows; a threshold is set on genuine photos alone")
    return max(_limit(scores) for scores in groups.values())


def _limit(scores: Sequence[float]) -> float:
    """Just above the score of the first photo that may no longer alarm."""
    order = sorted(scores, reverse=True)
    return float(np.floor(order[int(ALARMS * len(order))] * 100 + 1) / 100)


def fit_probability(samples: NDArray[np.float64]) -> tuple[float, float]:
    """(n, 2) excess and truth of pixels, of splices and genuine photos alike -> slope and offset of the log-odds."""
    line = LogisticRegression(C=100).fit(samples[:, :1], samples[:, 1].astype(int))
    return float(line.coef_[0, 0]), float(line.intercept_[0])


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
    numbers: dict[str, Any] = {name: float(line[name]) if line[name] else None for name in ("score", "with_data", "auc", "f1", "iou")}
    words: dict[str, Any] = {name: line[name] for name in ("bundle", "version", "photo", "donor", "state", "status")}
    return Row(**words, aligned=line["aligned"] == "True", side=int(line["side"]), **numbers)


@app.command()
def evaluate(
    data: Annotated[Path, typer.Option(help="Photos with a manifest.")],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    bundle: Annotated[Path | None, typer.Option(help="Bundle folder; the one that ships if not given.")] = None,
    only: Annotated[Path | None, typer.Option(help="JSON list of the photos to take: places in the manifest, from 0.")] = None,
    count: Annotated[int, typer.Option(min=0, help="Splices.")] = 40,
    genuine: Annotated[int | None, typer.Option(min=0, help="Genuine photos; as many as splices if not given.")] = None,
    state: Annotated[str, typer.Option(help="What is done to the finished photo: native, jpeg 90, ...")] = NATIVE,
    makers: Annotated[str, typer.Option(help="different or same: of the two cameras of a splice.")] = "different",
    side: Annotated[int, typer.Option(min=16, help="Of the pasted square, in pixels.")] = 192,
    feather: Annotated[int, typer.Option(min=0, help="Over how many pixels it fades in.")] = 0,
    threshold: Annotated[float | None, typer.Option(help="Of the score; that which ships if not given.")] = None,
    seed: Annotated[int, typer.Option(help="Other splices.")] = 0,
) -> None:
    """Make splices, localize, and write the table, the figures, and drawn values of the map."""
    from camtrace.localization import read_measured

    records = read_dataset(data)
    if only is not None:
        records = [records[place] for place in json.loads(only.read_text("utf-8"))]
    loaded = load_bundle(bundle, threads=1)
    drawn = draw(records, count, genuine=count if genuine is None else genuine, seed=seed, same_maker=makers == "same")
    judged = [judge(one, loaded, state=state, side=side, feather=feather, seed=seed) for one in _told(drawn)]
    rows = [row for row, _ in judged]
    out.mkdir(parents=True, exist_ok=True)
    write_rows(rows, out / TABLE)
    np.savez(out / CELLS, samples=np.concatenate([values for _, values in judged]))
    summary = summarise(rows, threshold or read_measured().threshold)
    about = {"makers": makers, "side": side, "feather": feather, "state": state, "seed": seed}
    text = json.dumps({**about, "bundle": asdict(loaded.id), **summary}, indent=1)
    (out / SUMMARY).write_text(text + "\n", "utf-8")
    typer.echo(text)


def _told(drawn: Sequence[Forgery]) -> Iterator[Forgery]:
    from camtrace.cli_parts import progress

    with progress("localizing") as show:
        for number, one in enumerate(drawn, 1):
            yield one
            show(number, len(drawn))


@app.command()
def fit(
    tables: Annotated[list[Path], typer.Argument(help="Tables that `evaluate` wrote; their drawn values lie beside them.")],
    out: Annotated[Path, typer.Option(help="The JSON file to write.")],
) -> None:
    """Set the threshold on the genuine photos of these tables, and the probability on their drawn values."""
    rows = [row for table in tables for row in read_rows(table)]
    threshold = choose_threshold(rows)
    genuine = [row for row in rows if not row.donor]
    with_splices = [table for table in tables if any(row.donor for row in read_rows(table))]
    slope, offset = fit_probability(np.concatenate([np.load(table.with_name(CELLS))["samples"] for table in with_splices]))
    document = {
        "format": 1,
        "threshold": threshold,
        "genuine": len(genuine),
        "alarms": sum(row.score >= threshold for row in genuine),
        "largest_side": max(row.side for row in genuine),
        "bundles": sorted({(row.bundle, row.version) for row in genuine}),
        "slope": round(slope, 4),
        "offset": round(offset, 4),
    }
    out.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    typer.echo(json.dumps(document, indent=1))


if __name__ == "__main__":
    app()
