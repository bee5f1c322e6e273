"""Bondi et al. 2017, Fig. 4: cameras that the net never saw, with nothing but the SVMs fitted on a few photos of each."""

from __future__ import annotations

from camtrace.lab.evaluate import draw_few
from camtrace.lab.experiments.settings import Settings, line_of, rows_of, share_right
from camtrace.lab.heads import teach
from camtrace.lab.methods import Method
from camtrace.lab.page import Experiment, Table, percent, write_table
from camtrace.lab.plots import Point, draw_lines
from camtrace.lab.trial import Answers, ask_patches

PHOTOS_EACH = (1, 2, 5, 10)
DRAWS = 5
C = 0.1  # nothing is left to choose it on
PUBLISHED = Table(
    "Published: 10 Dresden cameras, features from 18 others",
    ("photos each", "votes", "accuracy"),
    ((10, 32, "93 %"),),
)


def reproduce(settings: Settings) -> Experiment:
    """Train without some cameras, then teach them from 1, 2, 5 and 10 photos each."""
    methods = settings.chosen(["patch-cnn", "spam", "demosaicing"])
    lines: dict[str, list[Point]] = {}
    rows = []
    for method in methods:
        answers = _ask_strangers(settings, method)
        lines |= {f"{method.name}, {n} each": line_of(parts, method.count) for n, parts in answers.items()}
        rows.append((method.name, *(percent(share_right(parts)) for parts in answers.values())))
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
        rows_of(lines, "line"),
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


def _ask_strangers(settings: Settings, method: Method) -> dict[int, list[Answers]]:
    """By photos taught of each camera: the answers about all others, over all splits and draws."""
    answers: dict[int, list[Answers]] = {n: [] for n in PHOTOS_EACH}
    for split in settings.drawn("leave-cameras-out"):
        trial = settings.trial(method, split)
        strangers = trial.references(trial.features()[0], split.left_out)
        for n, parts in answers.items():
            for taught, rest in draw_few(strangers, photos_each=n, draws=DRAWS, seed=settings.seed):
                parts.append(ask_patches(teach(taught, method, c=C, seed=settings.seed), rest, method.count))
    return answers
