"""Figures about devices: how the PCEs of matches and others lie, and the trade between misses and false alarms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from camtrace.lab.devices import Row
from camtrace.lab.plots import COLOURS


def draw_pces(rows: Sequence[Row], path: Path, *, thresholds: Mapping[str, float]) -> None:
    """PCE of matches and others for each variant, as PNG."""
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(row.variant for row in rows))
    figure = Figure((8.5, 0.42 * len(names) + 1.4), layout="constrained")
    axes = figure.subplots()
    styles = (
        (False, "nat", "#D55E00", "other device"),
        (True, "flat", "#56B4E9", "own device, flat field"),
        (True, "nat", "#0072B2", "own device, photo"),
    )
    for matching, kind, colour, label in styles:
        some = [row for row in rows if row.matching is matching and (row.kind == kind or not matching)]
        places = [names.index(row.variant) + (0.18 if matching else -0.18) for row in some]
        axes.scatter([max(row.pce, 0.1) for row in some], places, s=9, color=colour, label=label, alpha=0.6, linewidths=0)
    for threshold in thresholds.values():
        axes.axvline(threshold, color="#444444", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlabel(f"PCE, below 0.1 drawn at 0.1; thresholds: {', '.join(f'{pce:g} {case}' for case, pce in thresholds.items())}")
    axes.legend(loc="lower right", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130, metadata={"Software": None})


def draw_roc(rows: Sequence[Row], path: Path) -> None:
    """Share of matches found against the share of others that pass, for each variant; ordinary photos and flat fields side by side."""
    from matplotlib.figure import Figure

    figure = Figure((9.5, 4.6), layout="constrained")
    for axes, kind in zip(figure.subplots(1, 2, sharey=True), ("nat", "flat"), strict=True):
        names = list(dict.fromkeys(row.variant for row in rows if row.kind == kind))
        for number, name in enumerate(names):
            some = [row for row in rows if row.kind == kind and row.variant == name]
            own, other = (np.array([row.pce for row in some if row.matching is matching]) for matching in (True, False))
            steps = np.sort(np.concatenate([own, other, [-np.inf]]))[::-1]
            alarms, found = ([(values >= step).mean() for step in steps] for values in (other, own))
            style = ("-", "--")[number // len(COLOURS)]
            axes.step([0, *alarms], [0, *found], style, where="post", color=COLOURS[number % len(COLOURS)], linewidth=1.3, label=name)
        axes.set_xlabel("other devices above the PCE")
        axes.set_title("ordinary photos" if kind == "nat" else "flat fields", fontsize=10)
    figure.axes[0].set_ylabel("matches above the PCE")
    figure.axes[0].legend(loc="lower right", fontsize=7)
    figure.savefig(path, dpi=110, metadata={"Software": None})
