"""The new features against the published ones, on the very same photos, patches and draws of one fold of a build.

Every method is taught on the fold's training photos and asked about its test photos, as they are and degraded, and about cameras left
out. The published ones are taught as their papers do: one-vs-one SVMs on untouched photos. Differences are paired: photo by photo.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from camtrace.card import markdown_table
from camtrace.lab import evaluate
from camtrace.lab.build import Material, Plan, embed_taught, exported, fit_net, gather, kept_features
from camtrace.lab.folds import NATIVE, STATES, both, comparing, few_shot, teach_head, thin
from camtrace.lab.folds import ask as ask_experts
from camtrace.lab.heads import teach
from camtrace.lab.methods import METHODS, Features
from camtrace.lab.recipe import PAPER
from camtrace.lab.runs import fit_features
from camtrace.lab.sources import make_source
from camtrace.lab.store import ranks_within
from camtrace.lab.train import Schedule
from camtrace.types import References

SHOTS = 10
TAUGHT_PATCHES = 8
"""Patches of each training photo that the published methods' SVMs are fitted on: their time grows with the square."""

PAPER_STEPS = 4000
NEW = "trace-net with experts"


@dataclass(frozen=True)
class Row:
    """What one method did on the fold."""

    right: dict[str, NDArray[np.float64]]  # by state, (n_photos,) of the test photos
    strength: NDArray[np.float64]  # (n_photos,) evidence of native test photos
    foreign: NDArray[np.float64]  # (n_foreign,) evidence of native photos of cameras left out
    few: NDArray[np.float64]  # (n_foreign,) share of draws named rightly, taught on SHOTS photos of each camera left out


def run_baselines(data: Path, work: Path, plan: Plan, out: Path) -> dict[str, Any]:
    """All rows on the first fold, written to `out` as JSON and Markdown."""
    material = gather(data, work, plan)
    rows = {
        "patch-cnn (Bondi et al. 2017)": _published(material, work, plan, "patch-cnn"),
        "spam": _published(material, work, plan, "spam"),
        "demosaicing": _published(material, work, plan, "demosaicing"),
        NEW: _new(material, work, plan),
    }
    figures = {name: _figures(row, rows[NEW]) for name, row in rows.items()}
    out.mkdir(parents=True, exist_ok=True)
    (out / "baselines.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    (out / "baselines.md").write_text(to_markdown(figures), "utf-8")
    return figures


def _new(material: Material, work: Path, plan: Plan) -> Row:
    split, folder = material.splits[0], work / "fold0"
    model = exported(fit_net(material, folder, plan, photos=split.train), material, folder, plan, photos=split.train)
    native, copies = embed_taught(model, material, folder, patches=plan.patches)
    states = {state: _asked(work, state, folder, None, plan) for state in STATES}
    taught = both(evaluate.of_photos(native, split.train), evaluate.of_photos(copies, split.train))
    head = comparing(teach_head(thin(taught)), taught)
    answers = {state: ask_experts(head, evaluate.of_photos(own, split.test)) for state, own in {NATIVE: native, **states}.items()}
    foreign = evaluate.of_photos(native, split.left_out)
    few = few_shot(foreign, evaluate.of_photos(copies, split.left_out), head, photos_each=SHOTS, seed=plan.seed)[NATIVE]
    right = {state: _by_photo(own.photos, own.best == own.cameras, split.test) for state, own in answers.items()}
    return Row(right, answers[NATIVE].evidence.max(axis=1), ask_experts(head, foreign).evidence.max(axis=1), few)


def _published(material: Material, work: Path, plan: Plan, name: str) -> Row:
    split, folder, method = material.splits[0], work / "baselines" / name, METHODS[name]
    net = _trained_plainly(material, folder, split.train) if method.recipe else method.make()
    folder.mkdir(parents=True, exist_ok=True)
    store = material.real
    copies = np.zeros(len(store), np.int32) if store.copies is None else store.copies
    untouched = np.flatnonzero((store.ranks() < plan.patches) & (copies == 0))
    native = kept_features(folder / "native.safetensors", lambda: evaluate.embed_some(evaluate.eager(net), store, untouched))
    states = {NATIVE: native, **{state: _asked(work, state, folder, net, plan) for state in STATES}}
    own = evaluate.of_photos(native, split.train)
    taught = teach(own.of(ranks_within(own.photos) < TAUGHT_PATCHES), method, c=plan_c(method.name))
    judged = {state: evaluate.ask(taught, evaluate.of_photos(asked, split.test)) for state, asked in states.items()}
    foreign = evaluate.of_photos(native, split.left_out)
    few = evaluate.few_shot(foreign, method, photos_each=SHOTS, draws=5, seed=plan.seed, c=plan_c(method.name))
    right = {state: _by_photo(own.photos, own.best["summed"] == own.cameras, split.test) for state, own in judged.items()}
    return Row(right, judged[NATIVE].strength["summed"], evaluate.ask(taught, foreign).strength["summed"], few)


def plan_c(name: str) -> float:
    """C of the SVMs, set by hand: a fold of a build has no validation photos to choose it on."""
    return {"patch-cnn": 0.1, "spam": 0.01, "demosaicing": 0.001}[name]


def _trained_plainly(material: Material, folder: Path, photos: Sequence[int]) -> Features:
    """The paper's net by the paper's recipe on the real photos alone, cut short and in bfloat16."""
    recipe = replace(PAPER, precision="bf16-mixed")
    store = material.real
    source = make_source(store, photos=photos, patches=None if store.copies is None else store.copies == 0)
    method = replace(METHODS["patch-cnn"], recipe=recipe)
    net, _ = fit_features(
        folder / "net", method, [(source, recipe.batch)], config={"photos": len(photos)}, schedule=Schedule(PAPER_STEPS)
    )
    return net


def _asked(work: Path, state: str, folder: Path, net: Features | None, plan: Plan) -> References:
    from camtrace.lab.store import open_store

    file = state.replace(" ", "-")

    def embed() -> References:
        assert net is not None, "the fold keeps these"
        return evaluate.embed(evaluate.eager(net), open_store(work / "asked" / file), count=plan.patches)

    return kept_features(folder / f"{file}.safetensors", embed)


def _by_photo(photos: NDArray[np.int64], right: NDArray[np.bool_], wanted: Sequence[int]) -> NDArray[np.float64]:
    """Right or wrong in the order of `wanted`; a photo with no patch left counts as wrong."""
    table = dict(zip(photos.tolist(), right.tolist(), strict=True))
    return np.array([float(table.get(photo, False)) for photo in sorted(wanted)])


def _figures(row: Row, new: Row) -> dict[str, Any]:
    return {
        **{state: evaluate.interval(right) for state, right in row.right.items()},
        "auroc": evaluate.auroc(row.strength, row.foreign),
        "few_shot": evaluate.interval(row.few),
        "new is ahead by, few_shot": evaluate.interval(new.few - row.few),
        "new is ahead by, native": evaluate.interval(new.right[NATIVE] - row.right[NATIVE]),
    }


def to_markdown(figures: dict[str, Any]) -> str:
    """The table of docs/results."""
    columns: dict[str, Callable[[dict[str, Any]], str]] = {
        **{state: (lambda row, state=state: _share(row[state])) for state in (NATIVE, *STATES)},  # type: ignore[misc]
        "AUROC": lambda row: f"{row['auroc']:.2f}",
        f"{SHOTS} photos each": lambda row: _share(row["few_shot"]),
        "new ahead by (paired)": lambda row: _share(row["new is ahead by, few_shot"]),
    }
    rows = ([name, *(column(row) for column in columns.values())] for name, row in figures.items())
    return markdown_table(["method", *columns], rows) + "\n"


def _share(interval: Sequence[float]) -> str:
    value, low, high = interval
    return f"{value:.1%} ({low:.1%} to {high:.1%})"
