"""Bondi et al. 2017, Fig. 2: confusion between cameras, on single patches, averaged over splits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from camtrace.lab.experiments.settings import Settings, share_of_patches, share_right
from camtrace.lab.page import Experiment, Table, percent, write_table
from camtrace.lab.plots import draw_confusion
from camtrace.lab.trial import Answers

PUBLISHED = Table(
    "Published: 18 Dresden cameras",
    ("what", "share of patches right"),
    (("all cameras", "93 %"), ("Sony DSC-H50, the second worst", "63.5 %"), ("Sony DSC-W170, the worst", "56.0 %")),
)


def reproduce(settings: Settings) -> Experiment:
    """Teach every method on each split, draw whom its patches take for whom."""
    methods = settings.chosen(["patch-cnn"])
    rows, figures = [], []
    for method in methods:
        answers = settings.answers(method)
        shares, tested = confusion(answers, len(settings.material.cameras))
        names = [settings.material.cameras[index] for index in tested]
        path = settings.out / f"fig2-{method.name}.svg"
        draw_confusion(shares, names, path, title=f"{method.name}: single patches, mean of {len(answers)} splits")
        figures.append((f"Whom the patches of each camera take for whom: {method.name}", path))
        write_table(
            [{"camera": name, **dict(zip(names, row, strict=True))} for name, row in zip(names, shares.tolist(), strict=True)],
            settings.out / f"fig2-{method.name}",
        )
        rows.append((method.name, percent(share_of_patches(answers)), percent(share_right(answers)), *_worst(shares, names)))
    table = Table("Here", ("method", "patches right", "photos right by vote", "worst camera", "second worst"), tuple(rows))
    return settings.page(
        "fig2",
        Experiment(
            title="Confusion between cameras on single patches",
            paper="Bondi et al. 2017, Fig. 2",
            published=PUBLISHED,
            tables=(table,),
            figures=tuple(figures),
            cut=tuple(settings.cuts(methods)),
        ),
    )


def confusion(answers: Sequence[Answers], n_cameras: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Share of the patches of each camera (row) that vote for each camera, mean of splits; and which cameras were tested.

    Votes for a camera that was never asked about leave its row short of one.
    """
    counts = np.zeros((len(answers), n_cameras, n_cameras))
    for number, part in enumerate(answers):
        truth = np.repeat(part.cameras[:, None], part.votes.shape[1], axis=1)
        np.add.at(counts[number], (truth[part.votes >= 0], part.votes[part.votes >= 0]), 1)
    asked = counts.sum(axis=2, keepdims=True)
    shares = np.divide(counts, asked, out=np.zeros_like(counts), where=asked > 0)
    mean = shares.sum(axis=0) / np.maximum((asked > 0).sum(axis=0), 1)  # over the splits that asked about the camera
    tested = np.flatnonzero(asked.sum(axis=(0, 2)) > 0)
    return mean[np.ix_(tested, tested)], tested


def _worst(shares: NDArray[np.float64], names: Sequence[str]) -> list[str]:
    right = shares.diagonal()
    return [f"{names[index]} {right[index]:.1%}" for index in right.argsort()[:2]]
