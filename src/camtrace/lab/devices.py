"""How well sensor fingerprints tell devices apart: on flat fields and photos of real bodies, on made devices, and as sketches.

    python -m camtrace.lab.devices real --data ../shared/prnu --strangers ../shared/cameras --out docs/results/devices
    python -m camtrace.lab.devices calibrate docs/results/devices/comparisons.csv --out src/camtrace/devices/calibration.json
    python -m camtrace.lab.devices made --out docs/results/devices
    python -m camtrace.lab.devices compact --data ../shared/prnu --out docs/results/devices

Every comparison is kept as a row, from which tables, figure and the calibration that ships (device_calibration.json) are made. Photos
are never written. Intervals are bootstrapped over photos, since the comparisons of a photo are not independent.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image

from camtrace.devices.device import MAX_CHANCE
from camtrace.devices.fingerprint import Pixels, Plane, Sums, estimate
from camtrace.devices.matching import Questioned, Search, compare, placements
from camtrace.lab.page import write_table
from camtrace.photo import read_photo
from camtrace.types import CamtraceError

app = typer.Typer(pretty_exceptions_enable=False)

STRAIGHT = (0,)
AROUND_80 = tuple(round(0.75 + step / 200, 3) for step in range(21))
CASES = {
    "one place": ("as is", "jpeg 70", "piece 512", "piece 256", "strangers"),
    "searched": ("crop 512", "crop 512, jpeg 70", "crop 256", "strangers, crop"),
}
"""The variants that a case's likelihood ratios are fitted to. False alarms of `searched` are counted over resized photos too."""
THRESHOLDS = {"one place": 40.0, "searched": 60.0}
"""Well above the highest PCE of another device that was measured: 21.0 at one place, 42.6 in a search (docs/results/devices.md)."""
_RESAMPLES = 1000
_EVIDENCE_LIMIT = 30.0

Interval = tuple[float, float, float]


@dataclass(frozen=True)
class Row:
    """One photo compared with one device."""

    variant: str  # what was done to the photo
    photo: str
    kind: str  # flat or nat
    device: str  # that took the photo
    compared: str  # whose fingerprint it was
    pce: float
    p_value: float

    @property
    def matching(self) -> bool:
        """Whether the photo is of the device."""
        return self.device == self.compared


@dataclass(frozen=True)
class Shot:
    """A photo of the data set."""

    name: str
    device: str
    kind: str
    pixels: Pixels


def read_shots(data: Path) -> list[Shot]:
    """The photos that `prnu.csv` lists (file, device, camera, kind)."""
    try:
        with (data / "prnu.csv").open(newline="", encoding="utf-8") as stream:
            rows = list(csv.DictReader(stream))
    except OSError as error:
        raise CamtraceError(
            f"{data}: no flat fields here (prnu.csv: {error.strerror or error}); "
            "expected that list with the columns file, device, camera, kind"
        ) from error
    return [Shot(row["file"], row["device"], row["kind"], read_photo(data / row["file"]).pixels) for row in rows]


class Prints:
    """The fingerprints of the devices from their flat fields, a questioned flat field left out of its own."""

    def __init__(self, shots: Sequence[Shot]) -> None:
        self.devices = sorted({shot.device for shot in shots})
        flats = [(shot, Sums.of(shot.pixels)) for shot in shots if shot.kind == "flat"]
        self._sums = {device: total_of(sums for shot, sums in flats if shot.device == device) for device in self.devices}
        self._single = {shot.name: sums for shot, sums in flats}
        self._whole = {device: estimate(sums) for device, sums in self._sums.items()}

    def of(self, device: str, shot: Shot | None = None) -> Plane:
        """The fingerprint of a device, without this photo."""
        if shot is None or shot.device != device or shot.name not in self._single:
            return self._whole[device]
        total, one = self._sums[device], self._single[shot.name]
        return estimate(Sums(total.products - one.products, total.squares - one.squares, total.photos - 1))


def total_of(parts: Iterable[Sums]) -> Sums:
    """The sums of several photos, at least one."""
    first, *rest = parts
    for part in rest:
        first += part
    return first


def resaved(pixels: Pixels, quality: int) -> Pixels:
    """The photo saved again as JPEG (4:2:0) at a quality, and decoded."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return read_photo(stream.getvalue()).pixels


def _resized(pixels: Pixels, scale: float) -> Pixels:
    size = round(pixels.shape[1] * scale), round(pixels.shape[0] * scale)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


Area = tuple[slice, slice]
Variant = tuple[Pixels, Area, Search]
"""The changed photo, the part of the fingerprint it is compared with, and what is searched."""


def variants(pixels: Pixels, rng: np.random.Generator) -> Iterator[tuple[str, Variant]]:
    """What a photo may have gone through; crops lie at random places."""
    whole, straight = (slice(None), slice(None)), Search(STRAIGHT)
    yield "as is", (pixels, whole, Search())
    yield "jpeg 70", (resaved(pixels, 70), whole, Search())
    for side in (512, 256):
        top, left = (int(rng.integers(0, length - side + 1)) for length in pixels.shape[:2])
        area = slice(top, top + side), slice(left, left + side)
        yield f"piece {side}", (pixels[area], area, straight)
        yield f"crop {side}", (pixels[area], whole, Search())
        if side == 512:
            yield "crop 512, jpeg 70", (resaved(np.ascontiguousarray(pixels[area]), 70), whole, Search())
    small = _resized(pixels, 0.8)
    yield "resize 0.8, no --scales", (small, whole, Search())
    yield "resize 0.8, --scales by size", (small, whole, Search(exact_scale=True))
    yield "resize 0.8, jpeg 70, by size", (resaved(small, 70), whole, Search(exact_scale=True))
    yield "resize 0.8, crop, --scales", (small[100:740, 60:700], whole, Search(STRAIGHT, AROUND_80))


def compare_all(shots: Sequence[Shot], prints: Prints, echo: Callable[[str], object]) -> Iterator[Row]:
    """Every photo that was no part of the fingerprint, in every variant, with every device; the costly scale search for photos only."""
    for number, shot in enumerate(shots):
        echo(f"{number + 1} of {len(shots)}: {shot.name}")
        sensors = {device: prints.of(device, shot) for device in prints.devices}
        for name, (pixels, area, search) in variants(shot.pixels, np.random.default_rng([7, number])):
            if shot.kind == "flat" and search.scales:
                continue
            yield from _rows(shot, name, Questioned.of_pixels(pixels), {device: one[area] for device, one in sensors.items()}, search)


def _rows(shot: Shot, variant: str, photo: Questioned, sensors: dict[str, Plane], search: Search) -> Iterator[Row]:
    for device, sensor in sensors.items():
        found = compare(photo, sensor, placements(photo.shape, (sensor.shape[0], sensor.shape[1]), search))
        yield Row(variant, shot.name, shot.kind, shot.device, device, found.pce, found.p_value)


def compare_strangers(folder: Path, prints: Prints, echo: Callable[[str], object], *, every: int = 4) -> Iterator[Row]:
    """Photos by other cameras, laid on the middle of each fingerprint; one in `every` also searched as a crop."""
    with (folder / "photos.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    whole = {device: prints.of(device) for device in prints.devices}
    for number, row in enumerate(rows):
        pixels = read_photo(folder / row["file"]).pixels
        if number % 100 == 0:
            echo(f"strangers: {number + 1} of {len(rows)}")
        height, width = pixels.shape[:2]
        middle = {device: one[256 : 256 + height, 256 : 256 + width] for device, one in whole.items()}
        shot = Shot(row["file"], f"{row['camera']} {row['device']}", "nat", pixels)
        photo = Questioned.of_pixels(pixels)
        yield from _rows(shot, "strangers", photo, middle, Search(STRAIGHT))
        if number % every == 0:
            yield from _rows(shot, "strangers, crop", photo, whole, Search(STRAIGHT))


def summarise(rows: Sequence[Row]) -> list[dict[str, object]]:
    """One line for each variant and kind of photo: how matches and others lie, and how often a device is named, rightly or not."""
    lines: list[dict[str, object]] = []
    devices = len({row.compared for row in rows})
    for variant in dict.fromkeys(row.variant for row in rows):
        for kind in ("flat", "nat"):
            some = [row for row in rows if row.variant == variant and row.kind == kind]
            if not some:
                continue
            own, other = ([row for row in some if row.matching is matching] for matching in (True, False))
            best = np.array([row.pce for row in other])
            line: dict[str, object] = {
                "variant": variant,
                "kind": kind,
                "photos": len({row.photo for row in some}),
                "others": len(other),
            }
            line |= {"highest_other": float(best.max()), "others_named": sum(_named(row, devices) for row in other)}
            if own:
                pces = np.array([row.pce for row in own])
                line |= {"lowest_match": float(pces.min()), "median_match": bootstrap(pces, np.median)}
                line |= {"named": bootstrap(np.array([_named(row, devices) for row in own], float), np.mean), "auc": _auc(some)}
                line["ranked_first"] = float(np.mean([_first(row, some) for row in own]))
            lines.append(line)
    return lines


def _first(row: Row, rows: Sequence[Row]) -> bool:
    """Whether the photo's own device heads its ranking."""
    return row == min((other for other in rows if other.photo == row.photo), key=lambda other: (other.p_value, -other.pce))


def _named(row: Row, devices: int) -> bool:
    """Whether `camtrace device match` names this device, if it is the best one."""
    threshold = THRESHOLDS["one place" if row.variant in CASES["one place"] else "searched"]
    return row.pce >= threshold and row.p_value * devices <= MAX_CHANCE


def bootstrap(values: NDArray[np.float64], statistic: Callable[[NDArray[np.float64]], np.floating]) -> Interval:
    """A statistic with its 95 % interval."""
    rng = np.random.default_rng(0)
    drawn = [statistic(values[rng.integers(len(values), size=len(values))]) for _ in range(_RESAMPLES)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(statistic(values)), float(low), float(high)


def _auc(rows: Sequence[Row]) -> Interval:
    """Chance that a match scores above another device's comparison, resampled by photo."""
    own = {row.photo: row.pce for row in rows if row.matching}
    other = {photo: np.array([row.pce for row in rows if row.photo == photo and not row.matching]) for photo in own}
    names = np.array(list(own))

    def area(some: NDArray[np.str_]) -> float:
        matches, others = np.array([own[name] for name in some]), np.concatenate([other[name] for name in some])
        return float(np.mean((matches[:, None] > others) + 0.5 * (matches[:, None] == others)))

    rng = np.random.default_rng(0)
    drawn = [area(names[rng.integers(len(names), size=len(names))]) for _ in range(200)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return area(names), float(low), float(high)


def calibrate(rows: Sequence[Row]) -> dict[str, object]:
    """The calibration that ships, for each case: a logistic in -log10 p within what the counts support, and the threshold's alarms.

    Flat fields and photos weigh the same in the fit, as do matches and others: an analyst's photos are no flat fields. By the rule of
    three, no error in n says that the rate is at most 3 / n: n is the number of photos, since a photo's comparisons hang together.
    """
    from sklearn.linear_model import LogisticRegression

    cases: dict[str, object] = {}
    for name, taken in CASES.items():
        some = [row for row in rows if row.variant in taken]
        groups = Counter((row.matching, row.kind) for row in some)
        evidence = np.array([min(-math.log10(max(row.p_value, 1e-300)), _EVIDENCE_LIMIT) for row in some])
        weights = [1 / groups[row.matching, row.kind] for row in some]
        model = LogisticRegression(C=1e6).fit(evidence[:, None], [row.matching for row in some], weights)
        ordinary, others = (
            {row.photo for row in some if row.matching is own and (row.kind == "nat" or not own)} for own in (True, False)
        )
        wider = (*taken, *{row.variant for row in rows if name == "searched" and "resize" in row.variant})
        cases[name] = {
            **_false_alarms([row.pce for row in rows if not row.matching and row.variant in wider], THRESHOLDS[name]),
            "intercept": round(float(model.intercept_[0]) / math.log(10), 3),
            "slope": round(float(model.coef_[0, 0]) / math.log(10), 3),
            "low": round(-math.log10(len(ordinary) / 3), 2),
            "high": round(math.log10(len(others) / 3), 2),
            "min_pixels": 256 * 256,
            "ordinary_photos_matching": len(ordinary),
            "photos_not_matching": len(others),
        }
    return {"format": 1, "cases": cases}


def _false_alarms(others: Sequence[float], pce: float) -> dict[str, object]:
    from scipy.stats import beta

    alarms = sum(other >= pce for other in others)
    limit = float(beta.ppf(0.975, alarms + 1, len(others) - alarms)) if alarms else 3 / len(others)
    highest = round(max(others), 1)
    return {"pce": pce, "non_matching": len(others), "false_alarms": alarms, "rate_at_most": round(limit, 6), "highest_other": highest}


DataOption = Annotated[Path, typer.Option("--data", help="Folder with prnu.csv: flat fields and photos of several bodies.")]
OutOption = Annotated[Path, typer.Option("--out", help="Folder for numbers and figure.")]


def _say(text: str) -> None:
    typer.echo(text, err=True)


@app.command("real")
def study_real(
    data: DataOption,
    out: OutOption,
    strangers: Annotated[Path | None, typer.Option("--strangers", help="Photos of other cameras, with photos.csv.")] = None,
) -> None:
    """Compare photos of known devices, as they are and changed, with every fingerprint; writes every comparison, summary and figure."""
    shots = read_shots(data)
    prints = Prints(shots)
    rows = [*compare_all(shots, prints, _say), *(compare_strangers(strangers, prints, _say) if strangers else ())]
    write_rows(rows, out / "comparisons.csv")
    _summarise(rows, out)


@app.command("summarise")
def summarise_again(comparisons: Annotated[Path, typer.Argument(help="comparisons.csv of `real`.")], out: OutOption) -> None:
    """Summary and figure of comparisons made before."""
    _summarise(read_rows(comparisons), out)


def _summarise(rows: Sequence[Row], out: Path) -> None:
    write_table(summarise(rows), out / "summary")
    from camtrace.lab.devices_figures import draw_pces, draw_roc

    own = [row for row in rows if not row.variant.startswith("strangers")]
    draw_pces(own, out / "pce.png", thresholds=THRESHOLDS)
    draw_roc(own, out / "roc.png")


def write_rows(rows: Iterable[Row], path: Path) -> None:
    """Comparisons as CSV, numbers to five digits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(field.name for field in fields(Row))
        for row in rows:
            writer.writerow([row.variant, row.photo, row.kind, row.device, row.compared, f"{row.pce:.5g}", f"{row.p_value:.5g}"])


def read_rows(path: Path) -> list[Row]:
    """Comparisons as `real` wrote them."""
    with path.open(newline="", encoding="utf-8") as stream:
        texts = list(csv.DictReader(stream))
    return [Row(**{**text, "pce": float(text["pce"]), "p_value": float(text["p_value"])}) for text in texts]  # type: ignore[arg-type]


@app.command("calibrate")
def write_calibration(
    comparisons: Annotated[Path, typer.Argument(help="comparisons.csv of `real`.")],
    out: Annotated[Path, typer.Option("--out", help="JSON file to write.")],
) -> None:
    """Fit the likelihood ratios and count false alarms at the threshold."""
    out.write_text(json.dumps(calibrate(read_rows(comparisons)), indent=1) + "\n", "utf-8", newline="\n")


@app.command("made")
def study_made(out: OutOption) -> None:
    """Fifty devices of one made model: error rate against enrolment photos and JPEG quality."""
    from camtrace.lab.devices_made import made_study

    write_table(made_study(_say), out / "made")


@app.command("compact")
def study_compact(data: DataOption, out: OutOption) -> None:
    """Ten thousand devices by their sketches: where the true one ranks, and how long that takes."""
    from camtrace.lab.devices_made import compact_study

    shots = read_shots(data)
    write_table(compact_study(shots, Prints(shots)), out / "compact")


if __name__ == "__main__":
    app()
