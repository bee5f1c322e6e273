"""Made Caffe files: a tiny writer of protocol buffers, weights drawn at random, and the net that they stand for in plain numpy."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Learned = dict[str, tuple[Array, Array]]

SHAPES = {"conv1": (32, 3, 4, 4), "conv2": (48, 32, 5, 5), "conv3": (64, 48, 5, 5), "conv4": (128, 64, 5, 5), "ip1": (128, 128)}
NAMES = (
    *("Canon_Ixus70", "Casio_EX-Z150", "FujiFilm_FinePixJ50", "Kodak_M1063", "Nikon_CoolPixS710", "Nikon_D200", "Nikon_D70"),
    *("Olympus_mju-1050SW", "Panasonic_DMC-FZ50", "Pentax_OptioA40", "Praktica_DCZ5.9", "Ricoh_GX100", "Rollei_RCP-7325XS"),
    *("Samsung_L74wide", "Samsung_NV15", "Sony_DSC-H50", "Sony_DSC-T77", "Sony_DSC-W170"),
)


# A tiny writer of protocol buffers


def varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def number(field: int, value: int) -> bytes:
    return varint(field << 3) + varint(value)


def part(field: int, body: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(body)) + body


def packed(array: Array) -> bytes:
    return part(5, array.astype("<f4").tobytes())


def unpacked(array: Array) -> bytes:
    return b"".join(varint(5 << 3 | 5) + struct.pack("<f", value) for value in array.ravel())


def doubles(array: Array) -> bytes:
    return part(8, array.astype("<f8").tobytes())


def half_packed(array: Array) -> bytes:
    values = array.ravel()
    return packed(values[:7]) + unpacked(values[7:11]) + packed(values[11:])


def shape(array: Array) -> bytes:
    return part(7, part(1, b"".join(map(varint, array.shape))))


def unpacked_shape(array: Array) -> bytes:
    return part(7, b"".join(number(1, dim) for dim in array.shape))


def legacy_shape(array: Array) -> bytes:
    dims = (1,) * (4 - array.ndim) + array.shape
    return b"".join(number(field, dim) for field, dim in zip((1, 2, 3, 4), dims, strict=True))


Way = Callable[[Array], bytes]


def blob(array: Array, *, values: Way = packed, dims: Way = shape) -> bytes:
    return values(array) + dims(array)


def layer(name: str, *blobs: bytes) -> bytes:
    return part(100, part(1, name.encode()) + part(2, b"Kind") + b"".join(part(7, one) for one in blobs))


def plain_net(learned: Mapping[str, tuple[Array, ...]]) -> bytes:
    return b"".join(layer(name, *map(blob, pair)) for name, pair in learned.items())


def varied_net(learned: Learned) -> bytes:
    """A net that writes every layer in another of the allowed ways, with things between that the reader has no use for."""
    ways: list[dict[str, Way]] = [
        {"values": packed},
        {"values": half_packed, "dims": unpacked_shape},
        {"values": doubles},
        {"dims": legacy_shape},
        {"dims": legacy_shape, "values": unpacked},
        {"values": unpacked},
    ]
    gradients = part(6, b"\0" * 64)
    layers = [
        layer(name, *(blob(array, **way) + gradients for array in pair))
        for (name, pair), way in zip(learned.items(), ways, strict=True)
    ]
    strange = number(77, 2**64 - 1) + varint(78 << 3 | 1) + b"\1" * 8 + varint(79 << 3 | 5) + b"\2" * 4 + part(80, b"?")
    return part(1, b"net") + strange + layer("data") + layer("relu").join(layers) + number(5, 0)


# The net in plain numpy, from the words of METHOD section 1


def correlate(maps: Array, weights: Array, biases: Array) -> Array:
    """(n, c, h, w) -> (n, k, h - size + 1, w - size + 1)."""
    size = weights.shape[-1]
    height, width = maps.shape[2] - size + 1, maps.shape[3] - size + 1
    result = np.zeros((len(maps), len(weights), height, width)) + biases[:, None, None]
    for row in range(size):
        for column in range(size):
            window = maps[:, :, row : row + height, column : column + width]
            result += np.einsum("kc,nchw->nkhw", weights[:, :, row, column], window, optimize=True)
    return result


def pool(maps: Array) -> Array:
    """The largest of 2x2, of what is left of them at the border."""
    size = -(-(maps.shape[2] - 2) // 2) + 1
    result = np.empty((*maps.shape[:2], size, size))
    for row in range(size):
        for column in range(size):
            result[:, :, row, column] = maps[:, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2].max(axis=(2, 3))
    return result


def reference(learned: Learned, mean: Array, pixels: NDArray[np.uint8], *, scale: float = 0.0125) -> tuple[Array, Array]:
    """Patches (n, 64, 64, 3) -> features (n, 128) and softmax (n, n_cameras)."""
    maps = (pixels.transpose(0, 3, 1, 2).astype(np.float64) - mean) * scale
    for name in ("conv1", "conv2", "conv3"):
        maps = pool(correlate(maps, *learned[name]))
    values = correlate(maps, *learned["conv4"])[:, :, 0, 0]
    features = np.maximum(values @ learned["ip1"][0].T + learned["ip1"][1], 0)
    exponents = np.exp(features @ learned["ip2"][0].T + learned["ip2"][1])
    return features, exponents / exponents.sum(axis=1, keepdims=True)


def make_learned(n_cameras: int = 18) -> Learned:
    rng = np.random.default_rng(5)
    shapes = {**SHAPES, "ip2": (n_cameras, 128)}
    spread = {**dict.fromkeys(SHAPES, 0.8), "ip2": 6}  # so that the softmax is neither even nor certain
    weights = {name: rng.normal(0, spread[name] / np.sqrt(np.prod(wanted[1:])), wanted) for name, wanted in shapes.items()}
    return {name: (array.astype(np.float32), rng.normal(0, 0.2, len(array)).astype(np.float32)) for name, array in weights.items()}


LEARNED = make_learned()
MEAN = np.random.default_rng(6).uniform(60, 180, (1, 3, 64, 64)).astype(np.float32)


def write_files(folder: Path) -> dict[str, Path]:
    """What the authors released, made up."""
    contents = {
        "weights": ("best.caffemodel", varied_net(LEARNED)),
        "mean": ("mean.binaryproto", blob(MEAN, dims=legacy_shape)),
        "labels": ("labels.txt", "\r\n".join((*NAMES, "")).encode()),
    }
    for name, data in contents.values():
        (folder / name).write_bytes(data)
    return {what: folder / name for what, (name, _) in contents.items()}
