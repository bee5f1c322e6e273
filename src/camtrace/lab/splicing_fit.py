"""What `localization.json` holds, fitted on judged photos: the score's weights, its threshold, the fused map and its probability."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from camtrace.lab.splice_metrics import Row
from camtrace.tampering.alarm import Line, Measured, judge_photo
from camtrace.tampering.fusion import NOISIEST
from camtrace.types import CamtraceError

ALARMS = 0.05
"""The share of genuine photos that may alarm at the threshold, of every group that is large enough."""
CONFIDENCE = 0.95
"""With which no more may, of every bundle: what few photos show by luck must not become the threshold of all."""
LARGE = 100
"""With fewer photos one more or less is a per cent: too few to set a threshold on."""
SELDOM = 0.02
"""The share of areas of genuine photos that may reach the size from which on a trace is a reason."""

MOST_GRID = 1.0
"""The grid's largest weight in the fused map: where a large piece has the clearer grid, it is the photo's own that counts as foreign.
More than this raised the pixel AUC of pieces of 192 pixels a little and lowered that of 256 pixels (0.955 at 1, 0.919 at 4)."""

Floats = NDArray[np.float64]


def fit_measured(rows: Sequence[Row], cells: Floats, windows: Floats, *, unbounded: Container[str] = ()) -> Measured:
    """Rows of photos, (n, 4) cells (consistency, grid, noise, 1 if pasted) and (n, 2) areas of genuine photos (noise, resampling).

    Of each bundle's genuine photos no more alarm than are `allowed`; of `unbounded` ones, flattered by what taught them, ALARMS may.

    Raises CamtraceError where splices or genuine photos are missing.
    """
    genuine = [row for row in rows if not row.donor]
    measured = Measured(
        threshold=0.0,
        genuine=len(genuine),
        alarms=0,
        largest_side=max((row.side for row in genuine), default=0),
        bundles=[list(name) for name in sorted({(row.bundle, row.version) for row in genuine})],
        compared=fit_line(rows),
        alone=fit_line(rows, compared=False),
    )
    bounded = {f"bundle {name} {version}" for name, version in measured.bundles if name not in unbounded}
    threshold = round_up(choose_threshold(_scores(genuine, measured), bounded=bounded))
    alone = choose_threshold(_scores(genuine, measured, compared=False), bounded=bounded)
    line = replace(measured.alone, offset=measured.alone.offset + threshold - alone)  # one threshold for both
    measured = replace(measured, threshold=threshold, alone=line)
    alarms = sum(row.found is not None and judge_photo(measured, row.found) >= threshold for row in genuine)
    return replace(_fit_maps(measured, cells, windows), alarms=alarms)


def _fit_maps(measured: Measured, cells: Floats, windows: Floats) -> Measured:
    noise, grid, usual = fit_weights(cells)
    limits = [float(np.quantile(np.abs(part[np.isfinite(part)]), 1 - SELDOM)) for part in windows.T]
    fused = cells[:, 0] + noise * (np.minimum(np.abs(cells[:, 2]), NOISIEST) - usual) + grid * cells[:, 1]
    slope, offset = fit_probability(np.stack([fused, cells[:, 3]], axis=1))
    return replace(
        measured,
        noise=noise,
        grid=grid,
        usual_noise=usual,
        noise_limit=limits[0],
        resampling_limit=limits[1],
        slope=slope,
        offset=offset,
    )


def fit_line(rows: Iterable[Row], *, compared: bool = True) -> Line:
    """Splices against genuine photos, as if they were equally many; without the likeness where nothing is `compared`."""
    judged = [(row.found, bool(row.donor)) for row in rows if row.found is not None]
    if len({spliced for _, spliced in judged}) < 2:
        raise CamtraceError("splices or genuine photos are missing among these rows; a score is fitted on both")
    terms = np.array([found.terms() for found, _ in judged])
    if not compared:
        terms[:, 1] = 0
    spread = np.maximum(terms.std(axis=0), 1e-6)  # so that all weights are shrunk alike
    model = LogisticRegression(C=1, class_weight="balanced").fit(terms / spread, [spliced for _, spliced in judged])
    separation, likeness, compactness = (round(float(weight), 4) for weight in model.coef_[0] / spread)
    return Line(separation, likeness, compactness, round(float(model.intercept_[0]), 4))


def _scores(rows: Sequence[Row], measured: Measured, *, compared: bool = True) -> dict[str, list[float]]:
    """Scores of photos by bundle, by treatment, and by both where that is at least LARGE photos.

    A photo that was not judged never alarms.
    """
    groups: dict[str, list[float]] = {}
    for row in rows:
        found = row.found if compared or row.found is None else replace(row.found, likeness=None)
        score = -np.inf if found is None else judge_photo(measured, found)
        bundle = f"{row.bundle} {row.version}"
        for key in (f"bundle {bundle}", f"state {row.state}", f"bundle {bundle}, state {row.state}"):
            groups.setdefault(key, []).append(score)
    return {key: scores for key, scores in groups.items() if ", state" not in key or len(scores) >= LARGE}


def choose_threshold(groups: Mapping[str, Sequence[float]], *, bounded: Container[str] = ()) -> float:
    """The smallest score that at most ALARMS of the genuine photos of every group reach; of `bounded` groups, at most `allowed`.

    Raises CamtraceError where there is no genuine photo.
    """
    if not groups:
        raise CamtraceError("no genuine photo among these rows; a threshold is set on genuine photos alone")
    limits = {key: allowed(len(scores)) if key in bounded else int(ALARMS * len(scores)) for key, scores in groups.items()}
    return max(float(np.nextafter(sorted(scores, reverse=True)[limits[key]], np.inf)) for key, scores in groups.items())


def allowed(count: int) -> int:
    """How many of so many genuine photos may alarm for the upper limit of their share to be at most ALARMS, with CONFIDENCE.

    The exact binomial limit (Clopper & Pearson, Biometrika 26(4), 1934), one-sided. None may among fewer than 93; fewer than 59
    cannot show it at all.
    """
    from scipy.stats import binom

    few = binom.cdf(np.arange(int(ALARMS * count) + 1), count, ALARMS) <= 1 - CONFIDENCE
    return max(0, int(few.sum()) - 1)


def exact_interval(alarms: int, count: int) -> tuple[float, float]:
    """The exact two-sided 95 % interval of a share, after Clopper & Pearson."""
    from scipy.stats import beta

    low = float(beta.ppf(0.025, alarms, count - alarms + 1)) if alarms else 0.0
    return low, float(beta.ppf(0.975, alarms + 1, count - alarms)) if alarms < count else 1.0


def round_up(score: float) -> float:
    """To hundredths."""
    return float(np.ceil(score * 100) / 100)


def fit_weights(cells: Floats) -> tuple[float, float, float]:
    """Cells (n, 4) -> weights of noise and grid beside the consistency, whose weight is 1, and the usual size of the noise."""
    noise = np.minimum(np.abs(cells[:, 2]), NOISIEST)
    usual = float(noise[cells[:, 3] == 0].mean())
    model = LogisticRegression(C=10).fit(np.stack([cells[:, 0], noise - usual, cells[:, 1]], axis=1), cells[:, 3].astype(int))
    consistency, of_noise, of_grid = model.coef_[0]
    if consistency <= 0:
        raise CamtraceError("the consistency speaks against what was pasted; with such a net nothing can be localized")
    return max(0.0, float(of_noise / consistency)), min(max(0.0, float(of_grid / consistency)), MOST_GRID), usual


def fit_probability(samples: Floats) -> tuple[float, float]:
    """(n, 2) values and truth of cells, of splices and genuine photos alike -> slope and offset of the log-odds."""
    line = LogisticRegression(C=100).fit(samples[:, :1], samples[:, 1].astype(int))
    return float(line.coef_[0, 0]), float(line.intercept_[0])


def to_document(measured: Measured) -> dict[str, Any]:
    """As localization.json has it."""
    document: dict[str, Any] = {"format": 2, **asdict(measured)}
    lines = {name: {term: round(weight, 4) for term, weight in document[name].items()} for name in ("compared", "alone")}
    return {name: round(value, 4) if isinstance(value, float) else value for name, value in document.items()} | lines
