"""Calderon et al. 2025, Table 2 and its curves: CameraConvNet, the same fine-tuned on a second data set, EfficientNetV2-M.

Their split is random, over patches or photos, so that photo, device and scene are on both sides; each row is given by their split and
by an honest one. The second data set is `target`; without one, the cameras are dealt in turn into two halves, which play the two sets.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

from camtrace.lab.experiments.settings import HONEST, Settings, share_of_patches, share_right
from camtrace.lab.methods import METHODS
from camtrace.lab.page import Experiment, Table, percent, write_table
from camtrace.lab.plots import draw_curves
from camtrace.lab.runs import RESULT
from camtrace.lab.tracking import METRICS, read_metrics
from camtrace.lab.trial import Material, Trial

THEIRS = "random-patch"
PUBLISHED = Table(
    "Published, by their random split",
    ("net", "data", "accuracy", "loss"),
    (
        ("CameraConvNet", "Dresden", "81.89 %", "0.59"),
        ("CameraConvNet, fine-tuned", "FloreView", "30.2 %", "not given"),
        ("EfficientNetV2-M", "FloreView, 39 smartphones", "82.0 %", "1.03"),
    ),
)


def reproduce(settings: Settings) -> Experiment:
    """All rows by both splits, with the curves of every run."""
    rows, figures, table = [], [], []
    for protocol in (THEIRS, HONEST):
        for name, trial in _trials(settings, protocol):
            if settings.methods and trial.method.name not in settings.methods:
                continue
            answers = [trial.answers()]
            result = json.loads((trial.folder / RESULT).read_text("utf-8"))
            photos, patches = share_right(answers), share_of_patches(answers)
            loss = result.get("validation_loss")
            rows.append((name, protocol, percent(patches), percent(photos), "n/a" if loss is None else f"{loss:.2f}"))
            curve = {key: result.get(key) for key in ("best_step", "validation_loss", "validation_accuracy")}
            table.append({"net": name, "protocol": protocol, "photos": photos, "patches": patches, **curve})
            path = settings.out / f"table2-{name}-{protocol}".replace(", ", "-").replace(" ", "-")
            draw_curves(read_metrics(trial.folder / METRICS), path.with_name(path.name + ".png"))
            figures.append((f"{name}, {protocol}", path.with_name(path.name + ".png")))
    write_table(table, settings.out / "table2")
    methods = settings.chosen(["camera-conv-net", "efficient-net-resized", "efficient-net"])
    return settings.page(
        "table2",
        Experiment(
            title="The second paper's three nets",
            paper="Calderon et al. 2025, Table 2",
            published=PUBLISHED,
            tables=(Table("Here", ("net", "split", "single patches or crops right", "photos right", "validation loss"), tuple(rows)),),
            figures=tuple(figures),
            cut=tuple(settings.cuts(methods)),
        ),
    )


def _trials(settings: Settings, protocol: str) -> Iterable[tuple[str, Trial]]:
    """The rows, each a trial; the fine-tuned ones start from the first."""
    source, target = _two_sets(settings)
    # one patch a photo cannot be split by patches: their own split of photos is taken instead
    of_photos = "random-photo" if protocol == THEIRS else protocol
    small, resized, crops = (METHODS[name] for name in ("camera-conv-net", "efficient-net-resized", "efficient-net"))
    first = settings.trial(small, settings.drawn(protocol, source)[0], source)
    yield "CameraConvNet", first
    second = settings.trial(small, settings.drawn(protocol, target)[0], target)
    for frozen in (False, True):
        yield f"CameraConvNet, fine-tuned{', frozen' if frozen else ''}", replace(second, begin=first.folder, frozen=frozen)
    for name, method in (("EfficientNetV2-M, resized", resized), ("EfficientNetV2-M, crops", crops)):
        yield name, settings.trial(method, settings.drawn(of_photos if method.count == 1 else protocol, target)[0], target)


def _two_sets(settings: Settings) -> tuple[Material, Material]:
    if settings.target is not None:
        return settings.material, settings.target
    cameras = settings.material.cameras
    halves = [_only(settings.material, set(cameras[part::2]), part) for part in (0, 1)]
    return halves[0], halves[1]


def _only(material: Material, cameras: set[str], part: int) -> Material:
    work = material.work / ("first-half" if part == 0 else "second-half")
    return Material([record for record in material.records if record.camera in cameras], work)
