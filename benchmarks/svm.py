"""One-vs-one linear SVMs for 18 cameras on 128 features: scikit-learn's SVC, which camtrace uses, against LinearSVC on every pair.

    OMP_NUM_THREADS=1 python benchmarks/svm.py [--patches 4000,16000,64000,250000] [--seconds 300]

SVC (libsvm) keeps a kernel and grows faster than the number of patches; LinearSVC (liblinear, hinge loss, its dual) goes over the
samples. Where SVC would take more than so many seconds of the processor, by its growth so far, its time is on paper (`~`) and not
measured. `same` is the share of 2,000 fresh samples on which the votes of both agree. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
import math
import time
import warnings
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sides import machine
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from camtrace.classify import Duels, fit_duels, run_duels

CAMERAS, DIMENSION, C = 18, 128, 0.01
Floats = NDArray[np.float32]


def made(patches: int, *, seed: int) -> tuple[Floats, NDArray[np.int64]]:
    """Overlapping clouds, as features of cameras are."""
    centres = np.random.default_rng(0).normal(0, 0.35, (CAMERAS, DIMENSION))
    rng = np.random.default_rng(seed)
    cameras = np.arange(patches) % CAMERAS
    return (centres[cameras] + rng.normal(0, 1, (patches, DIMENSION))).astype(np.float32), cameras


def pair_by_pair(features: Floats, cameras: NDArray[np.int64]) -> Duels:
    weights, biases = [], []
    for first, second in combinations(range(CAMERAS), 2):
        pair = np.isin(cameras, (first, second))
        machine = LinearSVC(C=C, loss="hinge", dual=True, class_weight="balanced", random_state=0).fit(
            features[pair], cameras[pair] == first
        )
        weights.append(machine.coef_[0])
        biases.append(machine.intercept_[0])
    return Duels(np.array(weights, np.float32), np.array(biases, np.float32), CAMERAS)


def timed(work: Callable[[], Duels]) -> tuple[float, Duels]:
    started = time.process_time()
    found = work()
    return time.process_time() - started, found


def expected(rows: list[dict[str, Any]], patches: int) -> float:
    """Seconds of SVC on so many patches, by the growth between the last two sizes."""
    if len(rows) < 2:
        return 0.0
    before, last = rows[-2:]
    power = math.log(last["svc_s"] / before["svc_s"]) / math.log(last["patches"] / before["patches"])
    return float(last["svc_s"] * (patches / last["patches"]) ** power)


def measure(patches: int, rows: list[dict[str, Any]], most: float) -> dict[str, Any]:
    features, cameras = made(patches, seed=1)
    fresh, truth = made(2000, seed=2)
    linear_s, linear = timed(lambda: pair_by_pair(features, cameras))
    theirs = run_duels(linear, fresh).labels
    found = {"linear_svc_s": round(linear_s, 2), "linear_svc_right": round(float((theirs == truth).mean()), 3)}
    if (guess := expected(rows, patches)) > most:
        return {"patches": patches, "svc_s": f"~{guess:.0f}", "svc_to_linear_svc": f"~{guess / linear_s:.0f}", **found}
    svc_s, svc = timed(lambda: fit_duels(features, cameras, CAMERAS, c=C))
    ours = run_duels(svc, fresh).labels
    shares = {"same": round(float((ours == theirs).mean()), 3), "svc_right": round(float((ours == truth).mean()), 3)}
    return {"patches": patches, "svc_s": round(svc_s, 2), "svc_to_linear_svc": round(svc_s / linear_s, 1), **found, **shares}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patches", type=lambda text: [int(part) for part in text.split(",")], default=[4000, 16_000, 64_000, 250_000])
    parser.add_argument("--seconds", type=float, default=300)
    asked = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    facts = machine()
    rows: list[dict[str, Any]] = []
    for patches in asked.patches:
        rows.append(measure(patches, rows, asked.seconds))
    print(json.dumps({"machine": facts, "cameras": CAMERAS, "dimension": DIMENSION, "rows": rows}))


if __name__ == "__main__":
    main()
