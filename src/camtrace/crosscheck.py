"""A photo judged twice: which camera by its processing, which device by its sensor, and whether the two contradict each other.

The verdict is that of `identification`, the match that of `device`; neither changes the other. A device's camera is what the EXIF of
the photos that taught it claims. It is compared with the verdict only where a device is named: the nearest of others is no evidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TextIO

from camtrace.bundle import Bundle
from camtrace.claim import agrees
from camtrace.devices.device import DeviceMatch, match
from camtrace.devices.store import Database
from camtrace.identification import BundleLike, identify, ready
from camtrace.outputs import to_text as verdict_to_text
from camtrace.photo import Source, describe, read_bytes
from camtrace.types import UNKNOWN, Claim, Level, Mode, PhotoError, Status, Verdict, VotingWay

_SAME: dict[Level, str] = {"model": "the verdict's camera", "family": "one of the verdict's cameras", "maker": "of the verdict's maker"}
_NEXT_LINE = "\n" + " " * 15
_WHAT_IT_MEANS = "One of the two is wrong, or the photos that taught the device are not from the camera that their EXIF claims."


@dataclass(frozen=True)
class Crosscheck:
    """Verdict and device match of one photo."""

    verdict: Verdict
    match: DeviceMatch
    claims: tuple[str, ...] = ()  # makes and models that the EXIF claimed of the photos that taught the named device
    agrees: bool | None = None  # whether one of them is what the verdict names; None where there is nothing to compare

    @property
    def status(self) -> Status:
        """The verdict's: a photo that only cannot be matched is still judged."""
        return self.verdict.status


def crosscheck(
    source: Source,
    database: Database,
    *,
    bundle: BundleLike = None,
    patches: int | None = None,
    vote: VotingWay | None = None,
    mode: Mode = "balanced",
    name: str | None = None,
) -> Crosscheck:
    """Judge a photo by a bundle and match it with a database of devices; the options are those of `identify`.

    Raises
    ------
    BundleError, DeviceError
        The bundle or the database itself cannot be used, or the database holds no device.
    """
    bundle, name = ready(bundle), name or describe(source)
    with suppress(PhotoError):  # verdict and match each say so
        source = read_bytes(source, name)  # once: a stream cannot be read again
    verdict = identify(source, bundle=bundle, patches=patches, vote=vote, mode=mode, name=name)
    return match_beside(verdict, source, database, bundle, name=name)


def match_beside(verdict: Verdict, source: Source, database: Database, bundle: Bundle, *, name: str) -> Crosscheck:
    """Match a photo with a database where its verdict is there already; the source is read again."""
    found = match(source, database, name=name)
    claims = () if found.answer == UNKNOWN else database.find(found.answer).claims
    return Crosscheck(verdict, found, claims, agree(verdict, claims, bundle))


def crosscheck_many(
    sources: Iterable[Source],
    database: Database,
    *,
    bundle: BundleLike = None,
    patches: int | None = None,
    vote: VotingWay | None = None,
    mode: Mode = "balanced",
) -> Iterator[Crosscheck]:
    """One result for each source, in the order given; a bad file never stops the others."""
    bundle = ready(bundle)
    for source in sources:
        yield crosscheck(source, database, bundle=bundle, patches=patches, vote=vote, mode=mode)


def agree(verdict: Verdict, claims: Iterable[str], bundle: Bundle) -> bool | None:
    """Whether any of a device's claims names what the verdict does; None where none of them can be compared."""
    cameras = bundle.manifest.called(verdict.answer, verdict.answer_level)
    said = {agrees(Claim(model=claim), verdict.answer, level=verdict.answer_level, cameras=cameras) for claim in claims}
    return True if True in said else False if False in said else None


def write_text(found: Iterable[Crosscheck], out: TextIO) -> None:
    """What a person wants to read: each verdict, and under it the device."""
    for number, one in enumerate(found):
        out.write(("\n" if number else "") + to_text(one))
        out.flush()


def to_text(found: Crosscheck) -> str:
    """One photo in words: the verdict's lines, then what the database says; never a device without its numbers."""
    return verdict_to_text(found.verdict) + "".join(f"  {line}\n" for line in _lines(found))


def _lines(found: Crosscheck) -> Iterator[str]:
    result = found.match
    if result.status != "ok":
        same = result.reason == found.verdict.reason
        yield f"Device:      not matched ({result.status}){', for the same reason' if same else f': {result.reason}'}"
        return
    named = result.answer != UNKNOWN
    yield f"Device:      {device_in_words(result)}"
    yield f"Sensor:      {result.reason}"
    if named:
        yield f"Its camera:  {camera_in_words(found)}"
    yield from (f"Warning:     {warning}" for warning in result.warnings)


def device_in_words(result: DeviceMatch) -> str:
    """The device named, or the nearest and why it is not."""
    if not result.ranking:
        return "no device of the database"
    best = result.ranking[0]
    ratio = "likelihood ratio not calibrated for this case" if best.log10_lr is None else f"log10 LR {best.log10_lr:+.1f}"
    return f"{'' if result.answer == best.device else 'no device of the database; closest '}{best.device}, {ratio}"


def camera_in_words(found: Crosscheck) -> str:
    """What the EXIF of the device's photos claims, and how that goes with the verdict."""
    verdict = found.verdict
    if not found.claims:
        return "not known, since no EXIF of the photos that taught it names one"
    said = f"{' or '.join(found.claims)}, by the EXIF of the photos that taught it"
    if found.agrees is None:
        nothing = "the pixels name none" if verdict.answer == UNKNOWN else f"it cannot be compared with {verdict.answer}"
        return f"{said} - {nothing}, so nothing follows"
    if found.agrees:
        return f"{said} - {_SAME[verdict.answer_level]}"
    return f"{said} - CONTRADICTS the verdict: the pixels speak for {verdict.answer}{_NEXT_LINE}{_WHAT_IT_MEANS}"
