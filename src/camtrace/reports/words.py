"""What a report says of a verdict and of the bundle behind it, in sentences and tables. No figure here is typed by hand.

A bundle's error rates come from its manifest; what a manifest does not hold is not said, and where a bundle is not calibrated no
percentage is shown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from camtrace.calibration import PRIOR_KNOWN, Calibration
from camtrace.card import measured
from camtrace.claim import agrees
from camtrace.inspection import Inspection
from camtrace.manifest import Manifest
from camtrace.outputs import answer_in_words, claim_in_words, evidence_in_words
from camtrace.reports.verbal import NONE, ratio_in_words, strength, support
from camtrace.types import Mode, Verdict

_RANKED = 5
_STATES = {
    "native": "as they came from the camera",
    "jpeg": "saved again as JPEG of quality {}",
    "resize": "resized to {} of their sides",
    "shift": "cropped by {} pixels",
}
_MOST_LEFT_OUT = 40

Figures = dict[str, Any]


@dataclass(frozen=True)
class Table:
    """Rows under a head; the first cell of each row says what it is about."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""


@dataclass(frozen=True)
class Finding:
    """What was found of a photo: the answer, what that means, and why."""

    headline: str
    support: str
    scope: str  # what the likelihood ratio is about where the answer is not that one model
    evidence: str
    claim: str
    why: str


def plain(text: str) -> str:
    """Words laid out for a terminal as one line; what began a line there begins a sentence."""
    return ". ".join(" ".join(line.split()) for line in text.splitlines())


def sentence(text: str) -> str:
    """With a full stop, and only one."""
    return text if text.endswith(".") else f"{text}."


def headline_of(verdict: Verdict) -> str:
    """The answer, and what its level means; or that there is none."""
    return "Not judged" if verdict.status != "ok" else plain(answer_in_words(verdict))


def describe(verdict: Verdict, calibration: Calibration | None) -> Finding:
    """The finding about one photo in words."""
    headline = headline_of(verdict)
    if verdict.status != "ok":
        why = f"This photo could not be judged ({verdict.status}): {verdict.reason}."
        return Finding(headline, why, "", "", "", "")
    evidence = plain(evidence_in_words(verdict))
    named = evidence if evidence.startswith(str(verdict.best)) else f"{verdict.best}, {evidence}"
    return Finding(
        headline, _support(verdict, calibration), _scope(verdict), named, sentence(plain(claim_in_words(verdict))), verdict.reason
    )


def _support(verdict: Verdict, calibration: Calibration | None) -> str:
    ratio = verdict.log10_lr
    if ratio is None:
        return "No likelihood ratio is given and no percentage, because this bundle is not calibrated. The verbal scale does not apply."
    if verdict.answer_level == "unknown":
        said = _closest(verdict, ratio)
    else:
        said = support(ratio, f"a camera of the model {verdict.best} took the photo", "a camera of another model took it")
        said += f" The likelihood ratio is {ratio_in_words(ratio)}."
    if calibration is not None and abs(ratio) >= round(calibration.limit, 3):
        photos = min(calibration.photos, calibration.foreign)
        said += f" That is the most that {photos} calibration photos can support, and the figure is cut off there."
    return said


def _closest(verdict: Verdict, log10_lr: float) -> str:
    """Of a photo where no model is named: what the likelihood ratio of the closest is, and why that is no finding."""
    return (
        f"No model is named. Of the {len(verdict.ranking)} models that the bundle knows, {verdict.best} is the closest, as one "
        f"always is. The likelihood ratio for it against all other models is {ratio_in_words(log10_lr)} ({sense(log10_lr)}), and its "
        "probability does not reach what the mode asks for."
    )


def _scope(verdict: Verdict) -> str:
    if verdict.log10_lr is None or verdict.answer_level in ("model", "unknown"):
        return ""
    return f"The likelihood ratio is that of the closest single model; there is none for the {verdict.answer_level} as a whole."


def propositions(verdict: Verdict, manifest: Manifest) -> tuple[str, str]:
    """The two that a likelihood ratio of this photo compares."""
    known = len(manifest.cameras)
    first = f"The photo was taken by a camera of the model {verdict.best}."
    second = (
        f"The photo was taken by a camera of another model: one of the other {known - 1} models that the bundle knows, or one that it "
        "does not know."
    )
    return first, second


def population(manifest: Manifest) -> str:
    """Who the other cameras of the second proposition are."""
    calibration = manifest.calibration
    if calibration is None:
        return ""
    known = len(manifest.cameras)
    said = (
        f"The relevant population of the second proposition is that of the calibration. A share of {PRIOR_KNOWN:.0%} of its photos "
        f"comes from the {known} models of the bundle, each equally often, and the rest from models that the bundle does not know. "
        f"It was measured on {calibration.photos:,} photos of known models and {calibration.foreign:,} of models that were left out"
    )
    names = manifest.accuracy.get("left_out")
    if isinstance(names, list) and 0 < len(names) <= _MOST_LEFT_OUT:
        said += f": {', '.join(map(str, names))}"
    return said + ". Where the cameras that come into question in a case are others, the likelihood ratio may be another."


def ranking(verdict: Verdict, manifest: Manifest) -> Table:
    """The closest cameras, and the one that the EXIF claims wherever it stands."""
    calibration = manifest.calibration if verdict.log10_lr is not None else None
    rows = [
        _rank(number, verdict, calibration, len(manifest.cameras))
        for number, line in enumerate(verdict.ranking)
        if number < _RANKED or agrees(verdict.claim, line.camera)
    ]
    head = ("rank and model", "patches for it")
    if calibration is None:
        return Table("The closest models. The bundle is not calibrated, so there are no probabilities.", head, tuple(rows))
    note = (
        f"A probability holds only under an assumption that nobody has checked for this case: that {PRIOR_KNOWN:.0%} of the photos "
        "asked about come from models of the bundle, each equally often. A likelihood ratio does not need it. Each one compares its "
        f"own model with all others; {ratio_in_words(-calibration.limit)} and {ratio_in_words(calibration.limit)} are as far as the "
        "calibration goes."
    )
    return Table("The closest models", (*head, "probability", "likelihood ratio", "in words"), tuple(rows), note)


def _rank(number: int, verdict: Verdict, calibration: Calibration | None, cameras: int) -> tuple[str, ...]:
    line = verdict.ranking[number]
    claimed = " (claimed by the EXIF)" if agrees(verdict.claim, line.camera) else ""
    cells = (f"{number + 1}. {line.camera}{claimed}", f"{line.votes} of {verdict.n_patches}")
    if calibration is None or line.probability is None or verdict.log10_lr is None:
        return cells
    ratio = verdict.log10_lr if number == 0 else calibration.log10_lr(line.probability, cameras)
    return (*cells, f"{line.probability:.1%}", ratio_in_words(ratio), sense(ratio))


def sense(log10_lr: float) -> str:
    """How strongly a likelihood ratio supports what, in few words."""
    word = strength(log10_lr)
    return "no support either way" if word == NONE else f"{word} support for {'it' if log10_lr > 0 else 'another'}"


def votes(found: Inspection) -> Table:
    """Which patches were asked, by the camera they vote for, most votes first."""
    counts = Counter(patch.camera for patch in found.patches)
    rows = tuple(
        (camera, str(count), "; ".join(f"{patch.column}, {patch.row}" for patch in found.patches if patch.camera == camera))
        for camera, count in counts.most_common()
    )
    side = found.patch_size
    return Table(
        f"The {len(found.patches)} patches asked, {side}x{side} pixels each",
        ("votes for", "patches", "where: x, y of the upper left pixel"),
        rows,
    )


def picture_text(found: Inspection) -> str:
    """What the picture of the patches shows, for those who do not see it."""
    best, total = found.verdict.best, len(found.patches)
    own = sum(patch.camera == best for patch in found.patches)
    others = f"; the other {total - own}, crossed squares, for other models" if own < total else ""
    return f"The photo with the {total} patches asked drawn over it: {own}, plain squares, vote for {best}{others}."


def error_rates(manifest: Manifest, mode: Mode) -> Iterator[Table]:
    """How often the bundle was right and wrong when it was tested, as far as its manifest says."""
    figures = manifest.accuracy
    yield from _mode_table(_dig(figures, "modes", mode), mode)
    yield from _probability_table(_dig(figures, "calibration"))
    yield from _degraded_table(_dig(figures, "degraded"))
    if isinstance(figures.get("photos"), int) and isinstance(figures.get("right"), int) and figures["photos"]:
        row = (str(figures.get("protocol", "")), f"{figures['right']} of {figures['photos']}")
        yield Table("Test of the bundle when it was enrolled", ("test", "photos named rightly"), (row,))


def _mode_table(shares: Figures, mode: Mode) -> Iterator[Table]:
    known, foreign = _dig(shares, "known"), _dig(shares, "foreign")
    said = [f"{level} {truth}" for truth in ("right", "wrong") for level in ("model", "family", "maker")] + ["unknown"]
    if not all(_is_number(side.get(word)) for side in (known, foreign) for word in said):
        return
    rows = [(_OUTCOMES[word], f"{known[word]:.1%}", "cannot be" if word.endswith("right") else f"{foreign[word]:.1%}") for word in said]
    yield Table(
        f"What was said of test photos in {mode} mode",
        ("what was said", "of photos by models that it knows", "of photos by models that it does not know"),
        tuple(rows),
        "Photos as they came from the camera. Of a model that the bundle does not know, every name counts as wrong.",
    )


_OUTCOMES = {
    "model right": "the right model",
    "family right": "the right family of sister models",
    "maker right": "the right maker",
    "model wrong": "a wrong model",
    "family wrong": "a wrong family",
    "maker wrong": "a wrong maker",
    "unknown": "unknown",
}


def _probability_table(states: Figures) -> Iterator[Table]:
    rows = [
        (_state(state), f"{row['ece']:.3f}", f"{row['cllr']:.3f}")
        for state, row in states.items()
        if isinstance(row, dict) and _is_number(row.get("ece")) and _is_number(row.get("cllr"))
    ]
    if rows:
        yield Table(
            "How far probabilities and likelihood ratios can be trusted",
            ("photos", "expected calibration error", "Cllr"),
            tuple(rows),
            "Expected calibration error: how far a stated probability was from the share of photos that were right, on average; 0 is "
            "perfect. Cllr: the cost of misleading likelihood ratios; 0 is perfect, 1 is as good as saying nothing.",
        )


def _degraded_table(states: Figures) -> Iterator[Table]:
    rows = [
        (_state(state), _share(row.get("right"))) for state, row in states.items() if isinstance(row, dict) and _share(row.get("right"))
    ]
    if rows:
        caption = "Test photos whose closest model was the true one, after they had been changed"
        yield Table(caption, ("photos", "closest model the true one, with 95 % interval"), tuple(rows))


def _state(name: str) -> str:
    """What happened to photos of this name in a manifest."""
    kind, _, amount = name.partition(" ")
    return _STATES[kind].format(amount) if kind in _STATES else name


def about_camera(verdict: Verdict, manifest: Manifest) -> Iterator[str]:
    """What the tests of the bundle say of the closest model itself."""
    for camera in manifest.cameras:
        if camera.name == verdict.best and camera.accuracy is not None:
            how = f", {camera.protocol}" if camera.protocol else ""
            yield f"Test photos by the model {camera.name} that came out closest to it: {measured(camera)}{how}."
    confused = manifest.accuracy.get("confusions")
    for entry in confused if isinstance(confused, list) else ():
        if isinstance(entry, list) and len(entry) == 3 and entry[1] == verdict.best:
            yield f"In these tests {entry[2]} photos by the model {entry[0]} came out closest to {entry[1]}."


def _share(interval: object) -> str:
    if not (isinstance(interval, Sequence) and len(interval) == 3 and all(map(_is_number, interval))):
        return ""
    value, low, high = interval
    return f"{value:.1%} ({low:.1%} to {high:.1%})"


def _dig(figures: object, *keys: str) -> Figures:
    """What lies under the keys; nothing where a manifest by others holds something else there."""
    for key in keys:
        figures = figures.get(key) if isinstance(figures, dict) else None
    return figures if isinstance(figures, dict) else {}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
