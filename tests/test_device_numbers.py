"""Likelihood ratios and thresholds of devices: they rise with the evidence and come with their false alarms."""

from __future__ import annotations

from typing import Any

import pytest

from camtrace.devices.device import log10_lr, threshold
from camtrace.devices.matching import Comparison


def _comparison(**values: Any) -> Comparison:
    base = {"pce": 50, "p_value": 1e-8, "score": 5, "shift": (0, 0), "rotation": 0, "scale": 1.0, "tried": 1, "one_shift": True}
    return Comparison(**{**base, "pixels": 10**6, **values})


def test_likelihood_ratios_rise_with_the_evidence_and_stay_within_their_data() -> None:
    size = (1000, 1000)
    ratios = [log10_lr(_comparison(p_value=10.0**-power), size) for power in (0, 1, 2, 3, 5, 10, 300, 400)]
    values = [ratio for ratio in ratios if ratio is not None]
    assert len(values) == len(ratios)
    assert values == sorted(values)
    assert values[0] < 0 < values[-1] == values[-2] < 4
    assert log10_lr(_comparison(scale=0.8), size) is None
    assert log10_lr(_comparison(pixels=128 * 128), size) is None
    crop = log10_lr(_comparison(one_shift=False), size)
    assert crop is not None


def test_the_threshold_comes_with_its_false_alarms() -> None:
    one, searched = (threshold(_comparison(one_shift=one_shift, tried=tried)) for one_shift, tried in ((True, 4), (False, 10**5)))
    assert (one["case"], searched["case"]) == ("one place", "searched")
    assert threshold(_comparison(scale=0.8))["case"] == threshold(_comparison(tried=1000))["case"] == "searched"
    for rates in (one, searched):
        assert rates["non_matching"] > 1000
        assert rates["false_alarms"] == 0
        assert rates["rate_at_most"] == pytest.approx(3 / rates["non_matching"], rel=0.01)
        assert rates["pce"] > 1.4 * rates["highest_other"]
