"""Random damage to JPEGs, and what a file system can hold that is no photo; files of known kinds are in `nasty.py`.

`mutated` is a function of a number alone: the same number is the same damage to the same photo, so what is found can be made again.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nasty import APP1, DHT, DQT, EOI, SOF, SOF_PROGRESSIVE, SOS, bases, patched, segments

Rng = np.random.Generator
Way = Callable[[bytes, Rng], bytes]


def mutated(number: int) -> tuple[str, bytes]:
    """The way of damage, one of WAYS in turn, and a JPEG of `nasty.bases` damaged by it one to three times."""
    rng = np.random.default_rng([20261122, number])
    names = tuple(WAYS)
    name = names[number % len(names)]
    data = bases()[int(rng.integers(len(bases())))]
    for _ in range(int(rng.integers(1, 4))):
        data = WAYS[name](data, rng)
    return name, data


def _some(data: bytes, rng: Rng, *, longest: int = 400) -> tuple[int, int]:
    """A random piece: half of them in the first 700 bytes, where the header is."""
    start = int(rng.integers(min(len(data), 700 if rng.random() < 0.5 else len(data)) + 1))
    return start, min(len(data), start + int(rng.integers(1, longest)))


def _flip_bits(data: bytes, rng: Rng) -> bytes:
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        at = _some(data, rng)[0]
        if at < len(changed):
            changed[at] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _set_bytes(data: bytes, rng: Rng) -> bytes:
    start, end = _some(data, rng, longest=9)
    return data[:start] + bytes([int(rng.choice([0x00, 0x7F, 0xD9, 0xDA, 0xFF]))]) * (end - start) + data[end:]


def _cut_out(data: bytes, rng: Rng) -> bytes:
    start, end = _some(data, rng)
    return data[:start] + data[end:]


def _put_in(data: bytes, rng: Rng) -> bytes:
    start, end = _some(data, rng)
    return data[:start] + rng.bytes(end - start) + data[start:]


def _repeat(data: bytes, rng: Rng) -> bytes:
    start, end = _some(data, rng, longest=3000)
    return data[:end] + data[start:end] * int(rng.integers(1, 20)) + data[end:]


def _cut_short(data: bytes, rng: Rng) -> bytes:
    cut = data[: _some(data, rng)[0]]
    return cut + EOI if rng.random() < 0.3 else cut


def _wrong_length(data: bytes, rng: Rng) -> bytes:
    _, start, _ = _any_segment(data, rng)
    lengths = (0, 1, 2, 3, 17, 255, 0x7FFF, 0xFFFF, int(rng.integers(65536)))
    return patched(data, start + 2, lengths[int(rng.integers(len(lengths)))].to_bytes(2))


def _break_table(data: bytes, rng: Rng) -> bytes:
    return _inside(data, rng, (DHT, DQT))


def _break_frame(data: bytes, rng: Rng) -> bytes:
    return _inside(data, rng, (SOF, SOF_PROGRESSIVE))


def _break_scan_header(data: bytes, rng: Rng) -> bytes:
    return _inside(data, rng, (SOS,))


def _break_exif(data: bytes, rng: Rng) -> bytes:
    return _inside(data, rng, (APP1,))


def _inside(data: bytes, rng: Rng, markers: tuple[int, ...]) -> bytes:
    """Random bytes within a segment of one of these markers, or of any."""
    chosen = [one for one in _whole_segments(data) if one[0] in markers] or _whole_segments(data)
    changed = bytearray(data)
    if chosen:
        _, start, end = chosen[int(rng.integers(len(chosen)))]
        for _ in range(int(rng.integers(1, 6))):
            at = int(rng.integers(start + 4, max(end, start + 5)))
            changed[min(at, len(changed) - 1)] = int(rng.integers(256))
    return bytes(changed)


def _drop_segment(data: bytes, rng: Rng) -> bytes:
    _, start, end = _any_segment(data, rng)
    return data[:start] + data[end:]


def _double_segment(data: bytes, rng: Rng) -> bytes:
    _, start, end = _any_segment(data, rng)
    return data[:end] + data[start:end] * int(rng.integers(1, 30)) + data[end:]


def _swap_segments(data: bytes, rng: Rng) -> bytes:
    (_, a, b), (_, c, d) = sorted((_any_segment(data, rng), _any_segment(data, rng)), key=lambda one: one[1])
    return data[:a] + data[c:d] + data[b:c] + data[a:b] + data[d:] if b <= c else data


def _change_marker(data: bytes, rng: Rng) -> bytes:
    return patched(data, _any_segment(data, rng)[1] + 1, bytes([int(rng.integers(0xC0, 0x100))]))


def _splice(data: bytes, rng: Rng) -> bytes:
    other = bases()[int(rng.integers(len(bases())))]
    return data[: _some(data, rng)[0]] + other[_some(other, rng)[0] :]


def _break_pixels(data: bytes, rng: Rng) -> bytes:
    changed = bytearray(data)
    for at in rng.integers(len(data) // 8, len(data), int(rng.integers(1, 200))):
        changed[int(at)] = int(rng.integers(256))
    return bytes(changed)


def _put_in_restarts(data: bytes, rng: Rng) -> bytes:
    at = int(rng.integers(len(data) // 8, len(data)))
    return data[:at] + bytes([0xFF, 0xD0 + int(rng.integers(8))]) * int(rng.integers(1, 50)) + data[at:]


def _whole_segments(data: bytes) -> list[tuple[int, int, int]]:
    return [one for one in segments(data) if one[2] <= len(data)]


def _any_segment(data: bytes, rng: Rng) -> tuple[int, int, int]:
    found = _whole_segments(data) or [(0, 0, min(len(data), 4))]
    return found[int(rng.integers(len(found)))]


WAYS: dict[str, Way] = {
    "bits flipped": _flip_bits,
    "bytes set": _set_bytes,
    "bytes cut out": _cut_out,
    "noise put in": _put_in,
    "a piece many times": _repeat,
    "cut short": _cut_short,
    "wrong length": _wrong_length,
    "broken table": _break_table,
    "broken frame": _break_frame,
    "broken scan header": _break_scan_header,
    "broken EXIF": _break_exif,
    "segment missing": _drop_segment,
    "segment many times": _double_segment,
    "segments swapped": _swap_segments,
    "other marker": _change_marker,
    "two files spliced": _splice,
    "broken pixels": _break_pixels,
    "restarts put in": _put_in_restarts,
}


def plant(folder: Path) -> dict[str, Path]:
    """What is no file, cannot be read or has a strange name, in a folder; what this system does not allow is left out."""
    planted: dict[str, Path] = {}
    sound = bases()[0]

    def put(name: str, make: Callable[[Path], object], *, file: str = "") -> None:
        path = folder / (file or f"{name}.jpg".replace(" ", "-"))
        try:
            make(path)
        except (OSError, NotImplementedError, AttributeError, ValueError):
            return
        planted[name] = path

    put("folder", lambda path: path.mkdir())
    put("FIFO", lambda path: os.mkfifo(path))
    put("socket", _make_socket)
    put("link to itself", lambda path: path.symlink_to(path.name))
    put("link to nothing", lambda path: path.symlink_to("nowhere"))
    put("endless device", lambda path: path.symlink_to("/dev/zero"))
    put("silent device", lambda path: path.symlink_to("/dev/null"))
    put("large and empty", lambda path: _make_sparse(path, 700_000_000))
    put("sound, name of two lines", lambda path: path.write_bytes(sound), file="a\nb.jpg")
    put("sound, name that steers", lambda path: path.write_bytes(sound), file="\x1b[31mred\u202egpj.jpg")
    put("sound, name of dashes", lambda path: path.write_bytes(sound), file="--force.jpg")
    if sys.platform == "linux":
        put("sound, name that is no text", lambda path: path.write_bytes(sound), file=os.fsdecode(b"\xff\xfe.jpg"))
    return planted


def _make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.fspath(path))


def _make_sparse(path: Path, size: int) -> None:
    with path.open("wb") as stream:
        stream.truncate(size)
