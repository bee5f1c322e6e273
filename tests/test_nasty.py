"""Whatever is fed to it, `identify` ends in a status: no crash, within bounds of time and memory."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import camtrace
from camtrace import screening
from camtrace.bundle import load_bundle
from camtrace.photo import find_photos, read_photo
from camtrace.types import Claim, PhotoError, Verdict
from nasty import KINDS, SOS, after_soi, bases, corpus, exif, jpeg, picture, scan_bomb, segment, segments
from nasty_mutations import WAYS, mutated, plant

SECONDS = 20  # for one file; on an idle machine the slowest takes 0.3 s
HERE = Path(__file__).parent


@cache
def shipped() -> camtrace.Bundle:
    return load_bundle(threads=1)


def judged(source: Any) -> Verdict:
    """The verdict, once it is sure that it is one, came in time, and is JSON without NaN."""
    began = time.monotonic()
    verdict = camtrace.identify(source, bundle=shipped())
    assert time.monotonic() - began < SECONDS
    assert verdict.status in ("ok", "unreadable", "too_small", "no_usable_patches")
    assert verdict.reason
    json.loads(verdict.to_json(), parse_constant=pytest.fail)
    return verdict


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_nasty_file_ends_in_a_status(kind: str) -> None:
    files = [one for one in corpus_once() if one.kind == kind]
    assert files
    for one in files:
        judged(one.data)


@cache
def corpus_once() -> tuple[Any, ...]:
    return tuple(corpus())


def test_the_corpus_is_the_same_every_time() -> None:
    assert bases() == bases.__wrapped__()
    assert scan_bomb(50) == scan_bomb(50)
    assert mutated(7) == mutated(7)
    assert {mutated(number)[0] for number in range(len(WAYS))} == set(WAYS)


@pytest.mark.parametrize(
    ("kind", "name", "status"),
    [
        *[("coded", f"sound {form}", "ok") for form in ("4:2:0", "4:4:4", "4:2:2", "progressive", "restarts", "4:4:0", "4:1:1")],
        ("coded", "12 bits", "unreadable"),
        ("coded", "factors 14", "unreadable"),  # simplejpeg has no name for it: a KeyError once
        ("exif", "ring", "ok"),
        ("exif", "one over another", "ok"),
        ("several_pictures", "MPO", "ok"),
        ("several_pictures", "with a film behind", "ok"),
        ("thumbnails", "larger than the photo", "ok"),
        ("scan_bombs", "5000 scans", "unreadable"),
        ("scan_bombs", "baseline, 500 scans", "unreadable"),  # libjpeg refuses the second one
        ("tiff", "chain of 50,000", "unreadable"),  # counting its frames was a TypeError once
        ("hardly_files", "too small", "too_small"),
        ("hardly_files", "white", "no_usable_patches"),
        ("hardly_files", "one patch", "ok"),
        ("other_formats", "PostScript", "unreadable"),
    ],
)
def test_what_becomes_of_some(kind: str, name: str, status: str) -> None:
    (one,) = (one for one in corpus_once() if (one.kind, one.name) == (kind, name))
    assert judged(one.data).status == status


def test_hundreds_of_mutated_jpegs() -> None:
    outcomes = {judged(mutated(number)[1]).status for number in range(0, 100_000, 700)}
    assert {"ok", "unreadable"} <= outcomes


@settings(max_examples=150)
@given(st.integers(0, len(bases()) - 1), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), st.binary(max_size=6)), max_size=5))
def test_any_damage_ends_in_a_status(base: int, edits: list[tuple[float, int, bytes]]) -> None:
    data = bases()[base]
    for place, gone, new in edits:
        at = int(place**3 * len(data))  # mostly in the header
        data = data[:at] + new + data[at + gone :]
    judged(data)


@settings(max_examples=50)
@given(st.binary(max_size=300))
def test_any_exif_ends_in_a_status(body: bytes) -> None:
    judged(after_soi(bases()[1], segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0" + body)))


def test_what_is_no_file_ends_in_a_status(tmp_path: Path) -> None:
    planted = plant(tmp_path)
    assert {"folder", "FIFO", "link to itself", "endless device"} <= set(planted) or sys.platform == "win32"
    for name, path in planted.items():
        verdict = judged(path)
        assert verdict.status == ("ok" if name.startswith("sound") else "unreadable"), name
        assert "\n" not in verdict.reason
        assert "\x1b" not in verdict.reason
    assert {*find_photos(tmp_path)} == {path for name, path in planted.items() if name.startswith(("sound", "large"))}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("folder", "Is a directory"),
        ("FIFO", "a FIFO, expected a file; to read what a program writes, give -"),
        ("socket", "a socket, expected a file"),
        ("endless device", "a device, expected a file"),
        ("large and empty", "700,000,000 bytes, more than the 600,000,000 bytes that are read at most"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="no FIFOs, sockets or devices on Windows; run it on Linux or macOS")
def test_why_it_is_no_file(tmp_path: Path, name: str, reason: str) -> None:
    assert reason in judged(plant(tmp_path)[name]).reason


class Endless(io.RawIOBase):
    """A stream that never ends, and says how much was taken from it."""

    taken = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        buffer[:] = b"\xff" * len(buffer)
        self.taken += len(buffer)
        return len(buffer)


def test_an_endless_stream_is_given_up() -> None:
    stream = Endless()
    with pytest.raises(PhotoError, match="more than the 5,000,000 bytes that are read at most"):
        read_photo(io.BufferedReader(stream), max_bytes=5_000_000)
    assert stream.taken < 8_000_000


def test_a_file_that_grows_is_given_up_and_one_that_goes_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, fstat = tmp_path / "a.jpg", os.fstat
    path.write_bytes(bases()[0])

    def meanwhile(handle: int) -> Any:
        found = fstat(handle)
        path.unlink()
        return found

    monkeypatch.setattr("camtrace.safe_files.os.fstat", meanwhile)
    assert judged(path).status == "ok"

    def grown(handle: int) -> Any:
        found = fstat(handle)
        with path.open("ab") as stream:
            stream.write(bytes(2_000_000))
        return found

    path.write_bytes(bases()[0])
    monkeypatch.setattr("camtrace.safe_files.os.fstat", grown)
    with pytest.raises(PhotoError, match="more than the 1,000,000 bytes"):
        read_photo(path, max_bytes=1_000_000)


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux tells the peak of one program's memory")
def test_bombs_stay_within_memory() -> None:
    """A process that may have 1.2 GB of addresses judges the worst of them; ru_maxrss would count the process that started it."""
    script = (
        f"import resource, sys; sys.path.insert(0, {str(HERE)!r})\n"
        "import camtrace, nasty\n"
        "bundle, files = camtrace.load_bundle(threads=1), nasty.corpus()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1200 << 20, 1200 << 20))\n"
        "kinds = ('scan_bombs', 'promised_sizes', 'png', 'tiff', 'exif')\n"
        "print(*{camtrace.identify(one.data, bundle=bundle).status for one in files if one.kind in kinds})\n"
        "print(next(int(line.split()[1]) // 1024 for line in open('/proc/self/status') if line.startswith('VmHWM')))\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    statuses, peak = run.stdout.splitlines()
    assert "unreadable" in statuses
    assert int(peak) < 700


def test_scans_are_counted() -> None:
    once = bases()[0]
    progressive = sum(marker == SOS for marker, _, _ in segments(bases()[3]))
    assert (screening.count_scans(once), screening.count_scans(bases()[3])) == (1, progressive)
    assert progressive == 10
    assert screening.count_scans(scan_bomb(50, 64)) == 59
    assert screening.count_scans(once + once) == 1, "what comes behind the end is no scan"
    assert screening.count_scans(after_soi(once, segment(0xE5, b"\xff\xda\0\4" * 500))) == 1, "nor what is in a segment"
    assert screening.count_scans(scan_bomb(5000, 64)) == screening.MAX_SCANS + 1
    assert screening.count_scans(b"\xff\xd8\xff\xd9") == 0


def test_only_what_libjpeg_decodes_in_several_scans_is_searched_for_them() -> None:
    def one(data: bytes) -> bool:
        return screening._is_one_scan(data, list(screening.header_segments(data)))

    plain, progressive = jpeg(picture()), jpeg(picture(), progressive=True)
    assert one(plain)
    assert one(after_soi(plain, segment(0xE5, b"\xff" * 9) + b"\xff" * 7)), "fill bytes move what follows"
    assert not one(progressive)
    start = next(start for marker, start, _ in segments(plain) if marker == SOS)
    assert not one(plain[: start + 4] + b"\1" + plain[start + 5 :]), "a scan of the first colour: two others are to come"
    frame = next(start for marker, start, _ in segments(plain) if marker == 0xC0)
    assert not one(after_soi(plain, plain[frame : frame + 19])), "two frames"
    assert not one(b"\xff\xd8\xff\xd9")
    assert not one(plain[:start]), "no scan at all"


def test_burdens_are_those_of_size_and_scans() -> None:
    data = scan_bomb(91, 64)  # 9 before them
    assert screening.find_burden(data, 64, 64) is None
    assert screening.find_burden(data, 8000, 8000) == f"{len(data)} bytes cannot hold the 8000x8000 pixels that its header promises"
    padded = data + bytes(100_000)
    assert screening.find_burden(padded, 7746, 7745) is None  # 100 scans of just under 60 megapixels
    assert screening.find_burden(padded, 7746, 7747) == "100 scans of 7746x7747 pixels would take too long to decode"
    assert screening.find_burden(scan_bomb(92, 64), 64, 64) == "more than 100 scans, expected one, or about ten of a progressive photo"


def test_the_short_header_tells_what_the_whole_does() -> None:
    for data in bases():
        assert len(screening.short_header(data)) < 2000
        photo, plain = read_photo(data), Claim("Aurora", "A100")
        assert photo.claim in (plain, Claim())
        assert photo.quantization
    assert read_photo(bases()[0]).claim == Claim("Aurora", "A100")
    assert read_photo(bases()[0]).software == "Firmware 1.0"


def test_claims_are_fit_to_be_shown() -> None:
    make = b"\x1b[2J\xe2\x80\xaegninnur\nCanon\0"
    photo = read_photo(after_soi(bases()[1], segment(0xE1, exif([(0x010F, 2, len(make), 26)], make))))
    assert photo.claim.make is not None
    assert photo.claim.make.isprintable()
    assert photo.claim.make.endswith("Canon")
    long = read_photo(after_soi(bases()[1], segment(0xE1, exif([(0x010F, 2, 60_000, 26)], b"M" * 60_000)))).claim.make
    assert long == "M" * 197 + "..."


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Nikon D90", "Nikon D90"),
        ("Größe 写真 📷", "Größe 写真 📷"),
        ("a\nb\tc\r", "a\\nb\\tc\\r"),
        ("\x1b[31m\x9b\x07", "\\x1b[31m\\x9b\\x07"),
        ("\u202egpj.exe\u2066\u200f", "\\u202egpj.exe\\u2066\\u200f"),
        ("\u2028", "\\u2028"),
        ("\udcff", "\udcff"),
    ],
)
def test_visible_text(text: str, shown: str) -> None:
    assert screening.visible(text) == shown


def test_long_text_is_cut() -> None:
    assert screening.visible("x" * 11, longest=10) == "xxxxxxx..."
    assert screening.visible("x" * 10, longest=10) == "x" * 10


def test_pixels_of_other_formats_come_in_parts_and_whole() -> None:
    """They are copied 256 rows at a time: the seams are where they belong."""
    pixels = picture(3, 600)[:, :70]
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    np.testing.assert_array_equal(read_photo(stream.getvalue()).pixels, pixels)
    assert judged(jpeg(pixels)).status == "ok"
