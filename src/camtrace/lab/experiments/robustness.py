"""How each method breaks when photos are re-saved, resized, brightened or cropped.

The manipulations are those of the SP Cup 2018 (METHOD section 5) and a crop off the 8x8 grid.
"""

from __future__ import annotations

from camtrace.degrade import NATIVE, SP_CUP
from camtrace.lab.experiments.settings import Settings, share_right
from camtrace.lab.page import Experiment, Table, percent, write_table
from camtrace.lab.plots import draw_bars

HOW = (NATIVE, *SP_CUP, "shift 4")
DEFAULT = ["patch-cnn", "spam", "demosaicing", "trace-net"]

PUBLISHED = Table(
    "The authors' own weights on 17 Dresden photos, measured for METHOD section 1: photos / patches right",
    ("native", "jpeg 90", "jpeg 70", "resize 0.8", "shift 4", "gamma 1.2"),
    (("94 % / 93 %", "6 % / 18 %", "6 % / 11 %", "6 % / 8 %", "88 % / 85 %", "unchanged"),),
)


def reproduce(settings: Settings) -> Experiment:
    """Teach on photos as they are, ask about degraded ones."""
    methods = settings.chosen(DEFAULT)
    shares = {}
    for method in methods:
        trials = settings.trials(method)
        shares[method.name] = {how: share_right([trial.answers(how) for trial in trials]) for how in HOW}
    path = settings.out / "robustness.svg"
    draw_bars(
        {how: {name: row[how] for name, row in shares.items()} for how in HOW},
        path,
        y_label="photos named rightly",
        title="Photos after a degradation that training never saw",
    )
    write_table(
        [{"method": name, "degradation": how, "photos": share} for name, row in shares.items() for how, share in row.items()],
        settings.out / "robustness",
    )
    rows = tuple((name, *(percent(share) for share in row.values())) for name, row in shares.items())
    return settings.page(
        "robustness",
        Experiment(
            title="Re-saved, resized, brightened, cropped",
            paper="the manipulations of the SP Cup 2018",
            published=PUBLISHED,
            tables=(Table("Photos named rightly", ("method", *HOW), rows),),
            figures=(("Photos named rightly, by degradation", path),),
            cut=tuple(settings.cuts(methods)),
        ),
    )
