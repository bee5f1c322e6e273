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
from safetensors import safe_open  # noqa: E402
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from camtrace.lab.checkpoint import Progress, peek  # noqa: E402
from camtrace.lab.methods import Features  # noqa: E402
from camtrace.lab.recipe import TRACES, Recipe  # noqa: E402
from camtrace.lab.sources import Source, make_source, to_tensor  # noqa: E402
from camtrace.lab.store import PatchStore  # noqa: E402
from camtrace.lab.train import Schedule, Trained, share_of, train  # noqa: E402
from camtrace.types import CamtraceError  # noqa: E402
from lab_runs import one_thread  # noqa: E402, F401
from made_patches import two_textures  # noqa: E402

SIZE = 8
PLAIN = Recipe("sgd", 0.05, 0.0, "constant", precision="32-true")
Curve = list[tuple[int, dict[str, float]]]


class Tiny(Features):
    """Everything that a resumption must bring back: convolution, running statistics, dropout."""

    dimension = 6

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Tanh(), nn.Dropout(0.2)), nn.Flatten(), nn.Linear(4 * 36, self.dimension)
        )

    def forward(self, patches: Tensor) -> Tensor:
        return cast("Tensor", self.layers((patches - 128) / 16))


class Linear(Features):
    """No randomness and nothing but what the loss asks for."""

    dimension = 6

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3 * SIZE * SIZE, self.dimension)

    def forward(self, patches: Tensor) -> Tensor:
        return cast("Tensor", self.layer((patches.flatten(1) - 128) / 16))


def made(net: Callable[[], Features], seed: int = 0) -> Features:
    torch.manual_seed(seed)
    return net()


def textures(photos: int = 16, **options: Any) -> Source:
    return make_source(two_textures(photos, size=SIZE, **options))


def run(
    net: Features, *, recipe: Recipe = PLAIN, steps: int = 6, source: Source | None = None, curve: Curve | None = None, **schedule: Any
) -> Trained:
    """Train with batches of 8 and keep what was logged."""
    validation = schedule.pop("validation", None)
    rows = [] if curve is None else curve
    torch.manual_seed(0)  # the first weights of the classifiers
    return train(
        net,
        [(source or textures(), 8)],
        recipe=recipe,
        schedule=Schedule(steps, **schedule),
        validation=validation,
        log=lambda step, metrics: rows.append((step, metrics)),
    )


def flat(module: nn.Module) -> Tensor:
    """All that a module holds, as one vector."""
    return torch.cat([tensor.detach().double().flatten() for tensor in module.state_dict().values()])


def same(first: Trained, second: Trained) -> bool:
    """Bit for bit, net and classifier."""
    return torch.equal(flat(first.net), flat(second.net)) and all(
        np.array_equal(getattr(first.classifier, part), getattr(second.classifier, part)) for part in ("weights", "biases")
    )


def loss_of(trained: Trained, source: Source) -> float:
    """Mean cross-entropy over all patches of a source, the plain way."""
    with torch.no_grad():
        features = trained.net(to_tensor(source.take(np.arange(len(source.chosen)))))
    scores = features @ torch.from_numpy(trained.classifier.weights).T + torch.from_numpy(trained.classifier.biases)
    return float(functional.cross_entropy(scores, torch.from_numpy(source.labels)))


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


def worsening(**schedule: Any) -> tuple[Trained, Curve]:
    """Validation photos whose cameras have changed places: the more the net learns, the larger its validation loss."""
    curve: Curve = []
    wrong = textures(8, swapped=True)
    trained = run(
        made(Linear), recipe=replace(PLAIN, learning_rate=0.02), steps=20, validation=wrong, validate_every=2, curve=curve, **schedule
    )
    assert loss_of(trained, wrong) == pytest.approx(trained.progress.best_loss, rel=1e-5)
    return trained, curve


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


# ---- resumption


class KilledError(Exception):
    """Stands for a kill: ends the run at a step, whatever it was about to do."""


SGD = replace(PLAIN, bias_rate=2.0)
AVERAGED = replace(TRACES, requantised=0.3, precision="32-true")


def interrupted(folder: Path, recipe: Recipe, *, at: int) -> tuple[Trained, Curve, Curve]:
    """A run killed at a step and taken up again: the result, and what was logged before and after."""
    before: Curve = []
    after: Curve = []

    def log(step: int, metrics: dict[str, float]) -> None:
        if step == at:
            raise KilledError
        before.append((step, metrics))

    options: dict[str, Any] = {
        "recipe": recipe,
        "schedule": Schedule(10, seed=7, validate_every=3, checkpoint=folder / "run.safetensors"),
        "validation": textures(4),
    }
    net = made(Tiny)
    torch.manual_seed(0)
    with pytest.raises(KilledError):
        train(net, [(textures(), 8)], **options, log=log)
    other = made(Tiny, seed=99)  # what the net was before it was taken up must not matter
    trained = train(other, [(textures(), 8)], **options, log=lambda step, metrics: after.append((step, metrics)))
    return trained, before, after


@pytest.mark.parametrize("at", [5, 6, 10])
@pytest.mark.parametrize("recipe", [SGD, AVERAGED, replace(AVERAGED, precision="bf16-mixed")], ids=["sgd", "averaged", "bf16"])
def test_a_killed_run_ends_where_it_would_have_ended(tmp_path: Path, recipe: Recipe, at: int) -> None:
    curve: Curve = []
    whole = run(made(Tiny), recipe=recipe, steps=10, seed=7, validate_every=3, validation=textures(4), curve=curve)
    trained, before, after = interrupted(tmp_path, recipe, at=at)
    assert same(trained, whole)
    assert trained.progress == whole.progress
    kept = after[0][0] - 1  # the step of the checkpoint
    assert kept == (at - 1) // 3 * 3
    assert [row for row in before if row[0] <= kept] + after == curve


def test_a_step_is_logged_before_its_checkpoint_is_written(tmp_path: Path) -> None:
    """Else a kill between the two would leave a hole: the step would neither be logged nor done again."""
    trained, before, after = interrupted(tmp_path, SGD, at=6)
    assert trained.progress.step == 10
    assert {step for step, _ in before} | {step for step, _ in after} == set(range(1, 11))


def test_a_finished_run_does_nothing_more(tmp_path: Path) -> None:
    curve: Curve = []
    trained, _, _ = interrupted(tmp_path, SGD, at=5)
    path = tmp_path / "run.safetensors"
    written = path.read_bytes()
    again = run(made(Tiny), recipe=SGD, steps=10, seed=7, validate_every=3, validation=textures(4), checkpoint=path, curve=curve)
    assert same(again, trained)
    assert curve == []
    assert path.read_bytes() == written


def test_a_run_that_lost_patience_stays_stopped(tmp_path: Path) -> None:
    stopped, _ = worsening(patience=2, checkpoint=tmp_path / "run.safetensors")
    again, curve = worsening(patience=2, checkpoint=tmp_path / "run.safetensors")
    assert same(again, stopped)
    assert curve == []


def test_a_checkpoint_holds_tensors_and_progress_and_nothing_that_runs(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "run.safetensors"
    assert peek(path) == Progress()
    assert peek(None) == Progress()
    trained = run(made(Tiny), recipe=AVERAGED, steps=4, validate_every=2, validation=textures(4), checkpoint=path)
    assert peek(path) == trained.progress
    assert trained.progress.step == 4
    assert [found.name for found in path.parent.iterdir()] == [path.name], "nothing half-written is left"
    with safe_open(path, "pt") as file:
        parts = {key.split("/")[0] for key in file.keys()}  # noqa: SIM118 - no iterator
    assert parts == {"trainee", "kept", "best", "optimiser"}


def test_a_checkpoint_that_was_being_written_is_not_taken_up(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    whole = run(made(Tiny), steps=4)
    path.with_suffix(".partial").write_bytes(b"half of it")
    assert same(run(made(Tiny), steps=4, checkpoint=path), whole)


def test_a_frozen_net_stays_as_it_is() -> None:
    """Its running statistics too; only the classifier learns."""
    net = made(Tiny).requires_grad_(False)
    before = flat(net)
    hardly = run(net, recipe=replace(PLAIN, learning_rate=1e-30))
    trained = run(net)
    assert torch.equal(flat(trained.net), before)
    assert not np.allclose(trained.classifier.weights, hardly.classifier.weights, atol=1e-3)
    assert hardly.classifier.weights.shape == trained.classifier.weights.shape == (2, 6)
