"""Read Caffe's binary files without Caffe: a `.caffemodel` (NetParameter) and a mean image, `.binaryproto` (one BlobProto).

Both are protocol buffers. Fields used (METHOD section 1), all others are skipped:

    NetParameter     layer = 100, layers = 2 (the old kind, refused)
    LayerParameter   name = 1, blobs = 7
    BlobProto        data = 5, double_data = 8, shape = 7 (dim = 1), and before that num, channels, height, width = 1 to 4

A file is not trusted: sizes in it are checked against the bytes that are there before anything is made for them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from camtrace.types import CamtraceError

MAX_BYTES = 8 * 2**20
"""The net of Bondi et al. takes 1.4 MB; in doubles and with its gradients it would take four times as much."""

MOST = 64
"""Most layers, blobs of a layer and dimensions of a blob: the net has 6, 2 and 4."""

T = TypeVar("T")


class _Wire(IntEnum):
    """How a field is written."""

    VARINT = 0
    FIXED64 = 1
    BYTES = 2
    FIXED32 = 5


class _MalformedError(ValueError):
    """Bytes that are not the message they should be."""


@dataclass(frozen=True)
class Layer:
    """A layer that learned something, and what it learned: weights, then biases."""

    name: str
    blobs: tuple[NDArray[np.float32], ...]


def read_layers(path: Path) -> tuple[Layer, ...]:
    """The layers of a `.caffemodel` that hold weights, in the order of the file.

    Raises
    ------
    CamtraceError
        The file cannot be read, is too large, or is not a net.
    """
    return _read(path, _net, "a net as Caffe saves it (.caffemodel)")


def read_blob(path: Path) -> NDArray[np.float32]:
    """The array of a `.binaryproto`, such as a mean image.

    Raises
    ------
    CamtraceError
        The file cannot be read, is too large, or is not one array.
    """
    return _read(path, _blob, "one array as Caffe saves it (.binaryproto)")


def read_capped(path: Path) -> bytes:
    """A file of at most MAX_BYTES."""
    try:
        if path.exists() and not path.is_file():
            raise CamtraceError(f"{path}: not a file; give the .caffemodel itself")
        if (size := path.stat().st_size) > MAX_BYTES:
            raise CamtraceError(f"{path}: {size} bytes, expected at most {MAX_BYTES}: too large for this net")
        return path.read_bytes()
    except OSError as error:
        raise CamtraceError(f"{path}: cannot be read: {error.strerror or error}; check the path and your right to read it") from error


def _read(path: Path, parse: Callable[[memoryview], T], wanted: str) -> T:
    data = read_capped(path)
    try:
        return parse(memoryview(data))
    except _MalformedError as error:
        raise CamtraceError(f"{path}: {error}; expected {wanted}") from error


def _net(message: memoryview) -> tuple[Layer, ...]:
    layers: list[Layer] = []
    for number, wire, data in _fields(message):
        match number, wire:
            case 2, _Wire.BYTES:
                raise _MalformedError("layers of the old kind (V1), which Caffe's tool upgrade_net_proto_binary makes new")
            case 100, _Wire.BYTES:
                layer = _layer(data)
                if layer.blobs:
                    _append(layers, layer, "layers with weights")
    if not layers:
        raise _MalformedError("no layer with weights in it")
    return tuple(layers)


def _layer(message: memoryview) -> Layer:
    name = ""
    blobs: list[NDArray[np.float32]] = []
    for number, wire, data in _fields(message):
        match number, wire:
            case 1, _Wire.BYTES:
                name = bytes(data[:MOST]).decode("utf-8", errors="replace")
            case 7, _Wire.BYTES:
                _append(blobs, _blob(data), "arrays in a layer")
    return Layer(name, tuple(blobs))


def _blob(message: memoryview) -> NDArray[np.float32]:
    """One array; a list of numbers comes packed into one field, or as a field for each, or both: the bytes are the same."""
    legacy: dict[int, int] = {}
    shape: list[int] = []
    floats, doubles = bytearray(), bytearray()
    for number, wire, data in _fields(message):
        match number, wire:
            case 1 | 2 | 3 | 4, _Wire.VARINT:
                legacy[number] = _varint(data, 0)[0]
            case 5, _Wire.BYTES | _Wire.FIXED32:
                floats += data
            case 8, _Wire.BYTES | _Wire.FIXED64:
                doubles += data
            case 7, _Wire.BYTES:
                _shape(data, shape)
    if legacy:  # goes first where both are given, as in Caffe
        shape = [legacy.get(number, 0) for number in (1, 2, 3, 4)]
    return _array(doubles or floats, np.dtype("<f8" if doubles else "<f4"), shape)


def _shape(message: memoryview, dims: list[int]) -> None:
    for number, wire, data in _fields(message):
        if number == 1 and wire in (_Wire.VARINT, _Wire.BYTES):
            at = 0
            while at < len(data):
                dim, at = _varint(data, at)
                _append(dims, dim, "dimensions of an array")


def _array(data: bytearray, dtype: np.dtype[np.floating], shape: list[int]) -> NDArray[np.float32]:
    if not data or len(data) % dtype.itemsize:
        raise _MalformedError(f"{len(data)} bytes where numbers of {dtype.itemsize} bytes should be")
    values = np.frombuffer(data, dtype)
    if math.prod(shape) != len(values):
        raise _MalformedError(f"{len(values)} numbers for an array of {'x'.join(map(str, shape)) or 'no shape'}")
    with np.errstate(all="ignore"):  # a double too large for a float becomes infinite
        return values.reshape(shape).astype(np.float32, copy=False)


def _append(items: list[T], item: T, what: str) -> None:
    if len(items) == MOST:
        raise _MalformedError(f"more than {MOST} {what}")
    items.append(item)


def _fields(message: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Number, wire type and bytes of each field: the payload without its length, or the bytes of the number itself."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if not number or wire not in tuple(_Wire):
            raise _MalformedError(f"field {number} is of type {wire}, which Caffe does not write")
        if wire == _Wire.VARINT:
            _, end = _varint(message, at)
        elif wire == _Wire.BYTES:
            length, at = _varint(message, at)
            end = at + length
        else:
            end = at + (8 if wire == _Wire.FIXED64 else 4)
        if end > len(message):
            raise _MalformedError(f"field {number} wants {end - at} bytes, {len(message) - at} are left")
        yield number, wire, message[at:end]
        at = end


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """The number that begins at a position, and the position behind it: 7 bits a byte, lowest first, at most 10 bytes."""
    value = 0
    for count, byte in enumerate(message[at : at + 10]):
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, at + count + 1
    raise _MalformedError("a number that does not end")
