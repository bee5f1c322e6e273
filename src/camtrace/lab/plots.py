"""Figures of the lab, all in one plain style: readable in print and by the colour-blind; the same input gives the same bytes.

Colours are those of Okabe and Ito ("Color Universal Design", 2008) less yellow, which is too faint on white. Text stays text in SVG.
Shares go in as 0 to 1 and are drawn in percent. matplotlib is imported when something is drawn, and pyplot's global state never used.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camtrace.lab.tracking import columns

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point = tuple[float, float, float, float]
"""x, value, lower and upper end of the 95 % interval."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#444444")

_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_HATCHES = ("", 6 * "/", 6 * "\\", 4 * "|", 4 * "-", 4 * "x", 4 * "+")  # with the colours, 49 kinds of block; lines keep the SVG small
_NO_DATA, _NO_DATA_HATCH = "#E3E3E3", "#9A9A9A"
_INK = "#262626"
_PRINTED_CELLS = 20  # most cameras for which every cell of a confusion matrix has room for its number
_CURVE_POINTS = 2000
_BLOCKS_WIDTH = 10.0  # inches
_PHOTO_SIDE = 1200  # pixels of a photo's longer side that a figure can show

_STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    # the first comes with matplotlib: the same everywhere; the others are for who reads an SVG without it
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial", "sans-serif"],
    "font.size": 9,
    "figure.titlesize": 11,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#6B6B6B",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E0E0E0",
    "grid.linewidth": 0.6,
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), _INK),
    "text.parse_math": False,  # a camera may have a dollar in its name
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "hatch.linewidth": 0.7,
    "savefig.dpi": 150,
    "svg.fonttype": "none",
    "svg.hashsalt": "camtrace",
}
_METADATA: dict[str, dict[str, Any]] = {".png": {"Software": None}, ".svg": {"Date": None, "Creator": None}}


@contextmanager
def _figure(size: tuple[float, float], targets: Mapping[str, Path], *, title: str = "") -> Iterator[Figure]:
    """An empty figure of (width, height) inches in the house style, saved to the targets (suffix -> path) once it is drawn."""
    import matplotlib.style
    from matplotlib.figure import Figure

    with matplotlib.style.context(_STYLE, after_reset=True):
        figure = Figure(size, layout="constrained")
        if title:
            figure.suptitle(title, x=0.01, ha="left")
        yield figure
        for suffix, path in targets.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path, format=suffix[1:], metadata=_METADATA[suffix])
            figure.set_layout_engine("none")  # it is laid out: the costly part, needed once


def _both(path: Path) -> dict[str, Path]:
    return {suffix: path.with_suffix(suffix) for suffix in (".png", ".svg")}


def _legend_below(figure: Figure, handles: Sequence[Artist], labels: Sequence[str], *, note: str | None = None) -> None:
    """A legend below the axes, in as many columns as fit the width."""
    ncols = _legend_columns(figure.get_figwidth(), labels)
    figure.legend(handles, labels, loc="outside lower left", ncols=ncols, title=note, alignment="left", fontsize=8.5)


def _legend_columns(inches: float, labels: Sequence[str]) -> int:
    letters = max(map(len, labels), default=0)
    return max(1, min(int(72 * inches / (5.2 * letters + 40)), len(labels)))


def draw_curves(rows: Sequence[dict[str, float]], path: Path) -> None:
    """A training run: loss, accuracy and gradient norm against the step, as one PNG at `path`.

    `rows` are those of `camtrace.lab.tracking.read_metrics`. A long series is drawn as its running mean, over a fortieth of it, before
    its extremes in pale. Values that are not finite are left out.
    """
    panels = (("loss", "loss", 1.0), ("accuracy", "accuracy (%)", 100.0), ("gradient_norm", "gradient norm", 1.0))
    kinds = (("training", "{}", COLOURS[0]), ("second source", "{}_1", COLOURS[3]), ("validation", "validation_{}", COLOURS[1]))
    with _figure((7.5, 7.5), {".png": path}) as figure:
        drawn: dict[str, Artist] = {}
        axes = figure.subplots(len(panels), 1, sharex=True)
        for ax, (metric, label, scale) in zip(axes, panels, strict=True):
            for kind, pattern, colour in kinds:
                steps, values = _finite(*columns(rows, pattern.format(metric)), scale)
                if len(steps):
                    drawn[kind] = _curve(ax, steps, values, colour, marked=kind == "validation")
            ax.set_ylabel(label)
            if not ax.lines:
                ax.text(0.5, 0.5, "not logged", transform=ax.transAxes, ha="center", va="center", color="#6B6B6B")
                ax.set_yticks([])
        _log_axis(axes[2])
        axes[2].set_xlabel("step")
        figure.align_ylabels(axes)
        _legend_below(figure, list(drawn.values()), list(drawn))


def _log_axis(ax: Axes) -> None:
    """Make y logarithmic, with plain numbers, where all values are above zero."""
    from matplotlib.ticker import LogLocator, NullFormatter

    if ax.lines and min(np.min(line.get_ydata()) for line in ax.lines) > 0:
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        ax.yaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 1000 * low else (1.0, 2.0, 5.0)))
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.yaxis.set_minor_formatter(NullFormatter())


def _finite(steps: Sequence[float], values: Sequence[float], scale: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    array = np.asarray(values, np.float64)
    keep = np.isfinite(array)
    return np.asarray(steps, np.float64)[keep], array[keep] * scale


def _curve(ax: Axes, steps: NDArray[np.float64], values: NDArray[np.float64], colour: str, *, marked: bool) -> Artist:
    """Draw one series; a long one smoothed, before its raw values."""
    if marked or len(steps) < 80:
        return ax.plot(steps, values, color=colour, marker="o" if len(steps) < 40 else None)[0]
    raw = _extremes(values, _CURVE_POINTS // 2)
    ax.plot(steps[raw], values[raw], color=colour, alpha=0.25, linewidth=0.7)
    every = slice(None, None, max(1, len(steps) // _CURVE_POINTS))
    return ax.plot(steps[every], _smooth(values, len(values) // 80)[every], color=colour)[0]


def _smooth(values: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Mean of the values up to `reach` places before and after, fewer at the ends (n,)."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    place = np.arange(len(values))
    first, last = np.maximum(place - reach, 0), np.minimum(place + reach + 1, len(values))
    smooth: NDArray[np.float64] = (total[last] - total[first]) / (last - first)
    return smooth


def _extremes(values: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """Places of the smallest and largest value of each bin, in order; of all values where there are no more than two a bin."""
    if len(values) <= 2 * bins:
        return np.arange(len(values))
    parts = np.array_split(np.arange(len(values)), bins)
    return np.unique([part[pick(values[part])] for part in parts for pick in (np.argmin, np.argmax)])


def draw_confusion(shares: NDArray[np.floating], names: Sequence[str], path: Path, *, title: str) -> None:
    """A heat map (n, n) of the share of each true camera's (row) votes that go to each camera (column), as PNG and SVG.

    Up to 20 cameras, cells have their percent in them unless it rounds to 0; with more, only the diagonal. Colours darken faster for
    small shares, as the scale beside the map shows, or a camera's commonest mistakes would not be seen. NaN is "n/a".
    """
    from matplotlib.colors import PowerNorm

    count = len(names)
    cell = min(0.9, max(0.22, 5 / count + 0.15))  # inches
    label = 0.075 * max(map(len, names))
    size = (max(4.8, count * cell + label + 1.4), count * cell + label + 0.8)
    with _figure(size, _both(path), title=title) as figure:
        ax = figure.subplots()
        image = ax.imshow(shares, cmap="Blues", norm=PowerNorm(0.6, vmin=0, vmax=1), interpolation="nearest")
        image.set_gid("shares")
        for row, column in np.ndindex(count, count):
            if row == column or (count <= _PRINTED_CELLS and shares[row, column] >= 0.005):
                _cell_text(ax, row, column, float(shares[row, column]), size=min(9.0, 72 * cell * 0.36))
        fontsize = min(9.0, 72 * cell * 0.6)
        ax.set_xticks(range(count), names, rotation=90, fontsize=fontsize)
        ax.set_yticks(range(count), names, fontsize=fontsize)
        ax.tick_params(length=2)
        ax.grid(visible=False)
        ax.spines[:].set_visible(True)
        ax.set(xlabel="camera voted for", ylabel="true camera")
        bar = figure.colorbar(image, ax=ax, fraction=0.04, pad=0.02, format=lambda share, _: f"{100 * share:.0f}")
        bar.set_label("% of the true camera's votes")
        bar.outline.set_visible(False)


def _cell_text(ax: Axes, row: int, column: int, share: float, *, size: float) -> None:
    text = f"{100 * share:.0f}" if math.isfinite(share) else "n/a"
    ax.text(column, row, text, ha="center", va="center", fontsize=size, color="white" if share > 0.4 else _INK)


def draw_lines(
    series: Mapping[str, Sequence[Point]],
    path: Path,
    *,
    x_label: str,
    y_label: str,
    title: str,
    chance: float | None = None,
    log2: bool = False,
) -> None:
    """Shares against x with their 95 % bands, as PNG and SVG; `log2` for 1, 2, 4, 8 ... along x.

    A series of one point, which has no x to speak of, is a dashed line across, its interval a bar at the right edge.
    """
    with _figure((7.0, 4.6), _both(path), title=title) as figure:
        ax = figure.subplots()
        handles: dict[str, Artist] = {}
        baselines = 0
        for number, (name, points) in enumerate(series.items()):
            if len(points) > 1:
                handles[name] = _line(ax, number, np.array(points), log2=log2)
            elif points:
                baselines += 1
                handles[name] = _baseline(ax, number, points[0], place=1 - 0.018 * baselines)
        if chance is not None:
            handles["chance"] = ax.axhline(100 * chance, color="#8C8C8C", linestyle=":", linewidth=1.2, gid="chance")
        ends = [end for points in series.values() for _, _, *interval in points for end in interval]
        ax.set_ylim(*_percent_limits([*ends, *([] if chance is None else [chance])]))
        ax.set(xlabel=x_label, ylabel=f"{y_label} (%)")
        if log2:
            _log2_axis(ax, [x for points in series.values() if len(points) > 1 for x, *_ in points])
        _legend_below(figure, list(handles.values()), list(handles), note="Bands and bars: 95 % intervals")


def _line(ax: Axes, number: int, points: NDArray[np.float64], *, log2: bool) -> Artist:
    """One series (n, 4) with its band; where there are many points, only those at 1, 2, 4 ... are marked."""
    colour = COLOURS[number % len(COLOURS)]
    x, (value, low, high) = points[:, 0], 100 * points[:, 1:].T
    ax.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0, gid=f"band-{number}")
    marks = [i for i, at in enumerate(x.tolist()) if len(x) <= 12 or (log2 and math.log2(at).is_integer())]
    style = "-" if number < len(COLOURS) else "-."
    return ax.plot(x, value, style, color=colour, marker=_MARKERS[number % 7], markevery=marks, gid=f"line-{number}")[0]


def _baseline(ax: Axes, number: int, point: Point, *, place: float) -> Artist:
    """One value as a line across; its interval stands at `place`, a share of the axis."""
    colour = COLOURS[number % len(COLOURS)]
    _, value, low, high = (100 * part for part in point)
    ax.vlines(place, low, high, transform=ax.get_yaxis_transform(), color=colour, gid=f"band-{number}")
    return ax.axhline(value, color=colour, linestyle="--", linewidth=1.3, gid=f"line-{number}")


def _percent_limits(shares: Iterable[float]) -> tuple[float, float]:
    """Round limits that hold all the shares; from 0 unless all are in the upper half."""
    known = [share for share in shares if math.isfinite(share)] or [0.0, 1.0]
    bottom = 0.0 if min(known) < 0.5 else 10.0 * min(9, math.floor(round(10 * min(known), 6)))
    top = 10.0 * max(1, math.ceil(round(10 * max(known), 6)))
    return bottom, top + 0.015 * (top - bottom)  # so that a line at 100 % is not half cut


def _log2_axis(ax: Axes, x: Sequence[float]) -> None:
    low, high = min(x, default=1.0), max(x, default=32.0)
    ticks = [2**power for power in range(math.floor(math.log2(low)), math.ceil(math.log2(high)) + 1)]
    ax.set_xscale("log", base=2)
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_xlim(low / 1.1, high * 1.18)


def draw_bars(groups: Mapping[str, Mapping[str, tuple[float, float, float] | None]], path: Path, *, y_label: str, title: str) -> None:
    """Shares (value, low, high) as bars with 95 % error bars, as PNG and SVG; None is no bar but "n/a".

    A group along x for each outer key, a colour for each inner one.
    """
    from matplotlib.patches import Patch

    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    colours = [COLOURS[number % len(COLOURS)] for number in range(len(names))]
    width = min(0.3, 0.82 / max(1, len(names)))
    inches = min(13.0, max(6.0, 1.2 + 0.21 * len(groups) * (len(names) + 1)))
    ends = [bar[2] for group in groups.values() for bar in group.values() if bar]
    with _figure((inches, 4.6), _both(path), title=title) as figure:
        ax = figure.subplots()
        for place, group in enumerate(groups.values()):
            for number, (name, colour) in enumerate(zip(names, colours, strict=True)):
                x = place + (number - (len(names) - 1) / 2) * width
                _bar(ax, x, group.get(name), width=width, colour=colour, gid=f"{place}-{number}")
        crowded = max(map(len, groups), default=0) * 0.085 > (inches - 0.8) / max(1, len(groups))
        turned: dict[str, Any] = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if crowded else {}
        ax.set_xticks(range(len(groups)), list(groups), **turned)
        ax.tick_params(axis="x", length=0)
        ax.grid(visible=False, axis="x")
        top = min(100, max(10, 10 * math.ceil(10 * max(ends, default=1.0))))
        ax.set(xlim=(-0.6, len(groups) - 0.4), ylim=(0, 1.06 * top), ylabel=f"{y_label} (%)")
        _legend_below(figure, [Patch(color=colour) for colour in colours], names, note="Thin bars: 95 % intervals")


def _bar(ax: Axes, x: float, bar: tuple[float, float, float] | None, *, width: float, colour: str, gid: str) -> None:
    """One bar with its error bar and its number above."""
    if bar is None:
        ax.text(x, 1, "n/a", ha="center", va="bottom", fontsize=7, rotation=90, color="#6B6B6B")
        return
    value, low, high = (100 * part for part in bar)
    ax.bar([x], [value], 0.94 * width, color=colour, gid=f"bars-{gid}")[0].set_gid(f"bar-{gid}")
    ax.vlines(x, low, high, color=_INK, linewidth=1, gid=f"error-{gid}")
    ax.text(x, max(high, value) + 0.8, f"{value:.0f}", ha="center", va="bottom", fontsize=7)


def draw_blocks(
    pixels: NDArray[np.uint8],
    labels: NDArray[np.integer],
    block: int,
    names: Sequence[str],
    path: Path,
    *,
    truth: NDArray[np.bool_] | None,
    title: str,
) -> None:
    """The photo beside its blocks, coloured by the camera each votes for (Bondi et al. 2017, Fig. 5), as PNG and SVG.

    `pixels` (h, w, 3) is the photo. `labels` (rows, columns) is the place in `names` of the camera that each block votes for, -1 = no
    data; blocks have `block` pixels a side and begin at (0, 0). `truth` (h, w) is where the photo is forged, outlined on both sides.
    """
    height, width = pixels.shape[:2]
    kinds = _kinds(labels, names)
    lines = math.ceil((len(kinds) + 1) / _legend_columns(_BLOCKS_WIDTH, [kind.text for kind in kinds]))
    panel = min(8.0, max(2.0, 0.49 * _BLOCKS_WIDTH * height / width))
    with _figure((_BLOCKS_WIDTH, panel + 0.75 + 0.19 * lines), _both(path), title=title) as figure:
        photo, votes = figure.subplots(1, 2)
        step = max(1, math.ceil(max(height, width) / _PHOTO_SIDE))
        photo.imshow(np.asarray(Image.fromarray(pixels).reduce(step)), extent=(0, width, height, 0), interpolation="antialiased")
        handles = _draw_votes(votes, labels, block, kinds)
        for ax, name in ((photo, "photo"), (votes, "camera that each block votes for")):
            ax.set_title(name)
            ax.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[], aspect="equal")
            ax.spines[:].set_visible(True)
            if truth is not None and truth.any():
                handles["outline of the truth"] = _outline(ax, truth[::step, ::step], step, gid=f"truth-{name.split()[0]}")
        _legend_below(figure, list(handles.values()), list(handles))


class _Kind(NamedTuple):
    """How the blocks that vote for one camera look."""

    label: int
    text: str
    colour: str
    hatch: str
    hatch_colour: str


def _kinds(labels: NDArray[np.integer], names: Sequence[str]) -> list[_Kind]:
    """What occurs, commonest first and "no data" last; the commonest cameras get plain colours, the rest hatched ones."""
    found, counts = np.unique(labels[labels >= 0], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    occurring = zip(found[order].tolist(), counts[order].tolist(), strict=True)
    kinds = [
        # hatched ones begin with the last colour, so as not to be like the two cameras that a splice is about
        _Kind(label, f"{names[label]}: {count}", COLOURS[:: -1 if number >= 7 else 1][number % 7], _HATCHES[number // 7 % 7], "white")
        for number, (label, count) in enumerate(occurring)
    ]
    missing = int((labels < 0).sum())
    return [*kinds, _Kind(-1, f"no data: {missing}", _NO_DATA, "////", _NO_DATA_HATCH)] if missing else kinds


def _draw_votes(ax: Axes, labels: NDArray[np.integer], block: int, kinds: Sequence[_Kind]) -> dict[str, Artist]:
    """Colour the blocks; gives what the legend needs."""
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch, PathPatch
    from matplotlib.path import Path as Outline

    image = np.zeros((*labels.shape, 3))
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    handles: dict[str, Artist] = {}
    for kind in kinds:
        image[labels == kind.label] = to_rgb(kind.colour)
        handles[kind.text] = Patch(facecolor=kind.colour, hatch=kind.hatch, edgecolor=kind.hatch_colour, linewidth=0)
        if kind.hatch:
            squares = np.argwhere(labels == kind.label)[:, None, ::-1] + corners  # (n, 4, 2) x, y in blocks
            outline = Outline.make_compound_path_from_polys(block * squares.astype(float))  # one path: a tenth of the SVG
            options: dict[str, Any] = {"hatch": kind.hatch, "edgecolor": kind.hatch_colour, "gid": f"hatched-{kind.label}"}
            ax.add_patch(PathPatch(outline, facecolor="none", linewidth=0, **options))
    ax.imshow(image, extent=(0, labels.shape[1] * block, labels.shape[0] * block, 0), interpolation="nearest", gid="votes")
    return handles


def _outline(ax: Axes, truth: NDArray[np.bool_], step: int, *, gid: str) -> Artist:
    """Draw the border of the forged region, given at every `step`-th pixel: black between white, to be seen on anything."""
    from matplotlib.lines import Line2D

    padded = np.pad(truth, 1).astype(float)  # so that a region at the photo's edge is closed
    x, y = (step * (np.arange(length) - 0.5) for length in padded.shape[::-1])
    for width, colour in ((3.2, "white"), (1.4, "black")):
        ax.contour(x, y, padded, levels=[0.5], colors=colour, linewidths=width).set_gid(f"{gid}-{colour}")
    return Line2D([], [], color="black", linewidth=1.4)
