"""Figures: true heights and places in the SVG, the same bytes every time, and files that parse."""

from __future__ import annotations

import base64
import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

mpl = pytest.importorskip("matplotlib", reason="plots are drawn by matplotlib: pip install 'camtrace[lab]'")
pytestmark = pytest.mark.lab

from camtrace.lab.plots import COLOURS, Point, draw_bars, draw_blocks, draw_confusion, draw_curves, draw_lines  # noqa: E402
from test_house import modules_after  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"
NAMES = [f"Sony DSC-H{number}" for number in range(46)]
LINES: dict[str, Sequence[Point]] = {
    "cnn": [(2.0**power, 0.3 + 0.05 * power, 0.2 + 0.05 * power, 0.45 + 0.05 * power) for power in range(6)],
    "low baseline": [(1.0, 0.2, 0.15, 0.3)],
    "high baseline": [(1.0, 0.6, 0.5, 0.65)],
}
BARS: dict[str, Mapping[str, tuple[float, float, float] | None]] = {
    "native": {"cnn": (0.5, 0.4, 0.7), "spam": (0.25, 0.2, 0.3)},
    "jpeg 90": {"cnn": (0.1, 0.0, 0.2), "spam": None},
    "jpeg 70": {"cnn": (1.0, 0.9, 1.0)},
}


class Drawing:
    """An SVG: its texts, and where what carries an id lies."""

    def __init__(self, path: Path) -> None:
        self.root = ET.parse(path).getroot()
        self.texts = [text.text or "" for text in self.root.iter(f"{SVG}text")]

    def of(self, name: str) -> ET.Element:
        """The only element with this id."""
        (found,) = (element for element in self.root.iter() if element.get("id") == name)
        return found

    def has(self, name: str) -> bool:
        return any(element.get("id") == name for element in self.root.iter())

    def corners(self, name: str) -> NDArray[np.float64]:
        """All points (n, 2) of the paths under an id, in points of the page."""
        group = self.of(name)
        points = [re.findall(r"(-?[\d.]+) (-?[\d.]+)", path.get("d", "")) for path in group.iter(f"{SVG}path")]
        uses = list(group.iter(f"{SVG}use"))
        shift = [float(uses[0].get(axis, "0")) for axis in "xy"] if uses else [0.0, 0.0]
        return np.array([pair for part in points for pair in part], float) + shift

    def height(self, name: str) -> tuple[float, float]:
        """Lowest and highest y under an id, y pointing up."""
        y = -self.corners(name)[:, 1]
        return float(y.min()), float(y.max())

    def place(self, text: str) -> tuple[float, float]:
        """Where a text that occurs once stands."""
        (found,) = (element for element in self.root.iter(f"{SVG}text") if element.text == text)
        return float(found.get("x", "nan")), float(found.get("y", "nan"))

    def image(self, name: str) -> NDArray[np.uint8]:
        """Pixels (h, w, 3) of an embedded image, as seen."""
        element = self.of(name)
        data = element.get("{http://www.w3.org/1999/xlink}href", "").removeprefix("data:image/png;base64,")
        pixels = np.array(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
        return pixels[::-1] if "scale(1 -1)" in element.get("transform", "") else pixels


def pixels_of(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert not {"Software", "Creation Time"} & set(image.info)
        return np.array(image.convert("RGB"))


def rgb(colour: str) -> list[int]:
    return [int(colour[at : at + 2], 16) for at in (1, 3, 5)]


def shows(pixels: NDArray[np.uint8], colour: str) -> NDArray[np.bool_]:
    """(h, w) where the pixels are just this colour."""
    where: NDArray[np.bool_] = (pixels == rgb(colour)).all(axis=-1)
    return where


def draw_line_example(path: Path) -> None:
    draw_lines(LINES, path, x_label="patches that vote", y_label="named rightly", title="Votes", chance=0.05, log2=True)


def draw_bar_example(path: Path) -> None:
    draw_bars(BARS, path, y_label="named rightly", title="Degraded")


def draw_confusion_example(path: Path) -> None:
    draw_confusion(np.array([[0.67, 0.0, 0.33], [0.04, 0.96, 0.0], [0.0, 0.0, 1.0]]), ["A 1", "B & 2", "$C$ <3>"], path, title="Three")


PHOTO = np.random.default_rng(0).integers(0, 256, (200, 330, 3), dtype=np.uint8)
LABELS = np.array([[4, 4, 4, 4, 4], [4, 4, 0, 0, 4], [-1, 4, 0, 1, 4]])  # 192 x 320 pixels of the photo
TRUTH = np.zeros((200, 330), bool)
TRUTH[64:192, 128:256] = True


def draw_block_example(path: Path) -> None:
    draw_blocks(PHOTO, LABELS, 64, NAMES[:6], path, truth=TRUTH, title="Spliced")


def made_run(steps: int = 120) -> list[dict[str, float]]:
    """A run whose loss jumps between 1 and 3."""
    rows: list[dict[str, float]] = [
        {"step": step, "loss": 1.0 + 2 * (step % 2), "accuracy": 0.5, "gradient_norm": 0.1 * step} for step in range(1, steps + 1)
    ]
    for row in rows[39::40]:
        row |= {"validation_loss": 2.5, "validation_accuracy": 0.4}
    return rows


EXAMPLES = {"lines": draw_line_example, "bars": draw_bar_example, "confusion": draw_confusion_example, "blocks": draw_block_example}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The examples, drawn once: a folder with PNG and SVG of each."""
    folder = tmp_path_factory.mktemp("drawn") / "new" / "folder"
    for name, draw in EXAMPLES.items():
        draw(folder / name)
    return folder


@pytest.mark.parametrize("name", EXAMPLES)
def test_both_files_are_written_the_same_every_time(name: str, folder: Path, tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    with mpl.rc_context({"font.size": 30, "axes.facecolor": "red", "svg.hashsalt": None, "svg.fonttype": "path"}):
        EXAMPLES[name](tmp_path / "again.svg")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.png", "again.svg"]
    for suffix in (".png", ".svg"):
        assert (tmp_path / f"again{suffix}").read_bytes() == (folder / f"{name}{suffix}").read_bytes()
    assert pixels_of(tmp_path / "again.png").std() > 0
    text = (tmp_path / "again.svg").read_text("utf-8")
    assert "<dc:date>" not in text
    assert len(re.findall(r' id="([^"]*)"', text)) == len(set(re.findall(r' id="([^"]*)"', text)))
    assert dict(mpl.rcParams) == before


def test_lines_bands_and_baselines_stand_at_their_values(folder: Path) -> None:
    drawing = Drawing(folder / "lines.svg")
    (low,), (high,) = (set(drawing.height(f"line-{number}")) for number in (1, 2))  # level: lowest is highest
    share = {
        name: [0.2 + 0.4 * (y - low) / (high - low) for y in drawing.height(name)] for name in ("band-0", "band-1", "band-2", "chance")
    }
    assert share["band-0"] == pytest.approx([0.2, 0.7], abs=1e-4)
    assert share["band-1"] == pytest.approx([0.15, 0.3], abs=1e-4)
    assert share["band-2"] == pytest.approx([0.5, 0.65], abs=1e-4)
    assert share["chance"] == pytest.approx([0.05, 0.05], abs=1e-4)
    assert "stroke-dasharray" in ET.tostring(drawing.of("line-1"), "unicode")
    assert "stroke-dasharray" not in ET.tostring(drawing.of("line-0"), "unicode")


def test_lines_are_labelled_and_log2_ticks_are_even(folder: Path, tmp_path: Path) -> None:
    drawing = Drawing(folder / "lines.svg")
    assert {"patches that vote", "named rightly (%)", "Votes", "cnn", "low baseline", "high baseline", "chance"} <= set(drawing.texts)
    ticks = [drawing.place(text)[0] for text in ("1", "2", "4", "8", "16", "32")]
    assert np.diff(ticks) == pytest.approx(np.full(5, ticks[1] - ticks[0]), abs=1e-3)
    draw_lines({"cnn": [(1, 0.5, 0.4, 0.6), (10, 0.9, 0.8, 1.0)]}, tmp_path / "plain", x_label="x", y_label="y", title="t")
    assert "chance" not in Drawing(tmp_path / "plain.svg").texts


def test_lines_without_a_curve_or_without_points_are_drawn(tmp_path: Path) -> None:
    draw_lines({"only": [(1, 0.5, 0.4, 0.6)], "none": []}, tmp_path / "one", x_label="x", y_label="y", title="t", log2=True)
    drawing = Drawing(tmp_path / "one.svg")
    assert drawing.has("line-0")
    assert not drawing.has("line-1")
    draw_lines({}, tmp_path / "none", x_label="x", y_label="y", title="t")
    assert "x" in Drawing(tmp_path / "none.svg").texts


def test_bars_and_their_error_bars_have_true_heights(folder: Path) -> None:
    drawing = Drawing(folder / "bars.svg")
    zero, half = drawing.height("bar-0-0")
    tops = {name: (drawing.height(name)[1] - zero) / (half - zero) / 2 for name in ("bar-0-1", "bar-1-0", "bar-2-0")}
    assert tops == pytest.approx({"bar-0-1": 0.25, "bar-1-0": 0.1, "bar-2-0": 1.0}, abs=1e-4)
    errors = [(y - zero) / (half - zero) / 2 for name in ("error-0-0", "error-1-0", "error-2-0") for y in drawing.height(name)]
    assert errors == pytest.approx([0.4, 0.7, 0.0, 0.2, 0.9, 1.0], abs=1e-4)


def test_bars_that_are_not_there_say_so(folder: Path) -> None:
    drawing = Drawing(folder / "bars.svg")
    assert not drawing.has("bar-1-1")  # None
    assert not drawing.has("bar-2-1")  # not given
    assert drawing.texts.count("n/a") == 2
    assert {"native", "jpeg 90", "jpeg 70", "cnn", "spam", "named rightly (%)", "Degraded", "50", "25", "10", "100"} <= set(
        drawing.texts
    )


def test_bars_of_one_camera_share_a_colour(folder: Path) -> None:
    drawing = Drawing(folder / "bars.svg")
    styles = [drawing.of(f"bar-{bar}")[0].get("style") for bar in ("0-0", "1-0", "2-0", "0-1")]
    assert styles[0] == styles[1] == styles[2] != styles[3]


def test_confusion_prints_each_share_in_the_row_of_the_true_camera(folder: Path) -> None:
    drawing = Drawing(folder / "confusion.svg")
    assert {"A 1", "B & 2", "$C$ <3>", "Three", "true camera", "camera voted for"} <= set(drawing.texts)
    assert drawing.place("33") == pytest.approx((drawing.place("96")[0] * 2 - drawing.place("67")[0], drawing.place("67")[1]), abs=0.01)
    assert drawing.place("4") == pytest.approx((drawing.place("67")[0], drawing.place("96")[1]), abs=0.01)
    bar = {"0", "20", "40", "60", "80", "100"}
    assert sorted(text for text in drawing.texts if text.isdigit() and text not in bar) == ["33", "4", "67", "96"]
    cells = drawing.image("shares").mean(axis=2)
    height, width = (side // 3 for side in cells.shape)
    means = cells[: 3 * height, : 3 * width].reshape(3, height, 3, width).mean(axis=(1, 3))
    assert means.argmin(axis=1).tolist() == [0, 1, 2]
    assert means[0, 2] < means[1, 0] < means[0, 1]  # 33 % darker than 4 %, darker than none


@pytest.mark.parametrize("count", [2, 20, 46])
def test_confusion_holds_few_and_many_cameras(count: int, tmp_path: Path) -> None:
    shares = np.full((count, count), 0.13 / (count - 1)) + np.eye(count) * (0.87 - 0.13 / (count - 1))
    draw_confusion(shares, NAMES[:count], tmp_path / "confusion.png", title="Many")
    drawing = Drawing(tmp_path / "confusion.svg")
    assert all(drawing.texts.count(name) == 2 for name in NAMES[:count])
    assert drawing.texts.count("87") == count
    between = f"{13 / (count - 1):.0f}"  # 13 or 1 up to 20 cameras, where all cells are printed
    assert (drawing.texts.count(between) == count * (count - 1)) == (count <= 20)
    assert min(pixels_of(tmp_path / "confusion.png").shape[:2]) > 18 * count  # pixels a name


def test_confusion_of_a_camera_that_was_not_asked_about(tmp_path: Path) -> None:
    draw_confusion(np.array([[math.nan, math.nan], [0.25, 0.75]]), ["A", "B"], tmp_path / "confusion", title="One")
    assert {"n/a", "25", "75"} <= set(Drawing(tmp_path / "confusion.svg").texts)


def test_blocks_have_the_colour_of_their_camera(folder: Path) -> None:
    drawing = Drawing(folder / "blocks.svg")
    votes = drawing.image("votes")
    rows, columns = ((2 * np.arange(count) + 1) * side // (2 * count) for count, side in zip(LABELS.shape, votes.shape, strict=False))
    middles = votes[np.ix_(rows, columns)]
    for label, colour in ((4, COLOURS[0]), (0, COLOURS[1]), (1, COLOURS[2]), (-1, "#E3E3E3")):  # commonest first
        assert np.array_equal(shows(middles, colour), label == LABELS)
    named = [text for text in drawing.texts if ":" in text]
    assert named == ["Sony DSC-H4: 10", "Sony DSC-H0: 3", "Sony DSC-H1: 1", "no data: 1"]
    assert "Spliced" in drawing.texts
    assert "fill: url(" in ET.tostring(drawing.of("hatched--1"), "unicode")


def test_the_truth_is_outlined_where_it_is(folder: Path) -> None:
    drawing = Drawing(folder / "blocks.svg")
    image = drawing.of("votes")
    scale = float(image.get("width", "nan")) / 320
    outline = drawing.corners("truth-camera-black")
    assert np.ptp(outline, axis=0) / scale == pytest.approx([128, 128], abs=2)
    assert outline[:, 0].min() == pytest.approx(float(image.get("x", "nan")) + 128 * scale, abs=2 * scale)
    assert drawing.has("truth-photo-black")


@pytest.mark.parametrize("truth", [None, np.zeros((200, 330), bool), np.ones((200, 330), bool)])
def test_no_truth_no_forgery_and_nothing_but_forgery(truth: NDArray[np.bool_] | None, tmp_path: Path) -> None:
    draw_blocks(PHOTO, np.zeros((3, 5), int), 64, ["only"], tmp_path / "blocks", truth=truth, title="t")
    drawing = Drawing(tmp_path / "blocks.svg")
    assert drawing.has("truth-photo-black") == ("outline of the truth" in drawing.texts) == (truth is not None and truth.any())
    assert "only: 15" in drawing.texts
    assert not any("no data" in text for text in drawing.texts)


def test_many_cameras_among_the_blocks_look_different(tmp_path: Path) -> None:
    labels = np.arange(48).reshape(6, 8) % 46
    draw_blocks(np.zeros((384, 512, 3), np.uint8), labels, 64, NAMES, tmp_path / "blocks", truth=None, title="t")
    drawing = Drawing(tmp_path / "blocks.svg")
    assert all(any(text.startswith(f"{name}: ") for text in drawing.texts) for name in NAMES)
    assert sum(drawing.has(f"hatched-{label}") for label in range(46)) == 46 - len(COLOURS)


def test_curves_are_one_png_the_same_every_time(tmp_path: Path) -> None:
    for name in ("first.png", "second.png"):
        draw_curves(made_run(), tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.png", "second.png"]
    assert (tmp_path / "first.png").read_bytes() == (tmp_path / "second.png").read_bytes()
    assert pixels_of(tmp_path / "first.png").shape[1] > 1000


def test_a_long_noisy_curve_is_smoothed_before_its_raw_values(tmp_path: Path) -> None:
    draw_curves([{key: row[key] for key in ("step", "loss")} for row in made_run(6000)], tmp_path / "curves.png")
    loss = pixels_of(tmp_path / "curves.png")[:350]  # the uppermost panel
    firm = np.flatnonzero(shows(loss, COLOURS[0]).any(axis=1))
    tinted = np.flatnonzero(np.ptp(loss.astype(int), axis=2).max(axis=1) > 20)
    assert np.ptp(firm) < 0.1 * np.ptp(tinted)  # the mean hardly moves while the raw values jump
    assert firm.mean() == pytest.approx(tinted.mean(), abs=0.05 * np.ptp(tinted))


def test_curves_show_what_was_logged_and_nothing_else(tmp_path: Path) -> None:
    rows = [{key: value for key, value in row.items() if not key.startswith("validation")} for row in made_run()]
    draw_curves(rows, tmp_path / "plain.png")
    draw_curves(made_run(), tmp_path / "validated.png")
    draw_curves([{**row, "loss_1": 4.0, "accuracy_1": 0.3} for row in rows], tmp_path / "two.png")
    seen = {path.stem: [bool(shows(pixels_of(path), COLOURS[at]).any()) for at in (0, 3, 1)] for path in tmp_path.iterdir()}
    assert seen == {"plain": [True, False, False], "validated": [True, False, True], "two": [True, True, False]}


def test_curves_of_a_run_that_broke_or_never_began(tmp_path: Path) -> None:
    rows = [*made_run(), {"step": 121, "loss": math.nan, "gradient_norm": math.inf}, {"step": 122, "gradient_norm": 0.0}]
    draw_curves(rows, tmp_path / "broke.png")
    draw_curves([], tmp_path / "never.png")
    assert shows(pixels_of(tmp_path / "broke.png"), COLOURS[0]).any()
    assert not shows(pixels_of(tmp_path / "never.png"), COLOURS[0]).any()


def test_matplotlib_is_loaded_only_to_draw() -> None:
    loaded = modules_after("import camtrace.lab.plots")
    assert "camtrace.lab.plots" in loaded
    assert not loaded & {"matplotlib", "torch"}
