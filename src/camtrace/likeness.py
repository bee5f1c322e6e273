"""Two photos -> how much likelier they are if one camera model took both than if two did; neither need be known.

The way of a photo is that of `identification` up to its features; their mean over the patches is what `comparison` compares. The
words are those of the European Network of Forensic Science Institutes (ENFSI, "Guideline for Evaluative Reporting in Forensic
Science", 2015, its table of verbal equivalents). How probable one camera model is, is not said: that takes odds from elsewhere.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TextIO

from camtrace.bundle import REFERENCES, Bundle
from camtrace.comparison import Comparison, Floats, mean_features
from camtrace.history import cut_patches, examine
from camtrace.identification import BundleLike, ready
from camtrace.photo import Source, describe, read_photo
from camtrace.screening import visible
from camtrace.types import BundleId, Photo, PhotoError, Status

SCHEMA_VERSION = 1

SCALE = (
    (2, "no"),
    (10, "weak"),
    (100, "moderate"),
    (1000, "moderately strong"),
    (10_000, "strong"),
    (1_000_000, "very strong"),
    (math.inf, "extremely strong"),
)
"""The largest likelihood ratio, or one over it, that each word of ENFSI's scale stands for. ENFSI begins with "weak" at 2."""

_ORDINALS = ("first", "second")
_MISSING = f"holds no comparison (the tensors comparison_* in {REFERENCES}), so it cannot compare photos"

Step = Callable[[str], object]


@dataclass(frozen=True)
class Compared:
    """One of the two photos."""

    source: str
    sha256: str | None
    status: Status
    n_patches: int
    remarks: tuple[str, ...]  # what happened to it, or why it could not be judged; in JSON they are part of the reason

    def to_dict(self) -> dict[str, Any]:
        """As the JSON has it."""
        fields = asdict(self)
        del fields["remarks"]
        return fields


@dataclass(frozen=True)
class Support:
    """What a likelihood ratio is calibrated on: photos of cameras that had not taught the comparison."""

    photos: int
    cameras: int


@dataclass(frozen=True)
class Likeness:
    """The result for two photos. `log10_lr` above 0 speaks for one camera model, below 0 for two; None where there is none."""

    photos: tuple[Compared, Compared]
    status: Status
    log10_lr: float | None
    words: str | None
    reason: str
    calibrated_on: Support | None
    bundle: BundleId

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON values; its shape is `likeness.schema.json`."""
        photos = [photo.to_dict() for photo in self.photos]
        return {"schema_version": SCHEMA_VERSION, **asdict(self), "photos": photos}

    def to_json(self, *, indent: int | None = 2) -> str:
        """The result as JSON text."""
        return json.dumps(self.to_dict(), indent=indent)


def compare(first: Source, second: Source, *, bundle: BundleLike = None, names: tuple[str, str] | None = None) -> Likeness:
    """Say whether two photos were taken by cameras of one model, whichever it is.

    Parameters
    ----------
    first, second
        Paths, bytes of files, or binary streams.
    bundle
        A loaded bundle or its folder; the one that ships with camtrace if not given.
    names
        What to call the photos in the result; their paths by default.

    Returns
    -------
    Likeness
        Always: a photo that cannot be judged, or a bundle without a comparison, is reported in `reason`, not raised.

    Raises
    ------
    BundleError
        The bundle itself cannot be used.
    """
    return next(compare_many((first, second), bundle=bundle, names=names))


def compare_many(
    sources: Iterable[Source],
    *,
    bundle: BundleLike = None,
    names: Sequence[str] | None = None,
    on_photo: Step = lambda _: None,
) -> Iterator[Likeness]:
    """Compare every pair of photos: the first with each later one, then the second, and so on; a bad file never stops the others.

    Each photo is read once, all of them before the first pair is given. `on_photo` is called with the name of each, for progress.
    """
    bundle = ready(bundle)
    comparison = bundle.comparison()
    looked = []
    for source, name in zip(sources, names or itertools.repeat(None), strict=names is not None):
        looked.append(_look(source, bundle, name))
        on_photo(looked[-1][0].source)
    for (one, first), (other, second) in itertools.combinations(looked, 2):
        yield _judge((one, other), (first, second), comparison, bundle.id)


def _look(source: Source, bundle: Bundle, name: str | None) -> tuple[Compared, Floats | None]:
    """A photo and the mean (dimension,) of its features, None if it cannot be judged."""
    manifest = bundle.manifest
    photo: Photo | None = None
    try:
        photo = read_photo(source, name=name)
        history = examine(photo)
        patches = cut_patches(photo, history, rule=manifest.rule, count=manifest.patch_count, size=manifest.patch_size)
    except PhotoError as error:
        sha256 = photo.sha256 if photo else error.sha256
        return Compared(name or describe(source), sha256, error.status, 0, (str(error),)), None
    compared = Compared(photo.source, photo.sha256, "ok", len(patches), history.words())
    return compared, mean_features(bundle.extract(patches))


def _judge(
    photos: tuple[Compared, Compared], means: tuple[Floats | None, Floats | None], comparison: Comparison | None, bundle: BundleId
) -> Likeness:
    support = Support(comparison.photos, comparison.cameras) if comparison else None
    first, second = means
    if first is None or second is None:
        failed = [photo for photo in photos if photo.status != "ok"]
        reason = "; ".join(dict.fromkeys(remark for photo in failed for remark in photo.remarks))
        return Likeness(photos, failed[0].status, None, None, reason, support, bundle)
    remarks = [f"{ordinal} photo: {remark}" for ordinal, photo in zip(_ORDINALS, photos, strict=True) for remark in photo.remarks]
    if comparison is None:
        return Likeness(photos, "ok", None, None, "; ".join((missing(bundle), *remarks)), None, bundle)
    log10_lr = round(comparison.log10_lr(first, second), 3) + 0.0  # a zero without a sign
    why = _explain(log10_lr, comparison)
    if photos[0].sha256 == photos[1].sha256:
        why.append("both are one and the same file")
    return Likeness(photos, "ok", log10_lr, in_words(log10_lr), "; ".join((*why, *remarks)), support, bundle)


def missing(bundle: BundleId) -> str:
    """The message that a bundle cannot compare photos, and what to do about it."""
    return f"{bundle.name} {bundle.version}: this bundle {_MISSING}; one enrolled from a bundle that holds one has it too"


def _explain(log10_lr: float, comparison: Comparison) -> list[str]:
    likelier, other = ("one camera model", "two") if log10_lr >= 0 else ("two camera models", "one")
    why = [f"such features are {10 ** abs(log10_lr):.3g} times as likely from {likelier} as from {other}"]
    if abs(log10_lr) >= round(comparison.limit, 3):
        why[0] += ", the most that the calibration supports"
    return [*why, f"calibrated on {comparison.photos} photos of {comparison.cameras} cameras that had not taught it"]


def in_words(log10_lr: float) -> str:
    """A likelihood ratio on ENFSI's scale; one at a border of two words gets the weaker."""
    strength = next(word for largest, word in SCALE if abs(log10_lr) <= math.log10(largest))
    if strength == SCALE[0][1]:
        return "supports neither one camera model nor two"
    return f"{strength} support for {'one camera model' if log10_lr > 0 else 'two different camera models'}"


def write_text(likenesses: Iterable[Likeness], out: TextIO) -> None:
    """What a person wants to read: a single pair at length, several as a table."""
    pairs = list(likenesses)
    out.write(to_text(pairs[0]) if len(pairs) == 1 else to_table(pairs))


def write_json(likenesses: Iterable[Likeness], out: TextIO) -> None:
    """A JSON list of pairs."""
    out.write("[")
    for number, likeness in enumerate(likenesses):
        out.write(("," if number else "") + "\n" + likeness.to_json())
    out.write("\n]\n")


def write_one_json(likenesses: Iterable[Likeness], out: TextIO) -> None:
    """A single pair as one JSON object."""
    for likeness in likenesses:
        out.write(likeness.to_json() + "\n")


def write_jsonl(likenesses: Iterable[Likeness], out: TextIO) -> None:
    """One pair a line."""
    for likeness in likenesses:
        out.write(likeness.to_json(indent=None) + "\n")


WRITERS: dict[str, Callable[[Iterable[Likeness], TextIO], None]] = {"text": write_text, "json": write_json, "jsonl": write_jsonl}


def to_text(likeness: Likeness) -> str:
    """One pair in words."""
    first, second = likeness.photos
    lines = [f"{visible(first.source)} - {visible(second.source)}"]
    if likeness.log10_lr is None:
        return "\n".join([*lines, f"  not compared{_status(likeness)}: {likeness.reason}", ""])
    lines.append(f"  {likeness.words[:1].upper()}{likeness.words[1:]}" if likeness.words else "")
    lines.append(f"  log10 LR:    {likeness.log10_lr:+.2f}")
    lines.append(f"  Patches:     {first.n_patches} and {second.n_patches}")
    lines.append(f"  Why:         {likeness.reason}")
    lines.append(f"  Bundle:      {likeness.bundle.name} {likeness.bundle.version}")
    return "\n".join([*lines, ""])


def to_table(likenesses: Sequence[Likeness]) -> str:
    """Many pairs, a line each, and then what is to be said of single photos; two of them at least."""
    widths = [max(len(visible(likeness.photos[side].source)) for likeness in likenesses) for side in (0, 1)]
    lines = [f"log10 LR  {'first':<{widths[0]}}  {'second':<{widths[1]}}  in words"]
    for likeness in likenesses:
        first, second = (f"{visible(photo.source):<{width}}" for photo, width in zip(likeness.photos, widths, strict=True))
        ratio = "-" if likeness.log10_lr is None else f"{likeness.log10_lr:+.2f}"
        lines.append(f"{ratio:>8}  {first}  {second}  {likeness.words or f'not compared{_status(likeness)}'}")
    photos = dict.fromkeys(photo for likeness in likenesses for photo in likeness.photos if photo.remarks)
    remarks = [f"{visible(photo.source)}: {'; '.join(photo.remarks)}" if photo.status == "ok" else photo.remarks[0] for photo in photos]
    return "\n".join([*lines, "", *remarks, *[""] * bool(remarks), _behind(likenesses[0]), ""])


def _behind(likeness: Likeness) -> str:
    support, bundle = likeness.calibrated_on, likeness.bundle
    if support is None:
        return missing(bundle)
    behind = f"{support.photos} photos of {support.cameras} cameras that had not taught it"
    return f"Calibrated on {behind}. Bundle: {bundle.name} {bundle.version}"


def _status(likeness: Likeness) -> str:
    return "" if likeness.status == "ok" else f" ({likeness.status})"
