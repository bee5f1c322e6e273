"""Bondi et al. 2017, Fig. 4: cameras that the net never saw, with nothing but the SVMs fitted on a few photos of each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from camtrace.lab.evaluate import interval, of_photos
from camtrace.lab.experiments.settings import Settings
from camtrace.lab.heads import teach
from camtrace.lab.methods import Method
from camtrace.lab.page import Experiment, Table, percent, write_table
from camtrace.lab.plots import Point, draw_lines
from camtrace.lab.trial import Answers, ask_patches
from camtrace.types import References

PHOTOS_EACH = (1, 2, 5, 10)
DRAWS = 5
C = 0.1  # nothing is left to choose it on
PUBLISHED = Table(
    "Published: 10 Dresden cameras, features from 18 others",
    ("photos each", "votes", "accuracy"),
    ((10, 32, "93 %"),),
)

Right = dict[int, list[tuple[NDArray[np.int64], NDArray[np.bool_]]]]
"""By number of votes: the photos asked in each draw, and whether they were named rightly."""


def reproduce(settings: Settings) -> Experiment:
    """Train without some cameras, then teach them from 1, 2, 5 and 10 photos each."""
    methods = settings.chosen(["patch-cnn", "spam", "demosaicing"])
    lines: dict[str, list[Point]] = {}
    rows = []
    for method in methods:
        by_photos = {n: _few_photos(settings, method, n) for n in PHOTOS_EACH}
        lines |= {f"{method.name}, {n} each": _line(right) for n, right in by_photos.items()}
        rows.append((method.name, *(percent(interval(_per_photo(right[method.count]))) for right in by_photos.values())))
    path = settings.out / "fig4.svg"
    draw_lines(
        {name: line for name, line in lines.items() if name.endswith(f", {PHOTOS_EACH[-1]} each") or name.startswith(methods[0].name)},
        path,
        x_label="patches that vote",
        y_label="photos named rightly",
        title=f"Cameras never trained on, {settings.left_out} at a time",
        log2=True,
    )
    write_table(
        [
            {"line": name, "votes": x, "accuracy": value, "low": low, "high": high}
            for name, line in lines.items()
            for x, value, low, high in line
        ],
        settings.out / "fig4",
    )
    head = ("method", *(f"{n} photo{'s' if n > 1 else ''} each" for n in PHOTOS_EACH))
    return settings.page(
        "fig4",
        Experiment(
            title="Cameras that the net has never seen",
            paper="Bondi et al. 2017, Fig. 4",
            published=PUBLISHED,
            tables=(Table("Here: photos named rightly, all patches voting", head, tuple(rows)),),
            figures=(("Accuracy against votes, by photos taught of each camera", path),),
            cut=tuple(settings.cuts(methods)),
        ),
    )


def _few_photos(settings: Settings, method: Method, photos_each: int) -> Right:
    """Over all splits and draws, whether the photos that did not teach were named rightly."""
    right: Right = {count: [] for count in range(1, method.count + 1)}
    for split in settings.drawn("leave-cameras-out"):
        trial = settings.trial(method, split)
        strangers = trial.references(trial.features()[0], split.left_out)
        for answers in few_photos(strangers, method, photos_each=photos_each, seed=settings.seed):
            for count, parts in right.items():
                parts.append((answers.photos, answers.right(count)))
    return right


def few_photos(strangers: References, method: Method, *, photos_each: int, seed: int) -> list[Answers]:
    """DRAWS times: teach so many photos of each camera, ask about all others."""
    rng = np.random.default_rng(seed)
    photos, first = np.unique(strangers.photos, return_index=True)
    cameras = strangers.cameras[first]
    answers = []
    for _ in range(DRAWS):
        taught = np.concatenate([rng.permutation(photos[cameras == camera])[:photos_each] for camera in np.unique(cameras)])
        asked = of_photos(strangers, np.setdiff1d(photos, taught).tolist())
        answers.append(ask_patches(teach(of_photos(strangers, taught.tolist()), method, c=C, seed=seed), asked, method.count))
    return answers


def _per_photo(parts: Sequence[tuple[NDArray[np.int64], NDArray[np.bool_]]]) -> NDArray[np.float64]:
    """One value a photo, the mean over the draws that asked about it."""
    _, index, asked = np.unique(np.concatenate([photos for photos, _ in parts]), return_inverse=True, return_counts=True)
    mean: NDArray[np.float64] = np.bincount(index, weights=np.concatenate([right for _, right in parts])) / asked
    return mean


def _line(right: Right) -> list[Point]:
    shares = [(count, interval(_per_photo(parts))) for count, parts in right.items()]
    return [(float(count), *share) for count, share in shares if share is not None]
