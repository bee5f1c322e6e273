"""The training loop, on nets and patches small enough to check by hand."""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip("torch", reason="the lab needs PyTorch: pip install 'camtrace[lab]'")
pytestmark = pytest.mark.lab

import torch  # noqa: E402
from lightning_fabric import Fabric  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.nn import functional  # noqa: E402

from camtrace.lab.methods import Features  # noqa: E402
from camtrace.lab.recipe import Recipe  # noqa: E402
from camtrace.lab.sources import Source, make_source, to_tensor  # noqa: E402
from camtrace.lab.store import PatchStore  # noqa: E402
from camtrace.lab.train import Schedule, Trained, share_of, train  # noqa: E402
from camtrace.types import CamtraceError  # noqa: E402
from lab_runs import one_thread  # noqa: E402, F401
from made_patches import two_textures  # noqa: E402
from tiny_nets import PLAIN, SIZE, Curve, Linear, Tiny, flat, loss_of, made, run, same, textures, worsening  # noqa: E402


def weights_by_step(recipe: Recipe, *, steps: int, net: Callable[[], Features] = Linear) -> list[Tensor]:
    """The net before the run and after each step."""
    trained = made(net)
    seen = [flat(trained)]
    torch.manual_seed(0)  # as in `run`
    train(trained, [(textures(), 8)], recipe=recipe, schedule=Schedule(steps), log=lambda _step, _metrics: seen.append(flat(trained)))
    return seen


def test_each_step_learns_at_the_rate_of_its_recipe() -> None:
    hardly = replace(PLAIN, schedule="halved", halvings=4000)  # in the second of two steps: 0.05 / 2^2000
    before, first, second = weights_by_step(hardly, steps=2)
    assert not torch.equal(before, first)
    assert torch.equal(first, second)
    _, first, second = weights_by_step(PLAIN, steps=2)
    assert not torch.equal(first, second)


def test_biases_may_learn_faster() -> None:
    def way(bias_rate: float) -> tuple[Tensor, Tensor]:
        net = made(Linear)
        before = copy.deepcopy(net)
        run(net, recipe=replace(PLAIN, bias_rate=bias_rate), steps=1)
        assert isinstance(net, Linear)
        assert isinstance(before, Linear)
        return (net.layer.weight - before.layer.weight).detach(), (net.layer.bias - before.layer.bias).detach()

    (weights, biases), (same_weights, twice_biases) = way(1.0), way(2.0)
    assert biases.abs().min() > 0
    torch.testing.assert_close(same_weights, weights, rtol=0, atol=0)
    torch.testing.assert_close(twice_biases, 2 * biases, rtol=1e-3, atol=1e-6)


def test_long_gradients_are_cut_and_logged_as_they_were() -> None:
    net, cut = made(Linear), made(Linear)
    before = flat(net)
    whole: Curve = []
    short: Curve = []
    classifier = run(net, recipe=PLAIN, steps=1, curve=whole).classifier
    run(cut, recipe=replace(PLAIN, longest_gradient=1e-2), steps=1, curve=short)
    norm = whole[0][1]["gradient_norm"]
    assert short[0][1]["gradient_norm"] == norm > 1e-2
    assert classifier.weights.shape == (2, 6)
    torch.testing.assert_close((flat(cut) - before) * norm / 1e-2, flat(net) - before, rtol=1e-3, atol=1e-5)


def test_every_step_is_logged() -> None:
    curve: Curve = []
    run(made(Tiny), steps=5, curve=curve, validation=textures(4), validate_every=2)
    assert [step for step, _ in curve] == [1, 2, 3, 4, 5]
    always = {"loss", "accuracy", "gradient_norm"}
    assert [set(metrics) - always for _, metrics in curve] == [
        {"validation_loss", "validation_accuracy"} if step in (2, 4, 5) else set() for step in range(1, 6)
    ]
    assert all(always <= set(metrics) for _, metrics in curve)
    assert all(math.isfinite(value) for _, metrics in curve for value in metrics.values())


def test_what_is_logged_is_true() -> None:
    """One step whose rate is too small to change anything, on a batch that holds just one patch, of camera 1."""
    store = two_textures(2, size=SIZE)
    one = np.array([1])
    only = Source(store, np.array([5]), one, np.array([0, 1]), np.array([1.0]), first=np.array([0]), size=one)
    curve: Curve = []
    trained = run(made(Linear), recipe=replace(PLAIN, learning_rate=1e-30), steps=1, source=only, curve=curve, validation=textures(600))
    ((step, metrics),) = curve
    assert step == 1
    assert metrics["loss"] == pytest.approx(loss_of(trained, only), rel=1e-5)
    assert metrics["accuracy"] == (metrics["loss"] < math.log(2))
    assert metrics["validation_loss"] == pytest.approx(loss_of(trained, textures(600)), rel=1e-5), "2,400 patches are several batches"
    assert metrics["gradient_norm"] == pytest.approx(_gradient_norm(trained, only), rel=1e-4)


def _gradient_norm(trained: Trained, source: Source) -> float:
    weights, biases = (torch.tensor(part, requires_grad=True) for part in (trained.classifier.weights, trained.classifier.biases))
    scores = trained.net(to_tensor(source.take(np.arange(1)))) @ weights.T + biases
    loss = functional.cross_entropy(scores, torch.from_numpy(source.labels))
    gradients = torch.autograd.grad(loss, [*trained.net.parameters(), weights, biases])
    return math.sqrt(sum(float((gradient**2).sum()) for gradient in gradients))


def test_two_sources_train_one_net_with_a_classifier_each() -> None:
    numbers = np.arange(6, dtype=np.int32)
    three = make_source(PatchStore(np.full((6, SIZE, SIZE, 3), 128, np.uint8), numbers, numbers % 3))
    curve: Curve = []
    trained = train(
        made(Linear),
        [(textures(), 8), (three, 16)],
        recipe=replace(PLAIN, learning_rate=1e-3),
        schedule=Schedule(2),
        log=lambda step, metrics: curve.append((step, metrics)),
    )
    assert trained.classifier.weights.shape == (2, 6), "the classifier of the first source"
    assert set(curve[0][1]) == {"loss", "accuracy", "loss_1", "accuracy_1", "gradient_norm"}
    # Features of grey patches are the biases of the net, so that each of the three classes gets about the same score.
    assert curve[0][1]["loss_1"] == pytest.approx(math.log(3), abs=0.3)


def test_a_batch_is_shared_equally() -> None:
    three = cast("Fabric", SimpleNamespace(world_size=3))
    assert share_of(12, three) == 4
    with pytest.raises(CamtraceError, match="a batch of 8 patches cannot be shared equally by 3 processes"):
        share_of(8, three)


def test_patches_judged_together_stay_in_one_process() -> None:
    two = cast("Fabric", SimpleNamespace(world_size=2))
    assert share_of(16, two, together=4) == 8
    with pytest.raises(CamtraceError, match="a batch of 12 patches, 4 together, cannot be shared equally by 2 processes"):
        share_of(12, two, together=4)
    with pytest.raises(CamtraceError, match="a batch of 8 patches, 3 together, cannot be shared equally by 1 processes"):
        run(made(Linear), recipe=replace(PLAIN, together=3), steps=1)


def test_with_a_margin_the_cosine_to_the_true_camera_counts_for_less() -> None:
    """CosFace by hand: one step whose rate is too small to change anything."""
    store = two_textures(2, size=SIZE)
    only = Source(store, np.array([5]), np.array([1]), np.array([0, 1]), np.array([1.0]), first=np.array([0]), size=np.array([1]))
    curve: Curve = []
    trained = run(made(Linear), recipe=replace(PLAIN, learning_rate=1e-30, margin=0.2), steps=1, source=only, curve=curve)
    with torch.no_grad():
        features = trained.net(to_tensor(only.take(np.arange(1))))
    other, true = functional.cosine_similarity(features, torch.from_numpy(trained.classifier.weights)).tolist()
    assert curve[0][1]["loss"] == pytest.approx(math.log(1 + math.exp(30 * (other - (true - 0.2)))), rel=1e-4)
    assert curve[0][1]["accuracy"] == (true > other), "the margin is there to learn, not to judge"
    assert np.allclose(np.linalg.norm(trained.classifier.weights, axis=1), 30 / np.sqrt(6)), "directions, as a linear classifier"
    assert not trained.classifier.biases.any()


def test_together_the_loss_is_half_that_of_patches_and_half_that_of_their_mean_scores() -> None:
    """One step whose rate is too small to change anything, on a batch that is drawn again here."""
    source, recipe, curve = textures(), replace(PLAIN, learning_rate=1e-30, together=4), cast("Curve", [])
    trained = run(made(Linear), recipe=recipe, steps=1, source=source, curve=curve)
    seen: list[np.ndarray[Any, Any]] = []

    class Watched(Source):
        def take(self, picked: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            seen.append(picked)
            return super().take(picked)

    run(made(Linear), recipe=recipe, steps=1, source=Watched(**vars(source)))
    (picked,) = [indices for indices in seen if len(indices) == 8]
    with torch.no_grad():
        features = trained.net(to_tensor(source.take(picked)))
    scores = features @ torch.from_numpy(trained.classifier.weights).T + torch.from_numpy(trained.classifier.biases)
    labels = torch.from_numpy(source.labels[picked])
    assert (labels.view(2, 4) == labels.view(2, 4)[:, :1]).all()
    means = torch.stack([scores[:4].mean(dim=0), scores[4:].mean(dim=0)])
    expected = (functional.cross_entropy(scores, labels) + functional.cross_entropy(means, labels[[0, 4]])) / 2
    assert curve[0][1]["loss"] == pytest.approx(float(expected), rel=1e-5)
    assert curve[0][1]["accuracy"] == pytest.approx(float((scores.argmax(1) == labels).float().mean()))


def test_the_cache_is_never_changed() -> None:
    source = textures()
    before = source.store.patches.copy()
    run(made(Linear), recipe=replace(PLAIN, requantised=1.0), source=source)
    assert np.array_equal(source.store.patches, before)


def test_a_seed_says_all_that_is_random() -> None:
    def once(seed: int) -> Trained:
        return run(made(Tiny), recipe=replace(PLAIN, requantised=0.5), seed=seed)

    first = once(3)
    assert same(first, once(3))
    assert not same(first, once(4))


def test_without_validation_the_last_weights_are_kept() -> None:
    net = made(Tiny)
    trained = run(net, steps=5, validate_every=2)
    assert torch.equal(flat(trained.net), flat(net)), "the net that was given is the one that was trained"
    assert not trained.net.training
    assert trained.progress.step == 5


def test_the_running_average_is_kept_where_the_recipe_says_so() -> None:
    recipe = replace(PLAIN, averaged=True)
    seen = weights_by_step(recipe, steps=4)
    average = seen[0]
    for step, weights in enumerate(seen[1:]):
        keep = (1 + step) / (10 + step)
        average = keep * average + (1 - keep) * weights
    kept = run(made(Linear), recipe=recipe, steps=4).net
    torch.testing.assert_close(flat(kept), average, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(average, seen[-1], rtol=1e-5, atol=1e-6)


# ---- validation, early stop


def test_the_weights_of_smallest_validation_loss_are_kept() -> None:
    trained, curve = worsening()
    losses = {step: metrics["validation_loss"] for step, metrics in curve if "validation_loss" in metrics}
    assert list(losses) == list(range(2, 21, 2))
    best = min(losses, key=losses.__getitem__)
    assert (trained.progress.best_step, trained.progress.best_loss) == (best, losses[best])
    assert losses[20] > 1.5 * losses[best], "the case is made so that the end is not the best"


def test_patience_ends_a_run_that_gets_no_better() -> None:
    whole = worsening()[0]
    trained, curve = worsening(patience=3)
    best = trained.progress.best_step
    assert [step for step, _ in curve] == list(range(1, best + 2 * 3 + 1))
    assert trained.progress.step == best + 6 < 20
    assert trained.progress.since_best == 3
    assert same(trained, whole)


def test_a_run_that_stopped_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    worsening(patience=1)
    assert threading.active_count() == before


def test_an_error_in_drawing_ends_the_run() -> None:
    """A disk that fails, say: the run must not wait for patches that never come."""

    class Failing(Source):
        def take(self, picked: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            raise OSError("the disk is gone")

    source = textures()
    with pytest.raises(OSError, match="the disk is gone"):
        run(made(Linear), source=Failing(**vars(source)))


def test_a_frozen_net_stays_as_it_is() -> None:
    """Its running statistics too; only the classifier learns."""
    net = made(Tiny).requires_grad_(False)
    before = flat(net)
    hardly = run(net, recipe=replace(PLAIN, learning_rate=1e-30))
    trained = run(net)
    assert torch.equal(flat(trained.net), before)
    assert not np.allclose(trained.classifier.weights, hardly.classifier.weights, atol=1e-3)
    assert hardly.classifier.weights.shape == trained.classifier.weights.shape == (2, 6)


def _moved(recipe: Recipe, *, degraded: bool = False) -> float:
    """How far training moves the features of the patches."""
    store = two_textures(16, size=SIZE)
    source = make_source(replace(store, copies=np.full(len(store), int(degraded), np.int32)))
    net = made(Linear)
    patches = to_tensor(source.take(np.arange(len(source.chosen))))
    before = net(patches)
    after = run(net, recipe=recipe, source=source, steps=60).net(patches)
    return float((after - before).detach().square().mean())


def test_features_of_untouched_patches_may_be_remembered() -> None:
    free, held = _moved(PLAIN), _moved(replace(PLAIN, remembered=2.0))
    assert 0 < held < free / 2


def test_degraded_patches_are_free_to_move() -> None:
    assert _moved(replace(PLAIN, remembered=2.0), degraded=True) == _moved(PLAIN, degraded=True)


def test_what_is_remembered_is_the_net_before_the_run_though_it_was_resumed(tmp_path: Path) -> None:
    recipe = replace(PLAIN, remembered=2.0)
    whole, checkpoint = made(Linear), tmp_path / "checkpoint.safetensors"
    run(whole, recipe=recipe, steps=6)
    stopped = made(Linear)

    def stop(step: int, _metrics: dict[str, float]) -> None:
        if step == 4:
            raise KeyboardInterrupt

    schedule = Schedule(6, validate_every=3, checkpoint=checkpoint)
    torch.manual_seed(0)
    with pytest.raises(KeyboardInterrupt):
        train(stopped, [(textures(), 8)], recipe=recipe, schedule=schedule, log=stop)
    resumed = made(Linear)
    train(resumed, [(textures(), 8)], recipe=recipe, schedule=schedule)
    torch.testing.assert_close(flat(resumed), flat(whole), rtol=0, atol=0)
