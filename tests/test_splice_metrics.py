"""The figures of a map against other implementations of them, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, jaccard_score, matthews_corrcoef, roc_auc_score

from camtrace.lab.splice_metrics import area_under, measure_map

pytestmark = pytest.mark.lab


def test_figures_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    truth = rng.random(400) < 0.3
    values = np.round(rng.normal(0, 1, 400) + truth, 1)  # rounded, so that there are ties
    figures = measure_map(values, truth.astype(int), (~truth).astype(int))
    assert figures is not None
    assert figures.auc == pytest.approx(roc_auc_score(truth, values))
    assert figures.f1 == pytest.approx(f1_score(truth, values > 0))
    assert figures.mcc == pytest.approx(matthews_corrcoef(truth, values > 0))
    assert figures.iou == pytest.approx(jaccard_score(truth, values > 0))
    places = np.unique(values)
    assert figures.f1_best == pytest.approx(max(f1_score(truth, values >= place) for place in places))
    assert figures.mcc_best == pytest.approx(max(matthews_corrcoef(truth, values >= place) for place in places))
    assert figures.iou_best == pytest.approx(max(jaccard_score(truth, values >= place) for place in places))


def test_by_hand() -> None:
    truth = np.array([True, True, False, False])
    figures = measure_map(np.array([3.0, 1.0, 2.0, -1.0]), truth.astype(int), (~truth).astype(int))
    assert figures is not None
    assert [figures.auc, figures.f1, figures.iou] == pytest.approx([0.75, 0.8, 2 / 3])
    assert figures.mcc == pytest.approx(2 / np.sqrt(3 * 2 * 2 * 1))
    assert area_under(np.array([1.0, 1.0]), np.array([1, 0]), np.array([0, 1])) == 0.5


def test_a_map_upside_down_is_forgiven_only_where_that_is_said() -> None:
    truth = np.arange(100) < 30
    values = np.where(truth, -1.0, 1.0)
    figures = measure_map(values, truth.astype(int), (~truth).astype(int))
    assert figures is not None
    assert (figures.auc, figures.auc_inverted, figures.f1_inverted) == (0.0, 1.0, 1.0)
    assert (figures.f1, figures.iou, figures.mcc) == (0.0, 0.0, -1.0)
    assert figures.f1_best == pytest.approx(2 * 30 / 130)  # everything marked


def test_cells_count_by_their_pixels() -> None:
    values, pasted, others = np.array([2.0, 1.0, -1.0]), np.array([250, 100, 0]), np.array([6, 156, 256])
    pixels = [(value, kind) for value, p, o in zip(values, pasted, others, strict=True) for kind in [1] * p + [0] * o]
    each, truth = np.array([value for value, _ in pixels]), np.array([kind for _, kind in pixels])
    by_cells, by_pixels = measure_map(values, pasted, others), measure_map(each, truth, 1 - truth)
    assert by_cells == by_pixels
    assert by_cells is not None
    assert by_cells.auc == pytest.approx(roc_auc_score(truth, each))


def test_nothing_to_tell_apart() -> None:
    assert measure_map(np.zeros(3), np.zeros(3, int), np.ones(3, int)) is None
    assert measure_map(np.zeros(3), np.ones(3, int), np.zeros(3, int)) is None
