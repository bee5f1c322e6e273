"""Training a net: camtrace's loop, at its recipe's precision and in float32, against a plain PyTorch loop in float32.

    OMP_NUM_THREADS=1 python benchmarks/training.py [--steps 6]

The same net (TraceNet), optimiser and batches of 128 cached patches on one core, in turns. camtrace draws batches in a thread, keeps
its tensors channels last, averages the weights and logs every step; the plain loop indexes an array in memory and does nothing else.
Patches a second of the processor, from the second step on, the best of all rounds. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from sides import machine
from torch.nn import functional
from training_data import write_photos

from camtrace.lab.methods.trace_net import TraceNet
from camtrace.lab.recipe import TRACES, Recipe
from camtrace.lab.sources import Source, make_source
from camtrace.lab.store import cache_photos
from camtrace.lab.train import Schedule, Trainee, train

BATCH, ROUNDS = 128, 3


def camtrace_speed(source: Source, recipe: Recipe, steps: int) -> float:
    marks: list[float] = []
    train(
        TraceNet(),
        [(source, BATCH)],
        recipe=recipe,
        schedule=Schedule(steps=steps),
        log=lambda _step, _metrics: marks.append(time.process_time()),
    )
    return BATCH * (len(marks) - 2) / (marks[-2] - marks[0])  # the last step also judges


def plain_speed(source: Source, steps: int) -> float:
    patches, labels = source.take(np.arange(len(source.chosen))), source.labels
    trainee, rng = Trainee(TraceNet(), [source.n_classes]).train(), np.random.default_rng(0)
    optimiser = torch.optim.AdamW(trainee.parameters(), 1e-3)
    marks = []
    for _ in range(steps):
        picked = rng.integers(len(labels), size=BATCH)
        batch = torch.from_numpy(patches[picked]).permute(0, 3, 1, 2).contiguous().float()
        loss = functional.cross_entropy(trainee(batch, [BATCH])[1][0], torch.from_numpy(labels[picked]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        marks.append(time.process_time())
    return BATCH * (len(marks) - 1) / (marks[-1] - marks[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6)
    asked = parser.parse_args()
    facts = machine()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        records, labels = write_photos(Path(name))
        source = make_source(cache_photos(records, Path(name) / "store", labels=labels))
        ways: dict[str, Callable[[], float]] = {
            "plain PyTorch, float32": lambda: plain_speed(source, asked.steps),
            "camtrace, float32": lambda: camtrace_speed(source, replace(TRACES, precision="32-true"), asked.steps),
            "camtrace, as the recipe says (bfloat16)": lambda: camtrace_speed(source, TRACES, asked.steps),
        }
        speeds: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, work in ways.items():
                speeds[way].append(work())
    plain = max(speeds["plain PyTorch, float32"])
    rows = [
        {"way": way, "patches_a_second": round(max(found)), "to_plain": round(max(found) / plain, 2)} for way, found in speeds.items()
    ]
    print(json.dumps({"machine": facts, "rounds": ROUNDS, "rows": rows}))


if __name__ == "__main__":
    main()
