"""The pictures of docs/concepts.md, from photos of made cameras and from committed figures: `python docs/make_pictures.py`.

Needs matplotlib (the extra `lab`). Each function draws one picture and returns it; `PICTURES` names them by file. No real photo is
used.
"""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from camtrace.enrolment import enroll
from camtrace.identification import Evidence, gather, ready
from camtrace.simulator import MadeCamera, draw_scene, make_cameras, save, shoot

DOCS = Path(__file__).resolve().parent
PACKAGE = DOCS.parent / "src" / "camtrace"

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

_COLOURS = ("#3b6fb6", "#d1742a", "#3f9a56", "#8c5bb0", "#b0413e", "#808080")
_STRANGER = "Cygnus C102"


@cache
def cameras() -> dict[str, MadeCamera]:
    """Made cameras by name: a plain one, its sister that sharpens a little, two that are processed otherwise."""
    plain = replace(make_cameras(1, seed=5)[0], contrast=0.0, local_contrast=0.0, lens_blur=0.25, scale=1.0)
    crude = {"demosaic": "bilinear", "sharpen_amount": 0.0, "denoiser": "none", "chroma_blur": 0.0}
    smooth = {"demosaic": "malvar", "denoiser": "guided", "denoise": 2.5, "sharpen_amount": 1.8, "sharpen_radius": 1.2}
    even = {"demosaic": "edge_directed", "denoiser": "none", "sharpen_amount": 0.6, "chroma_blur": 2.0}
    choices: tuple[tuple[str, dict[str, Any]], ...] = (
        ("Aurora A100", {**crude}),
        ("Aurora A101", {**crude, "sharpen_amount": 0.15}),
        ("Borealis B101", {**smooth}),
        (_STRANGER, {**even}),
    )
    return {name: replace(plain, make=name.split()[0], model=name.split()[1], **choice) for name, choice in choices}


def photo(name: str, number: int, *, size: int = 320, device: int = 1) -> bytes:
    """The JPEG that a made camera takes of the scene of this number."""
    camera = cameras()[name]
    return save(shoot(draw_scene(size, size, seed=number), camera, device=device, seed=number), camera)


def pixels_of(data: bytes) -> Pixels:
    """A file's pixels (h, w, 3)."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def draw_traces() -> Figure:
    """One scene by two cameras: the same to the eye, and what is left when the scene is taken away."""
    figure = Figure(figsize=(7.2, 3.9), layout="constrained")
    axes = figure.subplots(2, 4)
    ways: tuple[dict[str, Any], ...] = ({}, {}, {"vmin": -12, "vmax": 12, "cmap": "gray"}, {"cmap": "magma"})
    for row, name in enumerate(("Aurora A100", "Borealis B101")):
        pixels = pixels_of(photo(name, 21)).astype(float)
        green = pixels[..., 1]
        residual = green - _blurred(green)
        spectrum = np.log1p(np.abs(np.fft.fftshift(np.fft.fft2(residual * _window(residual.shape)))))
        brighter = np.clip(pixels / 140, 0, 1)
        views = (brighter, brighter[96:160, 128:192], residual[96:160, 128:192], spectrum)
        for axis, view, how in zip(axes[row], views, ways, strict=True):
            axis.imshow(view, interpolation="nearest", **how)
            axis.set(xticks=[], yticks=[])
        axes[row][0].set_ylabel(name)
        axes[row][0].add_patch(Rectangle((128, 96), 64, 64, fill=False, color="white"))
    titles = ("the photo", "64x64 pixels of it", "less its smooth part", "frequencies of that")
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=10)
    return figure


def _blurred(plane: Floats) -> Floats:
    """The plane under [1 2 1] x [1 2 1] / 16."""
    padded = np.pad(plane, 1, mode="edge")
    down = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    across: Floats = (down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]) / 16
    return across


def _window(shape: tuple[int, ...]) -> Floats:
    return np.outer(np.hanning(shape[0]), np.hanning(shape[1]))


@cache
def judged() -> tuple[Evidence, tuple[str, ...], NDArray[np.float32]]:
    """A photo judged by a bundle of three made cameras: evidence, their names, features (n, 128)."""
    names = [name for name in cameras() if name != _STRANGER]
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            album = Path(folder) / "albums" / name.replace(" ", "_")
            album.mkdir(parents=True)
            for number in range(100, 105):
                (album / f"{number}.jpg").write_bytes(photo(name, number))
        bundle = enroll(Path(folder) / "albums", out=Path(folder) / "bundle", only=True).bundle
    evidence = gather(photo("Borealis B101", 900, device=2), bundle=bundle, patches=24)
    assert evidence.patches is not None
    return evidence, bundle.manifest.labels, bundle.extract(evidence.patches)


def draw_way() -> Figure:
    """Photo with the patches that were asked, their features, their votes, and what follows."""
    evidence, names, features = judged()
    assert evidence.photo is not None
    assert evidence.patches is not None
    assert evidence.votes is not None
    figure = Figure(figsize=(7.2, 2.7), layout="constrained")
    left, middle, right, end = figure.subplots(1, 4, width_ratios=(1, 1, 0.8, 1))
    left.imshow(evidence.photo.pixels)
    for (row, column), label in zip(evidence.patches.positions, evidence.votes.labels, strict=True):
        left.add_patch(Rectangle((column, row), 63, 63, fill=False, linewidth=1.6, color=_COLOURS[label]))
    left.set(title=f"{len(evidence.patches)} patches of 64x64", xticks=[], yticks=[])
    middle.imshow(features, aspect="auto", cmap="coolwarm", vmin=-3, vmax=3, interpolation="nearest")
    middle.set(title="features", xlabel="128 numbers", ylabel="one row a patch", xticks=[], yticks=[])
    counts = np.bincount(evidence.votes.labels, minlength=len(names))
    right.barh(range(len(names)), counts, color=_COLOURS[: len(names)])
    right.set_yticks(range(len(names)), [name.split()[1] for name in names])
    right.invert_yaxis()
    right.set(title="votes", xlabel="patches")
    end.axis("off")
    verdict = evidence.verdict
    lines = ("verdict", "", f"best: {verdict.best}", f"answer: {verdict.answer}", f"level: {verdict.answer_level}")
    for number, line in enumerate(lines):
        end.text(0.02, 0.88 - 0.13 * number, line, fontsize=12 if not number else 9, transform=end.transAxes)
    return figure


def draw_grid() -> Figure:
    """The 8x8 blocks of a JPEG, and how often neighbours jump at each of the 8 columns, before and after a crop by 3."""
    pixels = pixels_of(photo("Aurora A100", 21))
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=60)
    whole = pixels_of(stream.getvalue())
    figure = Figure(figsize=(7.2, 2.6), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    left.imshow(whole[96:136, 128:168], interpolation="nearest")
    for line in range(0, 41, 8):
        left.axhline(line - 0.5, color="white", linewidth=0.6)
        left.axvline(line - 0.5, color="white", linewidth=0.6)
    left.set(title="blocks of 8x8 pixels", xticks=[], yticks=[])
    for axis, shown, title in ((middle, whole, "as saved"), (right, whole[:, 3:], "3 columns cut off")):
        jumps = _jumps(shown[..., 1].astype(float))
        axis.bar(range(8), jumps, color=[_COLOURS[1] if jump == jumps.max() else _COLOURS[0] for jump in jumps])
        axis.set(title=title, xlabel="column, modulo 8", xticks=range(8), ylim=(0, None))
    middle.set_ylabel("jump between neighbours")
    return figure


def _jumps(plane: Floats) -> Floats:
    """How much larger than around it the step to the next column is, for each column modulo 8."""
    steps = np.abs(np.diff(plane, axis=1)).mean(axis=0)
    return np.array([steps[(column - 1) % 8 :: 8].mean() for column in range(8)])


def draw_cloud() -> Figure:
    """Mean features of photos of made cameras on their two main axes: sisters lie together, a stranger lies somewhere."""
    bundle = ready(None)
    means: dict[str, Floats] = {}
    for name in cameras():
        found = [gather(photo(name, number, device=2), bundle=bundle) for number in range(300, 312)]
        means[name] = np.array([bundle.extract(one.patches).mean(axis=0) for one in found if one.patches is not None])
    known = np.concatenate([means[name] for name in means if name != _STRANGER])
    centre = known.mean(axis=0)
    axes = np.linalg.svd(known - centre, full_matrices=False)[2][:2]
    figure = Figure(figsize=(5.2, 3.4), layout="constrained")
    plot = figure.subplots()
    for (name, points), colour, mark in zip(means.items(), _COLOURS, "ov^x", strict=False):
        first, second = ((points - centre) @ axes.T).T
        note = " (not enrolled)" if name == _STRANGER else ""
        plot.scatter(first, second, color=colour, marker=mark, s=26, label=name + note)
    plot.set(xlabel="first axis of the features", ylabel="second axis", xticks=[], yticks=[])
    plot.legend(fontsize=8)
    return figure


def draw_odds() -> Figure:
    """What likelihood ratios make of the odds that one had before."""
    prior = np.logspace(-6, 0, 200) / 2
    figure = Figure(figsize=(5.6, 3.3), layout="constrained")
    plot = figure.subplots()
    for ratio, colour in zip((1, 14, 100, 630), (_COLOURS[5], *_COLOURS), strict=False):
        odds = prior / (1 - prior) * ratio
        plot.semilogx(prior, odds / (1 + odds), color=colour, label=f"likelihood ratio {ratio}")
    plot.axhline(0.5, color="black", linewidth=0.6, linestyle=":")
    plot.set_xticks(
        [0.5, 1e-1, 1e-2, 1e-3, 1e-4, 1e-6],
        ["1 in 2", "1 in 10", "1 in 100", "1 in 1,000", "1 in 10,000", "1 in 1,000,000"],
        fontsize=7,
    )
    plot.minorticks_off()
    plot.set(xlabel="probability before the photo was read", ylabel="probability after", xlim=(1e-6, 0.5), ylim=(0, 1))
    plot.legend(fontsize=8)
    return figure


def draw_modes() -> Figure:
    """What the bundle that ships answers in each mode, of cameras that it knows and others: from its manifest."""
    accuracy = json.loads((PACKAGE / "models" / "default" / "manifest.json").read_text("utf-8"))["accuracy"]
    parts = (
        ("right model, family or maker", "#3f9a56", ("model right", "family right", "maker right")),
        ("unknown", "#c8c8c8", ("unknown",)),
        ("a maker: wrong, or not told apart *", "#e8b27d", ("maker wrong",)),
        ("wrong model or family", "#b0413e", ("model wrong", "family wrong")),
    )
    figure = Figure(figsize=(7.2, 2.5), layout="constrained")
    for axis, who, title in zip(
        figure.subplots(1, 2, sharey=True), ("known", "foreign"), ("cameras it knows", "cameras it does not know"), strict=True
    ):
        _stack(axis, {mode: accuracy["modes"][mode][who] for mode in ("careful", "balanced", "guess")}, parts)
        axis.set(title=title, xlabel="photos, %", xlim=(0, 100))
    figure.axes[1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _stack(axis: Axes, shares: dict[str, dict[str, float]], parts: tuple[tuple[str, str, tuple[str, ...]], ...]) -> None:
    left = np.zeros(len(shares))
    for label, colour, names in parts:
        width = np.array([100 * sum(share[name] for name in names) for share in shares.values()])
        axis.barh(list(shares), width, left=left, color=colour, label=label)
        left += width
    if not axis.yaxis_inverted():
        axis.invert_yaxis()


def draw_leak() -> Figure:
    """The same methods on an honest and on two leaky splits: from docs/results/leak/leak.csv."""
    with (DOCS / "results" / "leak" / "leak.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    protocols = {"device-scene": "device and scene never seen", "random-photo": "photos at random", "random-patch": "patches at random"}
    methods = list(dict.fromkeys(row["method"] for row in rows))
    figure = Figure(figsize=(6.4, 2.8), layout="constrained")
    plot = figure.subplots()
    for offset, (protocol, label) in enumerate(protocols.items()):
        shares = [
            next(100 * float(row["photos"]) for row in rows if (row["method"], row["protocol"]) == (name, protocol)) for name in methods
        ]
        plot.bar(np.arange(len(methods)) + 0.27 * (offset - 1), shares, 0.25, label=label, color=_COLOURS[offset])
    plot.set_xticks(range(len(methods)), methods)
    plot.set(ylabel="photos named rightly, %", ylim=(0, 100))
    plot.legend(fontsize=8, ncols=3, loc="upper center", bbox_to_anchor=(0.5, 1.18), frameon=False)
    return figure


PICTURES: dict[str, Callable[[], Figure]] = {
    "traces.png": draw_traces,
    "way.png": draw_way,
    "grid.png": draw_grid,
    "cloud.png": draw_cloud,
    "odds.png": draw_odds,
    "modes.png": draw_modes,
    "leak.png": draw_leak,
}
"""What is drawn, by file in docs/pictures."""


def main() -> None:
    """Draw all pictures, small enough for a repository."""
    mpl.rcParams["svg.hashsalt"] = "camtrace"
    (DOCS / "pictures").mkdir(exist_ok=True)
    for name, draw in PICTURES.items():
        stream = io.BytesIO()
        draw().savefig(stream, dpi=110)
        small = Image.open(stream).convert("RGB").quantize(128, dither=Image.Dither.NONE)
        small.save(DOCS / "pictures" / name, optimize=True)


if __name__ == "__main__":
    main()
