"""Features that also learn to tell degraded patches from untouched ones, whichever camera took them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="the lab needs PyTorch: pip install 'camtrace[lab]'")
pytestmark = pytest.mark.lab

import torch  # noqa: E402

from camtrace.lab.recipe import HISTORY, MISHAPS, Recipe  # noqa: E402
from camtrace.lab.sources import make_source  # noqa: E402
from camtrace.lab.store import PatchStore  # noqa: E402
from camtrace.lab.train import Schedule, train  # noqa: E402
from lab_runs import one_thread  # noqa: E402, F401
from tiny_nets import PLAIN, SIZE, Curve, Linear, flat, made  # noqa: E402


def flattened() -> PatchStore:
    """Two cameras that nothing tells apart; what was degraded is flat."""
    rng = np.random.default_rng(0)
    photos = np.repeat(np.arange(40, dtype=np.int32), 4)
    copies = np.tile(np.array([0, 0, 1, 1], np.int32), 40)
    noise = rng.integers(0, 256, (len(photos), SIZE, SIZE, 3), dtype=np.uint8)
    return PatchStore(np.where((copies > 0)[:, None, None, None], np.uint8(128), noise), photos, photos % 2, copies)


def learn(recipe: Recipe, *, store: PatchStore | None = None, steps: int = 60) -> tuple[torch.Tensor, Curve]:
    net, curve = made(Linear), Curve([])
    torch.manual_seed(0)
    source = make_source(store or flattened())
    train(net, [(source, 16), (source, 8)], recipe=recipe, schedule=Schedule(steps), log=lambda *row: curve.append(row))
    return flat(net), curve


def test_only_a_recipe_that_asks_for_it_learns_the_history() -> None:
    assert set(learn(PLAIN, steps=1)[1][0][1]) == {"loss", "accuracy", "loss_1", "accuracy_1", "gradient_norm"}
    _, curve = learn(replace(PLAIN, history=1.0), steps=1)
    assert {"loss_2", "accuracy_2"} <= set(curve[0][1])
    assert curve[0][1]["loss_2"] > 0


def test_the_weight_of_the_history_decides_how_far_features_follow_it() -> None:
    little, much = (learn(replace(PLAIN, history=weight), steps=1)[0] for weight in (1e-9, 1.0))
    torch.testing.assert_close(little, learn(PLAIN, steps=1)[0], rtol=1e-4, atol=1e-7)
    assert not torch.allclose(much, little, rtol=1e-3)


def test_a_source_knows_which_patches_are_degraded() -> None:
    store = flattened()
    source = make_source(store)
    assert store.copies is not None
    np.testing.assert_array_equal(source.is_degraded(np.arange(8)), [0, 0, 1, 1, 0, 0, 1, 1])
    untouched = make_source(PatchStore(store.patches, store.photos, store.labels))
    assert not untouched.is_degraded(np.arange(8)).any()


def test_the_recipe_of_the_build_differs_from_the_one_before_in_the_history_alone() -> None:
    assert HISTORY.history > 0
    assert replace(HISTORY, history=0.0) == MISHAPS
