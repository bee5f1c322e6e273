"""What atheris throws bytes at: every reader of bytes from strangers that camtrace wrote itself.

    pip install atheris
    python tests/fuzz/targets.py TARGET [CORPUS_FOLDER] [-max_total_time=300]

A target may raise what its reader promises, and nothing else. What is found becomes a test; these here only find.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

with atheris.instrument_imports(include=["camtrace"]):
    from camtrace import bundle_check, photo, screening
    from camtrace.devices import store as device_store
    from camtrace.lab import caffe
    from camtrace.manifest import MANIFEST, BundleError, read_manifest
    from camtrace.types import CamtraceError, PhotoError

FOLDER = Path(tempfile.mkdtemp(prefix="camtrace-fuzz-"))


def caffemodel(data: bytes) -> None:
    """A net, or one array, of Caffe."""
    path = FOLDER / "net"
    path.write_bytes(data)
    for read in (caffe.read_layers, caffe.read_blob):
        with contextlib.suppress(CamtraceError):
            read(path)


def manifest(data: bytes) -> None:
    """The manifest of a bundle."""
    with contextlib.suppress(BundleError):
        read_manifest(data, FOLDER / MANIFEST)


def model(data: bytes) -> None:
    """The ONNX of a bundle."""
    with contextlib.suppress(ValueError):
        bundle_check.check_model(data, {"x": ("FLOAT", None, 4)}, {"y": ("FLOAT", None, 4)})


def references(data: bytes) -> None:
    """The references of a bundle, as `load_bundle` looks at them: there any exception means that they are refused."""
    from safetensors.numpy import load

    try:
        tensors = load(data)
    except Exception:
        return
    with contextlib.suppress(KeyError, ValueError):
        bundle_check.check_tensors(tensors, dimension=4, n_cameras=3)


def devices(data: bytes) -> None:
    """The manifest of a database of devices."""
    with contextlib.suppress(device_store.DeviceError):
        device_store._parse(FOLDER, data)


def exif(data: bytes) -> None:
    """The EXIF of a JPEG, and what decides whether Pillow may see it."""
    screening.is_bloated(data)
    screening.directories(data)
    segment = b"\xff\xe1" + min(len(data) + 8, 65535).to_bytes(2) + b"Exif\0\0" + data[:65527]
    header = photo._read_header(b"\xff\xd8" + segment + SOUND[2:])
    json.dumps([header.claim.make, header.claim.model, header.software])


def jpeg(data: bytes) -> None:
    """A whole JPEG, its header and its scans."""
    screening.find_burden(data, 4096, 4096)
    screening.short_header(data)
    with contextlib.suppress(PhotoError):
        photo.read_photo(b"\xff\xd8\xff" + data, max_pixels=1_000_000)


SOUND = b""  # a JPEG for EXIF to sit in, made when a target is chosen
TARGETS: dict[str, Callable[[bytes], None]] = {
    one.__name__: one for one in (caffemodel, manifest, model, references, devices, exif, jpeg)
}


def main() -> None:
    """Fuzz one target; the words behind its name are libFuzzer's."""
    global SOUND
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from nasty import jpeg as made
    from nasty import picture

    SOUND = made(picture(0, 64))
    atheris.Setup([sys.argv[0], *sys.argv[2:]], TARGETS[sys.argv[1]])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
