"""Bondi et al. 2017, Fig. 5: a piece of one camera's photo in another's, shown by colouring each block with the camera it votes for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from camtrace.lab.evaluate import interval
from camtrace.lab.experiments.settings import HONEST, Settings
from camtrace.lab.heads import Taught
from camtrace.lab.methods import Features
from camtrace.lab.page import Experiment, Table, percent, write_table
from camtrace.lab.plots import draw_blocks
from camtrace.lab.sources import to_tensor
from camtrace.lab.trial import Material, Trial
from camtrace.patches import PATCH_SIZE
from camtrace.photo import read_photo

SPLICES = 60
DRAWN = 3  # of these, as pictures
SATURATED = 255
NO_DATA = -1

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Splice:
    """A photo with a piece of another one in it."""

    pixels: Pixels  # (h, w, 3)
    pasted: NDArray[np.bool_]  # (h, w)
    host: int  # label of the camera
    donor: int


def reproduce(settings: Settings) -> Experiment:
    """Paste pieces into test photos of the first split, never re-saved, and let each method label every block."""
    methods = settings.chosen(["patch-cnn"])
    split = settings.drawn(HONEST)[0]
    splices = make_splices(settings.material, split.test, count=SPLICES, seed=settings.seed)
    table, figures = [], []
    for method in methods:
        rows, drawn = _label(settings, settings.trial(method, split), splices)
        write_table(rows, settings.out / f"fig5-{method.name}")
        shares = (interval(np.array([row[what] for row in rows], float)) for what in ("host", "donor", "either"))
        table.append((method.name, *(percent(share) for share in shares)))
        figures += drawn
    head = ("method", "blocks of the host named as the host", "blocks of the piece named as its camera", "all blocks right")
    return settings.page(
        "fig5",
        Experiment(
            title="A piece of another camera's photo",
            paper="Bondi et al. 2017, Fig. 5",
            published=None,
            tables=(Table(f"Here: {SPLICES} splices, shares of blocks with their intervals over splices", head, tuple(table)),),
            figures=tuple(figures),
            cut=(*settings.cuts(methods), "the paper shows two examples and gives no figures; splices here are made by program"),
        ),
    )


def _label(settings: Settings, trial: Trial, splices: list[Splice]) -> tuple[list[dict[str, object]], list[tuple[str, Path]]]:
    """Judge every splice, draw the first ones: rows, and captions with figures."""
    net, taught = trial.fitted
    names = settings.material.cameras
    rows: list[dict[str, object]] = []
    figures = []
    for number, splice in enumerate(splices):
        labels = label_blocks(splice.pixels, net, taught)
        rows.append({"splice": number, **judge(splice, labels, settings.material)})
        if number < DRAWN:
            path = settings.out / f"fig5-{trial.method.name}-{number + 1}.svg"
            title = f"{trial.method.name}: a piece by {names[splice.donor]} in a photo by {names[splice.host]}"
            draw_blocks(splice.pixels, labels, PATCH_SIZE, names, path, truth=splice.pasted, title=title)
            figures.append((title, path))
    return rows, figures


def make_splices(material: Material, photos: tuple[int, ...], *, count: int, seed: int) -> list[Splice]:
    """Pieces on the block grid, a quarter to a half of each side, pasted between photos of two cameras and of one size or larger."""
    rng = np.random.default_rng(seed)
    splices: list[Splice] = []
    while len(splices) < count:
        host, donor = (int(photo) for photo in rng.choice(photos, 2, replace=False))
        if material.labels[host] == material.labels[donor]:
            continue
        ours, theirs = (read_photo(material.records[photo].path).pixels for photo in (host, donor))
        blocks = np.minimum(ours.shape[:2], theirs.shape[:2]) // PATCH_SIZE
        if blocks.min() < 4:
            continue
        size = rng.integers(blocks // 4, blocks // 2 + 1) * PATCH_SIZE
        top, left = (int(value) * PATCH_SIZE for value in rng.integers(0, blocks - size // PATCH_SIZE + 1))
        area = (slice(top, top + int(size[0])), slice(left, left + int(size[1])))
        pasted = np.zeros(ours.shape[:2], bool)
        pasted[area] = True
        pixels = ours.copy()
        pixels[area] = theirs[area]
        splices.append(Splice(pixels, pasted, material.labels[host], material.labels[donor]))
    return splices


def label_blocks(pixels: Pixels, net: Features, taught: Taught) -> NDArray[np.int64]:
    """The camera that each 64x64 block votes for (rows, columns); NO_DATA where the block is saturated."""
    rows, columns = (side // PATCH_SIZE for side in pixels.shape[:2])
    blocks = pixels[: rows * PATCH_SIZE, : columns * PATCH_SIZE].reshape(rows, PATCH_SIZE, columns, PATCH_SIZE, 3).swapaxes(1, 2)
    blocks = np.ascontiguousarray(blocks.reshape(-1, PATCH_SIZE, PATCH_SIZE, 3))
    votes = taught.head.vote(net(to_tensor(blocks)).detach().numpy())
    usable = blocks.max(axis=(1, 2, 3)) < SATURATED
    return np.where(usable, taught.cameras[votes.labels], NO_DATA).reshape(rows, columns)


def judge(splice: Splice, labels: NDArray[np.int64], material: Material) -> dict[str, object]:
    """Shares of blocks that name their camera: of the host's, of the piece's, of all; NaN-free, blocks without data left out."""
    pasted = splice.pasted[::PATCH_SIZE, ::PATCH_SIZE][: labels.shape[0], : labels.shape[1]]
    truth = np.where(pasted, splice.donor, splice.host)
    right, usable = labels == truth, labels != NO_DATA
    shares = {"host": ~pasted & usable, "donor": pasted & usable, "either": usable}
    return {
        "host_camera": material.cameras[splice.host],
        "donor_camera": material.cameras[splice.donor],
        **{what: float(right[where].mean()) if where.any() else 0.0 for what, where in shares.items()},
    }
