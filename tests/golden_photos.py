"""Photos of every kind that the static page must judge as Python does, what Python says of them, and where both meet: JSON files."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import math
import struct
import zlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from camtrace import calibration, history, likeness
from camtrace.bundle import REFERENCES, Bundle
from camtrace.claim import agrees
from camtrace.inspection import inspect
from camtrace.photo import decode_photo
from camtrace.screening import visible
from camtrace.types import Claim, Level, Mode
from camtrace.web.export import bundle_files
from made import different_cameras, encode, made_photo, noise

SUBSAMPLINGS = ("444", "422", "420", "440", "411")
OTHER_MODES: tuple[tuple[Mode, ...], ...] = (("balanced", "guess"), ("careful",))
_Question = tuple[str | None, str | None, str, Level, tuple[str, ...]]
_SHARED = (
    *("BLOCK", "SMALLEST", "WINDOW", "WINDOWS", "NEEDED", "NEEDED_CHROMA", "PROGRAMS_UP_TO", "EDITORS"),
    *("_NEAR_ZERO", "_NEAR_ZERO_CHROMA", "_RIVALS"),
)


def photos() -> dict[str, bytes]:
    """Files by name: judged ones, some with an EXIF, and such as cannot be judged."""
    first, second, *_ = different_cameras()
    jpeg = made_photo(first, 900, size=256)
    image = Image.open(io.BytesIO(jpeg)).convert("RGB")
    bare = encode(image, "JPEG")
    size = bare.index(b"\xff\xc0") + 5
    return {
        "untouched.jpg": jpeg,
        "other.jpg": made_photo(second, 901, size=256),
        "resaved.jpg": encode(image, "JPEG", quality=80, exif=_exif("NIKON CORPORATION", "NIKON D90", "Adobe Photoshop CS6")),
        "off-grid.png": encode(image.crop((13, 27, 230, 220)), "PNG", exif=_exif("Zorki", "4", "firmware 1.0")),
        "saved-as.png": encode(image.crop((0, 0, 160, 200)), "PNG", exif=_exif("Canon", None, None)),
        "resized.png": encode(image.resize((201, 200)), "PNG"),
        "tiny.jpg": encode(image.crop((0, 0, 50, 60)), "JPEG", exif=_exif("Apple", "iPhone 6", None)),
        "white.png": encode(Image.new("RGB", (200, 200), "white"), "PNG"),
        "grey.jpg": encode(image.convert("L"), "JPEG"),
        "transparent.png": encode(image.convert("RGBA").resize((70, 70)).rotate(10), "PNG"),
        "animated.png": encode(image.resize((70, 70)), "PNG", save_all=True, append_images=[Image.new("RGB", (70, 70))]),
        "truncated.jpg": jpeg[: len(jpeg) // 2],
        "header-only.jpg": bare[:150],
        "promise.jpg": bare[:size] + struct.pack(">HH", 16000, 16000) + bare[size + 4 :],
        "empty.jpg": b"",
        "text.jpg": b"no 'photo'\r\n",
    }


def _exif(make: str | None, model: str | None, software: str | None) -> Image.Exif:
    exif = Image.Exif()
    facts = {0x010F: make, 0x0110: model, 0x0131: software, 0x010E: "  a\tscene\u202e ", 0x0112: 6}
    for tag, value in facts.items():
        if value is not None:
            exif[tag] = value
    exif.get_ifd(0x8769).update({0x829A: 1 / 250, 0x829D: 2.8, 0x8827: 400, 0x920A: 50.0, 0xA002: 384, 0xA434: "L" * 250})
    exif.get_ifd(0x8825)[1] = "N"
    return exif


def decodable() -> dict[str, bytes]:
    """Files by name whose pixels are compared: JPEG of all chroma sizes, odd sides, progressive; PNG of all depths and filters."""
    files = {}
    for number, (subsampling, quality, (height, width)) in enumerate(
        itertools.product(SUBSAMPLINGS, (60, 95), ((64, 64), (77, 131), (120, 91)))
    ):
        pixels = _textured(height, width, seed=number)
        files[f"{subsampling}-{quality}-{height}.jpg"] = simplejpeg.encode_jpeg(
            pixels, quality=quality, colorspace="RGB", colorsubsampling=subsampling
        )
    files["progressive.jpg"] = encode(_textured(90, 133, seed=70), "JPEG", quality=85, progressive=True)
    files["odd.png"] = encode(_textured(77, 131, seed=71), "PNG")
    files["opaque.png"] = encode(np.dstack([_textured(70, 66, seed=72), np.full((70, 66), 255, np.uint8)]), "PNG")
    rng = np.random.default_rng(73)
    deep = rng.integers(0, 65536, (21, 34, 3)).astype(">u2")
    files["sixteen.png"] = _png(34, 21, 16, 2, b"".join(b"\0" + row.tobytes() for row in deep))
    lines = rng.integers(0, 256, (25, 3 * 40), dtype=np.uint8)
    files["filters.png"] = _png(40, 25, 8, 2, b"".join(bytes([row % 5]) + line.tobytes() for row, line in enumerate(lines)))
    files["interlaced.png"] = _png(13, 11, 8, 2, _adam7(rng.integers(0, 256, (11, 13, 3), dtype=np.uint8)), interlaced=1)
    files["no-end.png"] = files["odd.png"][:-12]
    return files


def gridded() -> dict[str, bytes]:
    """PNG files by name whose pixels were a JPEG once, of all chroma sizes, cut on and off its grid; the last one never was."""
    image = Image.open(io.BytesIO(made_photo(different_cameras()[0], 902, size=256))).convert("RGB")
    files = {}
    for number, (subsampling, (row, column)) in enumerate(itertools.product((0, 1, 2), ((0, 0), (3, 13), (11, 6), (8, 8)))):
        saved = Image.open(io.BytesIO(encode(image, "JPEG", quality=75, subsampling=subsampling)))
        files[f"grid-{number}.png"] = encode(saved.crop((column, row, 230, 215)), "PNG")
    flat = np.full((640, 640, 3), 90, np.uint8)
    flat[384:, 384:] = _textured(256, 256, seed=75)  # where it must be looked for
    corner = Image.open(io.BytesIO(encode(flat, "JPEG", quality=75))).crop((5, 2, 640, 640))
    return files | {"grid-corner.png": encode(corner, "PNG"), "grid-none.png": encode(_textured(150, 200, seed=74), "PNG")}


def _textured(height: int, width: int, *, seed: int) -> NDArray[np.uint8]:
    """Smooth colours with some noise: chroma that changes, so that a wrong filter shows."""
    coarse = Image.fromarray(noise(height // 8 + 2, width // 8 + 2, seed=seed)).resize((width, height), Image.Resampling.BICUBIC)
    return np.clip(np.asarray(coarse).astype(int) + noise(height, width, seed=seed, high=24) - 12, 0, 255).astype(np.uint8)


def _png(width: int, height: int, depth: int, kind: int, raw: bytes, *, interlaced: int = 0) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def _adam7(pixels: NDArray[np.uint8]) -> bytes:
    """Seven passes, each line filtered by the difference to the pixel on its left."""
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    lines = [line for row, column, down, across in passes for line in pixels[row::down, column::across]]
    return b"".join(b"\1" + np.diff(line, axis=0, prepend=np.zeros((1, 3), np.uint8)).tobytes() for line in lines)


def write_all(folder: Path, default: Bundle) -> None:
    """Write the files, the bundles and what Python says of all of them."""
    files = photos()
    for name, data in (files | decodable() | gridded()).items():
        (folder / name).write_bytes(data)
    other = replace(default, manifest=replace(default.manifest, calibration=None, rule="quality", vote="majority"))
    plain = _without_comparison(default)
    _write_bundle(folder / "other", bundle_files(other))
    _write_bundle(folder / "plain", bundle_files(plain))
    _write_bundle(folder / "changed", bundle_files(default) | {"head.onnx": b"changed"})
    pair = ("untouched.jpg", "other.jpg")
    pairs = (pair, ("resaved.jpg", "resaved.jpg"), ("off-grid.png", "untouched.jpg"), ("tiny.jpg", "truncated.jpg"))
    _write_json(
        folder / "verdicts.json",
        {
            "inspected": {name: _inspected(data, name, default, _modes(name)) for name, data in files.items()},
            "hostile": inspect(b"GIF89a", bundle=default, name="line\nbreak\u202e.jpg").verdict.to_dict(),
            "other": {
                name: _inspected(files[name], name, other, ("balanced", "guess") if name == pair[0] else ("careful",)) for name in pair
            },
            "compared": [(*names, _compared(files, names, default)) for names in pairs],
            "notCompared": (*pair, _compared(files, pair, plain)),
            "cameras": json.loads(_cameras(default)),
        },
    )
    _write_json(folder / "pixels.json", {name: _pixels(data, name) for name, data in decodable().items()})
    _write_json(folder / "parts.json", _parts(default))


def _modes(name: str) -> tuple[Mode, ...]:
    """The modes that a photo is asked in: they differ in the last step alone."""
    return calibration.MODES if name in ("untouched.jpg", "off-grid.png") else ("balanced",)


def _inspected(data: bytes, name: str, bundle: Bundle, modes: tuple[Mode, ...]) -> dict[str, Any]:
    return {mode: inspect(data, bundle=bundle, mode=mode, name=name).to_dict() for mode in modes}


def _compared(files: dict[str, bytes], names: tuple[str, str], bundle: Bundle) -> dict[str, Any]:
    return likeness.compare(files[names[0]], files[names[1]], bundle=bundle, names=names).to_dict()


def _cameras(bundle: Bundle) -> str:
    from made import run_cli

    printed = run_cli("cameras", "--to", "json").out
    assert json.loads(printed)["bundle"]["name"] == bundle.id.name
    return printed


def _without_comparison(bundle: Bundle) -> Bundle:
    from safetensors.numpy import load, save

    kept = {name: value for name, value in load(bundle.files[REFERENCES]).items() if not name.startswith("comparison_")}
    return replace(bundle, files={**bundle.files, REFERENCES: save(kept)})


def _pixels(data: bytes, name: str) -> dict[str, Any]:
    pixels = decode_photo(data, name).pixels
    return {"width": pixels.shape[1], "height": pixels.shape[0], "sha256": hashlib.sha256(pixels.tobytes()).hexdigest()}


def _parts(bundle: Bundle) -> dict[str, Any]:
    numbers = (0.0, 1.0, 0.00049, 0.0005, 0.123456, 2.675, 12.5, 999.96, 1234.5, 123456.7, 1e-7)
    floats = (0.0, 1.0, 0.01, 1e-5, 2.8, 1 / 3, 1e16, 123456789.125, 1e-300)
    texts = ("plain", "a\nb\tc\r\x07", "turn\u202eed", "x" * 60, "\u2028 \U000e0001 \u00e9 \u3042")
    spaced = ("a  b", " \x1c a\u00a0b\x85", "", "\t\n")
    byte_texts = (b"GIF89a'", b"'\"\\\x00\xff", b"plain", b'"')
    return {
        "claims": _claims(bundle),
        "grids": {name: _grid(data, name) for name, data in gridded().items()},
        "history": {name.removeprefix("_"): getattr(history, name) for name in _SHARED},
        "scale": [(most if math.isfinite(most) else None, word) for most, word in likeness.SCALE],
        "inWords": [(value, likeness.in_words(value)) for value in (0.0, 0.301, 0.302, -0.5, 1.0, -1.0, 2.3, 3.9, -5.0, 6.0, 7.0)],
        "tables": [(tables, history.standard_quality(tables)) for tables in _tables()],
        "words": {
            "percent": [(value, f"{value:.1%}") for value in numbers],
            "significant": [(value, f"{value:.3g}") for value in numbers],
            "float": [(value, str(value)) for value in floats],
            "visible": [(text, visible(text, longest=50)) for text in texts],
            "tidy": [(text, " ".join(text.split())) for text in spaced],
            "bytes": [(list(data), repr(data)) for data in byte_texts],
        },
    }


def _grid(data: bytes, name: str) -> dict[str, Any] | None:
    grid = history.find_grid(decode_photo(data, name).pixels)
    return asdict(grid) if grid else None


def _tables() -> list[dict[int, tuple[int, ...]]]:
    saved = [encode(Image.new("RGB", (8, 8)), "JPEG", quality=quality) for quality in (1, 30, 49, 50, 75, 92, 100)]
    tables = [decode_photo(data, "tables").quantization or {} for data in saved]
    return [*tables, {0: tables[0][0]}, {0: tables[1][0], 1: tables[2][1]}, {}]


def _claims(bundle: Bundle) -> list[tuple[object, ...]]:
    """Claims of many spellings against cameras, families and makers, and whether they agree."""
    table = json.loads((Path(history.__file__).parent / "names.json").read_text("utf-8"))
    rng = np.random.default_rng(5)
    entries = [table["cameras"][index] for index in rng.choice(len(table["cameras"]), 120, replace=False)]
    names = [
        (entry["name"], alias) for entry in entries for kind in entry.values() for alias in ([kind] if isinstance(kind, str) else kind)
    ]
    written = {maker: spellings[0] for maker, spellings in table["makers"].items() if spellings}
    models = [(written.get(name.split()[0], name.split()[0]), alias, name) for name, alias in names]
    asked = [(make, model, name) for make, model, name in models] + [(None, model, name) for _, model, name in models]
    asked += [(make, model, models[index][2]) for (make, model, _), index in zip(models, rng.permutation(len(models)), strict=True)]
    asked += [(make, None, name) for make, _, name in models[:40]]
    asked += itertools.product(
        (None, "", "Canon", "samsung techwin", "POCO", "Stra\u00dfe GmbH", "Zorki"),
        (None, "4", "NIKON D90", "Nexus 5", "P8", "HERO3+", "EOS Kiss X7i", "GT-I9300"),
        ("Nikon D90", "Canon EOS 700D", "GoPro HERO3", "Samsung GT-I9300", "Zorki 4", "unknown"),
    )
    questions: list[_Question] = [(make, model, answer, "model", ()) for make, model, answer in asked]
    questions += [(make, model, answer.split()[0], "maker", ()) for make, model, answer in asked[::3]]
    families = itertools.cycle(zip(bundle.manifest.labels, bundle.manifest.labels[3:], strict=False))
    questions += [(make, model, "a family", "family", family) for (make, model, _), family in zip(asked[::3], families, strict=False)]
    return [
        (make, model, answer, level, cameras, agrees(Claim(make, model), answer, level=level, cameras=cameras))
        for make, model, answer, level, cameras in questions
    ]


def _write_bundle(folder: Path, files: dict[str, bytes]) -> None:
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)


def _write_json(path: Path, document: object) -> None:
    path.write_text(json.dumps(document), "utf-8")
