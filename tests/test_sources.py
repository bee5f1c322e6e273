"""What training draws its patches from, and the recipes it follows."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip("torch", reason="the lab needs PyTorch: pip install 'camtrace[lab]'")
pytestmark = pytest.mark.lab

import torch  # noqa: E402

from camtrace.lab.recipe import BAROFFIO, CALDERON, EPOCH, PAPER, RELEASED, TRACES  # noqa: E402
from camtrace.lab.sources import Source, make_source, requantise, to_tensor  # noqa: E402
from camtrace.lab.store import PatchStore  # noqa: E402


def store_of(*groups: tuple[int, int], size: int = 4) -> PatchStore:
    """One photo for each (camera, patches); the pixels of a patch are its position."""
    labels = np.concatenate([np.full(count, camera, np.int32) for camera, count in groups])
    photos = np.concatenate([np.full(count, photo, np.int32) for photo, (_, count) in enumerate(groups)])
    pixels = np.arange(len(labels), dtype=np.uint8)[:, None, None, None] * np.ones((1, size, size, 3), np.uint8)
    return PatchStore(pixels, photos, labels)


def shares(source: Source, of: np.ndarray[Any, Any], draws: int = 20_000) -> dict[int, float]:
    """How often each value of `of`, one for each patch of the store, is drawn."""
    drawn = of[source.chosen[source.pick(draws, np.random.default_rng(0)).ravel()]]
    return {int(value): float((drawn == value).mean()) for value in np.unique(of)}


def test_every_camera_is_drawn_equally_often() -> None:
    store = store_of((0, 60), (3, 5), (7, 20))
    assert shares(make_source(store), store.labels) == pytest.approx({0: 1 / 3, 3: 1 / 3, 7: 1 / 3}, abs=0.015)


def test_groups_of_a_camera_are_drawn_by_the_root_of_their_sizes() -> None:
    store = store_of((0, 64), (0, 4), (1, 9))  # roots 8 and 2
    source = make_source(store, groups=["phone A", "phone B", "phone C"])
    assert shares(source, store.photos) == pytest.approx({0: 0.4, 1: 0.1, 2: 0.5}, abs=0.015)


def test_all_patches_of_a_group_are_drawn_alike() -> None:
    store = store_of((0, 10))
    drawn = shares(make_source(store, groups=["A"]), np.arange(10))
    assert drawn == pytest.approx(dict.fromkeys(range(10), 0.1), abs=0.015)


def test_only_the_photos_and_patches_asked_for_are_there() -> None:
    store = store_of((0, 3), (1, 3), (0, 3))
    assert make_source(store, photos=[0, 1]).chosen.tolist() == [0, 1, 2, 3, 4, 5]
    assert make_source(store, photos=[1, 2, 99]).chosen.tolist() == [3, 4, 5, 6, 7, 8], "photos that gave no patch are no error"
    mask = np.array([True, False, False] * 3)
    assert make_source(store, photos=[0, 2], patches=mask).chosen.tolist() == [0, 6]


def test_validation_shares_the_labels_of_training() -> None:
    store = store_of((2, 2), (5, 2), (9, 2), (5, 1))
    taught = make_source(store, photos=[0, 2])
    assert taught.cameras.tolist() == [2, 9]
    assert taught.labels.tolist() == [0, 0, 1, 1]
    asked = make_source(store, photos=[1, 2, 3], cameras=taught.cameras)
    assert asked.n_classes == 2
    assert asked.chosen.tolist() == [4, 5], "camera 5 was not taught"
    assert asked.labels.tolist() == [1, 1]


def test_a_thinned_source_is_spread_evenly() -> None:
    store = store_of((0, 10), (1, 15))
    source = make_source(store)
    thin = source.thin(10)
    assert thin.chosen.tolist() == list(range(0, 25, 3))
    assert thin.labels.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert thin.n_classes == 2
    assert source.thin(1000).chosen.tolist() == list(range(25))
    assert source.thin(25).chosen.tolist() == list(range(25))
    assert shares(thin, np.arange(25)) == pytest.approx({n: 1 / 9 if n % 3 == 0 else 0 for n in range(25)}, abs=0.015)


def test_pixels_are_those_of_the_patches_picked() -> None:
    source = make_source(store_of((0, 10), (1, 15)), photos=[1])
    assert source.take(np.array([0, 14, 3]))[:, 0, 0, 0].tolist() == [10, 24, 13]
    assert source.sample(5)[:, 0, 0, 0].tolist() == [10, 13, 16, 19, 22]
    tensor = to_tensor(source.take(np.array([2])))
    assert tensor.shape == (1, 3, 4, 4)
    assert tensor.dtype == torch.float32
    assert set(tensor.flatten().tolist()) == {12.0}


def test_a_share_of_the_patches_is_saved_again_as_jpeg() -> None:
    before = np.random.default_rng(0).integers(0, 256, (200, 16, 16, 3), dtype=np.uint8)

    def changed(share: float, seed: int = 1) -> np.ndarray[Any, Any]:
        after = requantise(before.copy(), share, np.random.default_rng(seed))
        assert after.shape == before.shape
        return cast("np.ndarray[Any, Any]", (after != before).any(axis=(1, 2, 3)))

    assert not changed(0.0).any()
    assert changed(1.0).all()
    assert 0.15 < changed(0.25).mean() < 0.35
    assert np.array_equal(changed(0.25), changed(0.25))


# ---- patches of one shot together, and degraded copies


def copied(photos: int, *, cameras: int = 2, patches: int = 3, copies: int = 2) -> PatchStore:
    """Photos of `cameras` in turn, each followed by its copies; the pixels of a patch are the number of its shot."""
    shots = np.repeat(np.arange(photos * (1 + copies), dtype=np.int32), patches)
    photo = shots // (1 + copies)
    pixels = shots.astype(np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    return PatchStore(pixels, photo, photo % cameras, shots % (1 + copies))


@pytest.mark.parametrize("together", [1, 2, 4])
def test_patches_picked_together_are_of_one_shot(together: int) -> None:
    store = copied(6)
    source = make_source(store)
    picked = source.pick(480, np.random.default_rng(0), together=together)
    assert picked.shape == (480 // together, together)
    shots = source.take(picked.ravel())[:, 0, 0, 0].reshape(picked.shape)
    assert (shots == shots[:, :1]).all()
    assert len(np.unique(shots[:, 0])) == 18
    assert len(np.unique(picked)) == 54, "every patch has its turn"
    for shot in range(18):
        within = np.bincount(source.chosen[picked[shots[:, 0] == shot]].ravel() - 3 * shot, minlength=3)
        assert len(within) == 3
    if together > 1:
        others = source.chosen[picked[:, 1]] % 3
        assert np.bincount(others, minlength=3) / len(others) == pytest.approx([1 / 3] * 3, abs=0.12), "companions are drawn at random"


def test_patches_of_one_shot_stay_together_where_photos_and_patches_are_left_out() -> None:
    store = copied(6)
    mask = np.arange(54) % 3 != 1
    source = make_source(store, photos=[1, 2, 5], patches=mask)
    picked = source.pick(400, np.random.default_rng(0), together=4)
    drawn = source.chosen[picked]
    assert (drawn // 3 == drawn[:, :1] // 3).all()
    assert set(store.photos[drawn.ravel()]) == {1, 2, 5}
    assert not (drawn % 3 == 1).any()
    thin = source.thin(9)
    drawn = thin.chosen[thin.pick(80, np.random.default_rng(0), together=2)]
    assert (drawn[:, 0] // 3 == drawn[:, 1] // 3).all()


def test_the_same_draw_under_the_same_seed() -> None:
    source = make_source(copied(6))
    first, again = (source.pick(64, np.random.default_rng(7), together=4) for _ in range(2))
    assert np.array_equal(first, again)


def test_half_of_the_draws_are_untouched() -> None:
    store = copied(8, copies=6)
    assert store.copies is not None
    drawn = shares(make_source(store), store.copies > 0)
    assert drawn == pytest.approx({0: 0.5, 1: 0.5}, abs=0.015)
    by_camera = shares(make_source(store), 2 * store.labels + (store.copies > 0))
    assert by_camera == pytest.approx(dict.fromkeys(range(4), 0.25), abs=0.015)
    in_groups = make_source(store, groups=["A", "B"] * 4)
    assert shares(in_groups, store.copies > 0) == pytest.approx({0: 0.5, 1: 0.5}, abs=0.015)


def test_cameras_are_drawn_equally_often_though_one_has_no_copies() -> None:
    store = copied(4)
    assert store.copies is not None
    source = make_source(store, patches=(store.labels == 0) | (store.copies == 0))
    assert shares(source, store.labels) == pytest.approx({0: 0.5, 1: 0.5}, abs=0.015)


# ---- recipes


def test_the_papers_rate_is_halved_every_ten_of_fifty_epochs() -> None:
    rates = [PAPER.rate(epoch * EPOCH, PAPER.steps) for epoch in range(50)]
    assert rates == pytest.approx([0.015 / 2 ** (epoch // 10) for epoch in range(50)])
    assert PAPER.rate(10 * EPOCH - 1, PAPER.steps) == 0.015
    assert (PAPER.optimiser, PAPER.weight_decay, PAPER.batch, PAPER.steps) == ("sgd", 7.5e-3, 128, 50 * EPOCH)


def test_other_published_recipes() -> None:
    assert (RELEASED.rate(0, 5), RELEASED.weight_decay, RELEASED.bias_rate) == (0.01, 7.5e-4, 2.0)
    assert (BAROFFIO.optimiser, BAROFFIO.batch, BAROFFIO.rate(0, 9), BAROFFIO.rate(8, 9)) == ("sgd", 128, 0.001, 0.001)
    assert (CALDERON.optimiser, CALDERON.batch, CALDERON.rate(0, 9), CALDERON.rate(8, 9)) == ("adamw", 24, 1e-3, 1e-3)


def test_a_falling_rate_warms_up_and_then_follows_a_cosine() -> None:
    recipe = replace(TRACES, learning_rate=1.0)
    assert recipe.rate(0, 4000) == pytest.approx(1.001 / 200)
    assert recipe.rate(99, 4000) == pytest.approx(0.5 * (0.5 + 0.5 * math.cos(math.pi * 99 / 4000) + 1e-3))
    assert recipe.rate(2000, 4000) == pytest.approx(0.501)
    assert recipe.rate(3999, 4000) == pytest.approx(1e-3, rel=1e-3)
