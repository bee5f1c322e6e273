"""Bondi et al. 2017, Fig. 3: accuracy against the number of patches that vote, beside the baselines on patches and on whole photos."""

from __future__ import annotations

from collections.abc import Sequence

from camtrace.lab.experiments.settings import Settings, line_of, rows_of
from camtrace.lab.page import Experiment, Table, percent, write_table
from camtrace.lab.plots import Point, draw_lines
from camtrace.lab.trial import whole

PUBLISHED = Table(
    "Published: 18 Dresden cameras",
    ("method", "accuracy"),
    (
        ("CNN + SVM, one patch", "93 %"),
        ("CNN + SVM, 32 patches", "within 1 % of Chen & Stamm on whole photos"),
    ),
)
VOTES = (1, 2, 4, 8, 16, 32)


def reproduce(settings: Settings) -> Experiment:
    """Ask every method on each split, and count the first 1, 2, 4 ... votes."""
    on_patches = settings.chosen(["patch-cnn", "spam", "demosaicing", "demosaicing:svm"])
    on_photos = [whole(method) for method in on_patches if method.whole_photos]
    lines = {method.name: line_of(settings.answers(method), method.count) for method in [*on_patches, *on_photos]}
    path = settings.out / "fig3.svg"
    draw_lines(lines, path, x_label="patches that vote", y_label="photos named rightly", title="Accuracy by votes", log2=True)
    write_table(
        rows_of(lines, "method"),
        settings.out / "fig3",
    )
    rows = [(name, *(percent(_at(line, votes)) for votes in VOTES)) for name, line in lines.items()]
    return settings.page(
        "fig3",
        Experiment(
            title="Accuracy against the number of voting patches",
            paper="Bondi et al. 2017, Fig. 3",
            published=PUBLISHED,
            tables=(Table("Here: photos named rightly by so many votes", ("method", *map(str, VOTES)), tuple(rows)),),
            figures=(("Accuracy against votes; dashed: whole photos", path),),
            cut=tuple(settings.cuts(on_patches)),
        ),
    )


def _at(line: Sequence[Point], votes: int) -> tuple[float, float, float] | None:
    return next(((value, low, high) for x, value, low, high in line if x == votes), None)
