"""Two pictures for a bundle's card: are the probabilities what they say, and how large do likelihood ratios get (METHOD section 6)."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from camtrace.calibration import Groups
from camtrace.lab.folds import NATIVE, STATES, Fold
from camtrace.lab.summary import Judged, calibrate_by_others, judge, reliability

RELIABILITY, TIPPETT = "reliability.svg", "tippett.svg"
_DEGRADED = "degraded"
_COLOURS = {NATIVE: "#0072b2", _DEGRADED: "#d55e00"}  # told apart by colour-blind people too (Okabe and Ito)


def draw_calibration(folds: Sequence[Fold], groups: Groups) -> dict[str, bytes]:
    """The reliability and the Tippett plot as SVG, by file name, native and degraded photos apart; none without a calibration."""
    calibrations = calibrate_by_others(folds, groups)
    if not calibrations:
        return {}
    judged = {NATIVE: [judge(folds, calibrations, NATIVE)], _DEGRADED: [judge(folds, calibrations, state) for state in STATES]}
    return {RELIABILITY: _draw_reliability(judged), TIPPETT: _draw_tippett(judged)}


def _draw_reliability(judged: dict[str, list[Judged]]) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.add_subplot(xlabel="probability that was said", ylabel="share of photos for which it was so", aspect="equal")
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for (name, parts), marker in zip(judged.items(), "os", strict=True):
        bins = np.array([row for part in parts for row in reliability(part)["bins"]])
        axes.scatter(bins[:, 0], bins[:, 1], s=20 + 400 * bins[:, 3], color=_COLOURS[name], marker=marker, alpha=0.6, label=name)
    axes.legend(title="photos, half of them of\nunknown cameras", loc="upper left")
    return _svg(figure)


def _draw_tippett(judged: dict[str, list[Judged]]) -> bytes:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel="log10 likelihood ratio", ylabel="share of comparisons at or above it")
    for name, parts in judged.items():
        own = np.concatenate([part.target for part in parts])
        other = np.concatenate([part.other for part in parts])
        weights = np.concatenate([part.other_weights for part in parts])
        _draw_share(axes, own, np.ones(len(own)), color=_COLOURS[name], label=f"{name}: the camera that took it")
        _draw_share(axes, other, weights, color=_COLOURS[name], linestyle="--", label=f"{name}: another camera")
    axes.axvline(0, color="0.7", linewidth=1)
    axes.legend()
    return _svg(figure)


def _draw_share(axes: object, values: np.ndarray, weights: np.ndarray, **style: str) -> None:
    grid = np.linspace(-4, 4, 161)
    order = np.argsort(values)
    below = np.concatenate([[0], np.cumsum(weights[order])])[np.searchsorted(values[order], grid)] / weights.sum()
    axes.plot(grid, 1 - below, **style)  # type: ignore[attr-defined]


def _svg(figure: object) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})  # type: ignore[attr-defined]
    return stream.getvalue()
