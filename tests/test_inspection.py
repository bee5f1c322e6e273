"""What a verdict rests on: the same verdict as `identify`, patches where they are, facts of the EXIF whoever wrote them."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

import camtrace
from camtrace.inspection import read_exif
from made import encode, noise


def _with_exif(facts: dict[int, object], deeper: dict[int, object] | None = None) -> bytes:
    exif = Image.Exif()
    exif.update(facts)
    if deeper:
        exif.get_ifd(0x8769).update(deeper)
    return encode(noise(64, 64), "JPEG", exif=exif)


def test_the_verdict_is_that_of_identify(bundle: camtrace.Bundle, photo: Path) -> None:
    for mode in ("careful", "guess"):
        assert camtrace.inspect(photo, bundle=bundle, mode=mode).verdict == camtrace.identify(photo, bundle=bundle, mode=mode)


def test_every_patch_has_its_vote_inside_the_photo(bundle: camtrace.Bundle, photo: Path) -> None:
    found = camtrace.inspect(photo.read_bytes(), bundle=bundle, name="questioned")
    with Image.open(photo) as image:
        width, height = image.size
    assert (found.width, found.height) == (width, height)
    assert len(found.patches) == found.verdict.n_patches > 1
    assert Counter(vote.camera for vote in found.patches) == {line.camera: line.votes for line in found.verdict.ranking if line.votes}
    assert len({(vote.row, vote.column) for vote in found.patches}) == len(found.patches)
    for vote in found.patches:
        assert 0 <= vote.row <= height - found.patch_size
        assert 0 <= vote.column <= width - found.patch_size
    assert found.verdict.reason.endswith("; ".join(found.history))


def test_a_stream_is_read_once(bundle: camtrace.Bundle, photo: Path) -> None:
    assert camtrace.inspect(io.BytesIO(photo.read_bytes()), bundle=bundle, name=str(photo)) == camtrace.inspect(photo, bundle=bundle)


def test_as_json_it_holds_the_whole_verdict(bundle: camtrace.Bundle, photo: Path) -> None:
    found = camtrace.inspect(photo, bundle=bundle)
    told = json.loads(json.dumps(found.to_dict()))
    assert told["verdict"] == found.verdict.to_dict()
    assert told["patches"][0] == {"row": found.patches[0].row, "column": found.patches[0].column, "camera": found.patches[0].camera}
    assert told["exif"] == {"Make": found.verdict.claim.make, "Model": found.verdict.claim.model}


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"no photo"])
def test_what_is_no_photo_has_a_status_and_nothing_else(data: bytes, bundle: camtrace.Bundle) -> None:
    found = camtrace.inspect(data, bundle=bundle)
    assert found.verdict.status == "unreadable"
    assert (found.width, found.height, found.patches, found.history, found.exif) == (None, None, (), (), {})


def test_a_missing_file_is_told_not_raised(tmp_path: Path, bundle: camtrace.Bundle) -> None:
    assert camtrace.inspect(tmp_path / "none.jpg", bundle=bundle).verdict.status == "unreadable"


def test_facts_of_both_parts_of_an_exif_are_told() -> None:
    data = _with_exif({0x010F: "Nikon", 0x0131: "GIMP 2.10", 0x8825: {1: "N"}}, {0x9003: "2026:01:02 03:04:05", 0x829D: 2.8})
    assert read_exif(data) == {
        "Make": "Nikon", "Software": "GIMP 2.10", "DateTimeOriginal": "2026:01:02 03:04:05", "FNumber": "2.8", "GPSInfo": "present",
    }  # fmt: skip


def test_hostile_facts_are_short_and_printable() -> None:
    facts = read_exif(_with_exif({0x010E: "x" * 5000, 0x010F: "a\x1b[31mb\nc"}))
    assert facts["Make"] == "a[31mbc"
    assert len(facts["ImageDescription"]) == 203
    assert read_exif(_with_exif({0x010F: "Nikon"})[:40]) == {}


def _exif_segment(payload: bytes) -> bytes:
    return b"\xff\xe1" + (len(payload) + 8).to_bytes(2) + b"Exif\0\0" + payload


def test_an_exif_made_to_do_harm_tells_nothing() -> None:
    """As for the claim: 2,000 segments would take Pillow a minute to join."""
    data = _with_exif({0x010F: "Nikon"})
    assert read_exif(data)["Make"] == "Nikon"
    many = data[:2] + data[2 : data.index(b"\xff\xdb")] + _exif_segment(bytes(65_000)) * 17 + data[data.index(b"\xff\xdb") :]
    assert read_exif(many) == {}


@pytest.mark.parametrize(("entries", "facts"), [(1, {"Make", "FNumber"}), (2000, {"Make"})])
def test_a_deeper_directory_whose_entries_share_their_bytes_is_left_alone(entries: int, facts: set[str]) -> None:
    """Each of 2,000 entries of a directory points at the same 30,000 bytes."""
    first = b"".join(part.to_bytes(size, "little") for part, size in ((2, 2), (0x010F, 2), (2, 2), (4, 4), (0x006E6F43, 4)))
    first += b"".join(part.to_bytes(size, "little") for part, size in ((0x8769, 2), (4, 2), (1, 4), (38, 4), (0, 4)))
    number = [(0x829D, 2), (5, 2), (1, 4), (26_000, 4)]
    shared = [[(60_000 + at % 5000, 2), (7, 2), (30_000, 4), (26_000, 4)] for at in range(entries)]
    second = (entries + 1).to_bytes(2, "little") + b"".join(
        part.to_bytes(size, "little") for row in (number, *shared) for part, size in row
    )
    tiff = (b"II*\0" + (8).to_bytes(4, "little") + first + second + bytes(4)).ljust(26_000, b"\0") + b"\x01\0\0\0" * 8000
    data = encode(noise(64, 64), "JPEG")
    assert set(read_exif(data[:2] + _exif_segment(tiff) + data[2:])) == facts
