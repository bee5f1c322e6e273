"""What stands where on a report: entries and document -> plain structures that the template prints.

Sections keep one order, so that a reader finds in every report the same thing in the same place: what was asked, what was found, how to
read a likelihood ratio, each photo, error rates and limits, method, custody, how to check it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any

from camtrace.crosscheck import Crosscheck, camera_in_words, device_in_words
from camtrace.inspection import Inspection
from camtrace.reports import words
from camtrace.reports.pictures import data_uri
from camtrace.reports.verbal import CITATION, NONE, bands, ratio_in_words, strength
from camtrace.reports.words import Table
from camtrace.tampering.alarm import read_measured
from camtrace.tampering.localization import Localization
from camtrace.types import UNKNOWN, Claim

if TYPE_CHECKING:
    from markupsafe import Markup

    from camtrace.manifest import Manifest

_DEVICES = 5
_QUESTION = "Which camera model took {photos}? Does what the EXIF claims agree with what the pixels show?"
_ELSEWHERE = "Does any part of {one} come from another camera or another processing history?"
_WHOSE = "Which device of the database of devices took {photos}?"
_NO_DATA = "not known"


@dataclass(frozen=True)
class Entry:
    """One photo of a report."""

    file: dict[str, Any]  # name, size, sha256, read and modified (UTC), of the file as it was judged
    inspection: Inspection
    localization: Localization | None
    device: Crosscheck | None
    patches: bytes | None  # the photo with its patches, JPEG
    map: bytes | None  # its tamper map, JPEG

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values; `verdict` is exactly that of `identify`."""
        device = self.device
        return {
            "file": self.file,
            **self.inspection.to_dict(),
            "localization": self.localization.to_dict() if self.localization else None,
            "device": {"match": device.match.to_dict(), "claims": list(device.claims), "agrees": device.agrees} if device else None,
        }


def lay_out(document: Mapping[str, Any], entries: Sequence[Entry], manifest: Manifest, *, command: str) -> dict[str, Any]:
    """Everything the template needs, as text, tables and pictures."""
    mode = document["options"]["mode"]
    calibrated = manifest.calibration is not None
    return {
        "title": f"Report on the camera model of {_photos(len(entries))}",
        "made": _time(document["made"]),
        "case": document["case"],
        "examiner": document["examiner"],
        "asked": list(_asked(document, len(entries))),
        "sections": [_section(number, entry, manifest) for number, entry in enumerate(entries, 1)],
        "summary": _summary(entries) if len(entries) > 1 else None,
        "calibrated": calibrated,
        "scale": _scale(entries),
        "citation": CITATION,
        "population": words.population(manifest),
        "bundle": f"{manifest.name} {manifest.version}",
        "cameras": len(manifest.cameras),
        "mode": mode,
        "rates": list(words.error_rates(manifest, mode)),
        "map_rates": _map_rates() if document["options"]["localize"] else "",
        "patch_count": manifest.patch_count,
        "patch_size": manifest.patch_size,
        "custody": _custody(document),
        "versions": _versions(document),
        "hashes": _hashes(document),
        "command": command,
    }


def readable(value: object) -> object:
    """Text without characters that hide, reorder or cannot be written: each is shown by its number; line feeds stay."""
    if type(value) is not str:  # what is marked as safe is of a class of its own
        return value
    return "".join(letter if letter.isprintable() or letter == "\n" else f"\\u{ord(letter):04x}" for letter in value)


def as_data(text: str) -> Markup:
    """Text that `report.dump` made safe for a page."""
    from markupsafe import Markup

    return Markup(text)


def _photos(count: int) -> str:
    return "a photograph" if count == 1 else f"{count} photographs"


def _short_name(name: str) -> str:
    """The last part of a path, of any system: the whole stands in the table of the file."""
    return PureWindowsPath(name).name or name


def _time(stamp: str | None) -> str:
    return _NO_DATA if stamp is None else stamp.replace("T", " ").replace("Z", " UTC")


def _asked(document: Mapping[str, Any], count: int) -> Iterator[str]:
    photos = "the photograph" if count == 1 else "each of the photographs"
    yield document["question"] or _QUESTION.format(photos=photos)
    if document["options"]["localize"]:
        yield _ELSEWHERE.format(one="the photograph" if count == 1 else "any of them")
    if document["device_db"] is not None:
        yield _WHOSE.format(photos=photos)


def _section(number: int, entry: Entry, manifest: Manifest) -> dict[str, Any]:
    found = entry.inspection
    verdict = found.verdict
    judged = verdict.status == "ok"
    return {
        "number": number,
        "name": _short_name(entry.file["name"]),
        "judged": judged,
        "finding": words.describe(verdict, manifest.calibration),
        "propositions": words.propositions(verdict, manifest) if judged and verdict.log10_lr is not None else None,
        "file": _file(entry),
        "picture": data_uri(entry.patches) if entry.patches else None,
        "picture_text": words.picture_text(found) if judged else "",
        "votes": words.votes(found) if judged else None,
        "ranking": words.ranking(verdict, manifest) if judged else None,
        "about": list(words.about_camera(verdict, manifest)),
        "exif": Table("Facts that the EXIF states", ("field", "value"), tuple(found.exif.items())) if found.exif else None,
        "history": found.history,
        "map": _map(entry.localization, entry.map),
        "device": _device(entry.device),
    }


def _file(entry: Entry) -> Table:
    file, found = entry.file, entry.inspection
    size = _NO_DATA if file["size"] is None else f"{file['size']:,} bytes"
    pixels = _NO_DATA if found.width is None else f"{found.width} x {found.height}"
    rows = (
        ("file", file["name"]),
        ("size", size),
        ("pixels, width x height", pixels),
        ("SHA-256", file["sha256"] or _NO_DATA),
        ("read", _time(file["read"])),
        ("last changed, as the file system says", _time(file["modified"])),
    )
    return Table("The file", ("property", "value"), rows)


def _summary(entries: Sequence[Entry]) -> Table:
    rows = []
    for number, entry in enumerate(entries, 1):
        verdict = entry.inspection.verdict
        ratio = "none" if verdict.log10_lr is None else f"{ratio_in_words(verdict.log10_lr)} ({words.sense(verdict.log10_lr)})"
        closest = verdict.best or "none"
        rows.append((f"{number}. {_short_name(entry.file['name'])}", words.headline_of(verdict), closest, ratio, *_short(entry)))
    head = ("photo", "answer", "closest model", "likelihood ratio for it", "EXIF claim", "tamper map")
    return Table("All photographs at a glance", head, tuple(rows))


def _short(entry: Entry) -> tuple[str, str]:
    verdict, where = entry.inspection.verdict, entry.localization
    agreement = {True: "agrees", False: "disagrees", None: "nothing follows"}[verdict.claim_agrees]
    claim = "none" if verdict.claim == Claim() else agreement
    if verdict.status != "ok" or (where is not None and where.status != "ok"):
        return claim, "not judged"
    alarm = "not asked" if where is None else "ALARM" if where.alarm else "no alarm"
    return claim, alarm


def _scale(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The verbal scale, each line with the photos that it applies to."""
    ratios = [entry.inspection.verdict.log10_lr for entry in entries]
    said = [None if ratio is None else (strength(ratio), ratio > 0) for ratio in ratios]

    def where(word: str, sides: tuple[bool, ...]) -> str:
        return ", ".join(str(number) for number, one in enumerate(said, 1) if one and one[0] == word and one[1] in sides)

    return [
        {
            "range": band.range,
            "inverse": band.inverse,
            "word": "no support for either proposition" if band.word == NONE else f"{band.word} support",
            "first": where(band.word, (True, False) if band.word == NONE else (True,)),
            "second": "" if band.word == NONE else where(band.word, (False,)),
        }
        for band in bands()
    ]


def _map(found: Localization | None, picture: bytes | None) -> dict[str, Any] | None:
    if found is None:
        return None
    rows = tuple(
        (str(number), _box(region.box), _probability(region.probability), region.reason)
        for number, region in enumerate(found.regions, 1)
    )
    regions = Table("Areas that do not fit the rest", ("area", "where, in pixels", "probability to be foreign", "why"), rows)
    return {
        "headline": "Not judged" if found.status != "ok" else "Alarm" if found.alarm else "No alarm",
        "reason": found.reason,
        "remarks": found.remarks,
        "regions": regions if rows else None,
        "picture": data_uri(picture) if picture else None,
        "picture_text": (
            "The photo in grey with the map over it: from dark blue, which fits the rest, to yellow, which does not; hatched where "
            f"there is no data. {_outlined(found)}"
        ),
    }


def _box(box: tuple[int, int, int, int]) -> str:
    left, top, right, bottom = box
    return f"x {left} to {right}, y {top} to {bottom}"


def _outlined(found: Localization) -> str:
    count = len(found.regions)
    if not found.alarm:
        return "No area is outlined: without an alarm the colours are no finding."
    return "One area is outlined." if count == 1 else f"{count} areas are outlined."


def _probability(value: float | None) -> str:
    return "not calibrated" if value is None else f"{value:.0%}"


def _map_rates() -> str:
    measured = read_measured()
    return (
        f"The tamper map's threshold of {measured.threshold:.2f} was set on {measured.genuine} genuine photos, of which "
        f"{measured.alarms} reach it."
    )


def _device(found: Crosscheck | None) -> dict[str, Any] | None:
    if found is None:
        return None
    result = found.match
    rows = tuple(
        (one.device, f"{one.pce:.1f}", f"{one.p_value:.1e}", "not calibrated" if one.log10_lr is None else ratio_in_words(one.log10_lr))
        for one in result.ranking[:_DEVICES]
    )
    ranking = Table("The closest devices of the database", ("device", "PCE", "p-value", "likelihood ratio"), rows)
    judged = result.status == "ok"
    named = judged and result.answer != UNKNOWN
    return {
        "headline": _capital(words.plain(device_in_words(result))) if judged else f"Not matched ({result.status})",
        "reason": result.reason,
        "camera": words.plain(camera_in_words(found)) if named else "",
        "rates": _device_rates(result.threshold),
        "ranking": ranking if rows else None,
        "warnings": result.warnings,
        "not_searched": result.searched.get("not_searched", []),
    }


def _capital(text: str) -> str:
    """With a capital, unless a device's name begins it."""
    return f"N{text[1:]}" if text.startswith("no device") else text


def _device_rates(threshold: Mapping[str, Any]) -> str:
    if not threshold:
        return ""
    return (
        f"The threshold is a PCE (peak to correlation energy) of {threshold['pce']:g}; {threshold['false_alarms']} of "
        f"{threshold['non_matching']} measured comparisons with other devices reached it (95 % limit {threshold['rate_at_most']:.2%})."
    )


def _custody(document: Mapping[str, Any]) -> Table:
    files = [photo["file"] for photo in document["photos"]]
    rows = tuple(
        (
            f"{number}. {file['name']}",
            _NO_DATA if file["size"] is None else f"{file['size']:,}",
            file["sha256"] or _NO_DATA,
            _time(file["read"]),
            _time(file["modified"]),
        )
        for number, file in enumerate(files, 1)
    )
    return Table("The files that were examined", ("photo", "bytes", "SHA-256", "read", "last changed"), rows)


def _versions(document: Mapping[str, Any]) -> Table:
    software = document["software"].items()
    return Table("Versions", ("what", "version"), tuple((name, value or "not installed") for name, value in software))


def _hashes(document: Mapping[str, Any]) -> Table:
    bundle, devices = document["bundle"], document["device_db"]
    rows = [("camtrace, all its files", document["program"]["sha256"])]
    whole = f"bundle {bundle['name']} {bundle['version']}"
    rows += [(f"{whole}, manifest.json", bundle["manifest_sha256"] or _NO_DATA)]
    rows += [(f"{whole}, {name}", value) for name, value in sorted(bundle["files"].items())]
    rows += [] if devices is None else [(f"database of devices {devices['folder']}, its manifest", devices["manifest_sha256"])]
    return Table("SHA-256 of program and models", ("what", "SHA-256"), tuple(rows))
