"""How much a leaky split flatters each method: the same methods on honest and on random splits (METHOD sections 1 and 3).

The second paper splits patches at random, so that photo, device and scene are on both sides. Its figures are shown here only
to expose that.
"""

from __future__ import annotations

from camtrace.lab.evaluate import Interval
from camtrace.lab.experiments.settings import HONEST, Settings, share_of_patches, share_right
from camtrace.lab.methods import Method
from camtrace.lab.page import Experiment, Table, percent, write_table
from camtrace.lab.plots import draw_bars

SPLITS = {HONEST: "unseen device and scene", "random-photo": "photos at random (leaks)", "random-patch": "patches at random (leaks)"}
DEFAULT = ["patch-cnn", "spam", "demosaicing", "trace-net", "camera-conv-net", "efficient-net"]


def reproduce(settings: Settings) -> Experiment:
    """Each method under each protocol, the same steps everywhere."""
    methods = settings.chosen(DEFAULT)
    shares = {method.name: _shares(settings, method) for method in methods}
    path = settings.out / "leak.svg"
    bars = {name: {label: row[p][0] if p in row else None for p, label in SPLITS.items()} for name, row in shares.items()}
    draw_bars(bars, path, y_label="photos named rightly", title="What a leaky split pretends")
    write_table(
        [
            {"method": name, "protocol": protocol, "photos": photos, "patches": patches}
            for name, row in shares.items()
            for protocol, (photos, patches) in row.items()
        ],
        settings.out / "leak",
    )
    tables = tuple(
        Table(
            f"{what} right",
            ("method", *SPLITS.values()),
            tuple((name, *(percent(row[p][which]) if p in row else "n/a" for p in SPLITS)) for name, row in shares.items()),
        )
        for which, what in enumerate(("Photos", "Single patches"))
    )
    return settings.page(
        "leak",
        Experiment(
            title="How much a leaky split flatters",
            paper="the split of Calderon et al. 2025 beside that of Bondi et al. 2017",
            published=None,
            tables=tables,
            figures=(("Photos named rightly, by how photos were split", path),),
            cut=tuple(settings.cuts(methods)),
        ),
    )


def _shares(settings: Settings, method: Method) -> dict[str, tuple[Interval | None, Interval | None]]:
    """Photos and patches right under each protocol; one patch a photo cannot be split by patches."""
    answers = {protocol: settings.answers(method, protocol) for protocol in SPLITS if protocol != "random-patch" or method.count > 1}
    return {protocol: (share_right(parts), share_of_patches(parts)) for protocol, parts in answers.items()}
