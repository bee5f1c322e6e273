"""A trained model is a folder, called a bundle: what it holds, how it is checked, loaded and written.

    manifest.json            input, cameras in output order, thresholds, protocol, measured accuracy, SHA-256 of each file
    features.onnx            patches uint8 (n, size, size, 3) -> features float32 (n, dimension)
    head.onnx                features -> labels int64 (n,), scores float32 (n, n_cameras)
    references.safetensors   features of the photos it was taught with, so that `enroll` can add cameras; the gate of its experts;
                             how photos are compared
    card.md                  the model card: what it can do, what it cannot, and how that was measured

Nothing in a bundle is executable: ONNX, safetensors, JSON and text, each checked against its hash before use. A bundle that does not
ship with camtrace comes from a stranger: `bundle_check` looks at what is in it before anything runs.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from camtrace import bundle_check as check
from camtrace.comparison import COMPARISON, NEARNESS, Comparison, centres_of, from_tensors, nearness, to_tensors
from camtrace.experts import Gate
from camtrace.manifest import MANIFEST, BundleError, Manifest, manifest_json, read_manifest, replaceable
from camtrace.runtime import open_session
from camtrace.safe_files import read_inside, write_folder
from camtrace.types import BundleId, Patches, References, Votes

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

DEFAULT = "default"
FEATURES, HEAD, REFERENCES, CARD = "features.onnx", "head.onnx", "references.safetensors", "card.md"
CENTRES = "centres"
_FILES = {FEATURES: check.MAX_MODEL, HEAD: check.MAX_MODEL, REFERENCES: check.MAX_REFERENCES, CARD: check.MAX_CARD}
_AT_ONCE = 8  # patches in one run of the network: what it makes of so few stays in cache (8 % faster than 32), and is never large
_MODELS = Path(__file__).parent / "models"


@dataclass(frozen=True)
class Bundle:
    """A loaded bundle, ready to judge patches."""

    manifest: Manifest
    files: dict[str, bytes]
    _features: InferenceSession
    _head: InferenceSession

    @property
    def id(self) -> BundleId:
        """Name and version, as every verdict carries them."""
        return BundleId(self.manifest.name, self.manifest.version)

    def extract(self, patches: Patches) -> NDArray[np.float32]:
        """Patches -> features (n, dimension); BundleError where they are no numbers."""
        features = run_net(self._features, patches.pixels)
        if features.shape != (len(patches), self.manifest.dimension) or not np.isfinite(features).all():
            wanted = f"({len(patches)}, {self.manifest.dimension}) finite numbers"
            raise BundleError(f"{self.id.name} {self.id.version}: {FEATURES} gives {features.shape}, expected {wanted}")
        return features

    def cast_votes(self, features: NDArray[np.float32]) -> Votes:
        """Features (n, dimension) -> the vote of each patch; BundleError where they are none."""
        labels, scores = self._head.run(["labels", "scores"], {"features": features})
        if labels.shape != (len(features),) or labels.min() < 0 or labels.max() >= scores.shape[-1] or not np.isfinite(scores).all():
            raise BundleError(
                replaceable(f"{self.id.name} {self.id.version}: {HEAD} votes for what is no camera, or with what is no number")
            )
        return Votes(labels, scores)

    @cached_property
    def _tensors(self) -> dict[str, NDArray[Any]]:
        from safetensors.numpy import load

        tensors: dict[str, NDArray[Any]] = load(self.files[REFERENCES])
        return tensors

    def references(self) -> References:
        """The features the bundle was taught with."""
        tensors = self._tensors
        return References(
            features=tensors["features"].astype(np.float32),
            cameras=tensors["cameras"].astype(np.int64),
            photos=tensors["photos"].astype(np.int64),
            copies=tensors["copies"].astype(np.int64) if "copies" in tensors else None,
        )

    def gate(self) -> Gate:
        """What says to the experts of its head what happened to a photo."""
        gate = self._tensors.get("gate")
        if gate is None:
            raise BundleError(f"{self.id.name} {self.id.version}: {REFERENCES} holds no gate, which a head of experts needs")
        if gate.ndim == 1:  # until format 3: the odds that it is not untouched
            gate = np.stack([np.zeros_like(gate), gate])
        return Gate(gate[:, :-1], gate[:, -1])

    def nearness(self, features: NDArray[np.float32]) -> float | None:
        """How near a photo, by the features of its patches, lies to the nearest camera; None if the bundle cannot compare."""
        if (neighbours := self.neighbours()) is None:
            return None
        return nearness(neighbours, self._centres, features)

    def neighbours(self) -> Comparison | None:
        """How a photo is compared with the cameras, by what untouched photos show; None if the bundle never learned it."""
        return self._neighbours

    @cached_property
    def _neighbours(self) -> Comparison | None:
        tensors = {name: value for name, value in self._tensors.items() if name.startswith(NEARNESS)}
        return from_tensors(tensors, NEARNESS) if tensors else None

    @cached_property
    def _centres(self) -> NDArray[np.float64]:
        return self._tensors[CENTRES].astype(np.float64)

    def comparison(self) -> Comparison | None:
        """How two photos are compared, None if the bundle never learned it."""
        tensors = {name: value for name, value in self._tensors.items() if name.startswith(COMPARISON)}
        return from_tensors(tensors) if tensors else None


def load_bundle(path: str | os.PathLike[str] | None = None, *, threads: int = 0) -> Bundle:
    """Load and check a bundle folder; without a path the one that ships with camtrace.

    `threads` is how many threads one photo may use; 0 leaves it to ONNX Runtime.

    Raises
    ------
    BundleError
        A file is missing or was changed, or the bundle needs a newer camtrace.
    """
    folder = _MODELS / DEFAULT if path is None else Path(path)
    # the one that ships is as trusted as this code
    return _open(partial(read_inside, folder), folder, threads=threads, trusted=path is None)


def open_bundle(files: Mapping[str, bytes], *, name: str = "<memory>", threads: int = 0) -> Bundle:
    """A bundle whose files, as `pack_bundle` gives them, lie in memory; `name` is what messages call their folder.

    Raises
    ------
    BundleError
        As `load_bundle`.
    """

    def read(file: str, *, most: int) -> bytes:
        if file not in files:
            raise FileNotFoundError(f"there is no {file}")
        return files[file]

    return _open(read, Path(name), threads=threads, trusted=False)


def _open(read: Callable[..., bytes], folder: Path, *, threads: int, trusted: bool) -> Bundle:
    try:
        manifest, hashes = read_manifest(read(MANIFEST, most=check.MAX_MANIFEST), folder / MANIFEST)
    except OSError as error:
        reason = error.strerror or error
        raise BundleError(f"{folder}: no bundle here ({MANIFEST}: {reason}); expected a folder with {MANIFEST}") from error
    files = {name: _read_checked(read, folder / name, hashes.get(name)) for name in _FILES}
    if not trusted:
        _check_models(manifest, files, folder)
    bundle = Bundle(manifest, files, _session(files[FEATURES], folder, threads), _session(files[HEAD], folder, threads))
    _check_shapes(bundle, folder)
    return bundle


def write_bundle(
    folder: Path,
    manifest: Manifest,
    *,
    features: bytes,
    head: bytes,
    references: References,
    card: str,
    gate: Gate | None = None,
    comparison: Comparison | None = None,
    neighbours: Comparison | None = None,
    figures: Mapping[str, bytes] | None = None,
    force: bool = False,
) -> None:
    """Write a bundle folder in one step: aside first, then renamed, so that a half-written one is never left behind.

    `figures` are pictures for the card, by file name.

    Raises
    ------
    BundleError
        The folder exists and `force` was not given, it exists and is no bundle, or it cannot be written.
    """
    check_target(folder, force=force)
    files = pack_bundle(
        manifest,
        features=features,
        head=head,
        references=references,
        card=card,
        gate=gate,
        comparison=comparison,
        neighbours=neighbours,
        figures=figures,
    )
    write_files(folder, files, force=force)


def pack_bundle(
    manifest: Manifest,
    *,
    features: bytes,
    head: bytes,
    references: References,
    card: str,
    gate: Gate | None = None,
    comparison: Comparison | None = None,
    neighbours: Comparison | None = None,
    figures: Mapping[str, bytes] | None = None,
) -> dict[str, bytes]:
    """The files of a bundle, by name; the arguments are those of `write_bundle`."""
    packed = _pack(references, gate, comparison, neighbours)
    files = {FEATURES: features, HEAD: head, REFERENCES: packed, CARD: card.encode(), **(figures or {})}
    return {**files, MANIFEST: manifest_json(manifest, {name: _sha256(data) for name, data in files.items()})}


def write_files(folder: Path, files: Mapping[str, bytes], *, force: bool = False) -> None:
    """Write the files that `pack_bundle` gave, as `write_bundle` does."""
    try:
        write_folder(folder, files, check=lambda: check_target(folder, force=force))
    except OSError as error:
        raise BundleError(
            f"{folder}: the bundle cannot be written: {error.strerror or error}; check the free space and your right to write there"
        ) from error


def check_target(folder: Path, *, force: bool) -> None:
    """Refuse to write over anything the user has not given up; `force` gives up a bundle, never another folder."""
    if not folder.exists():
        return
    if not (folder / MANIFEST).is_file():
        raise BundleError(f"{folder}: exists and is not a bundle; choose another place to write to")
    if not force:
        raise BundleError(f"{folder}: a bundle is already there; --force replaces it")


def _read_checked(read: Callable[..., bytes], path: Path, expected: str | None) -> bytes:
    try:
        data = read(path.name, most=_FILES[path.name])
    except OSError as error:
        raise BundleError(replaceable(f"{path}: a file of the bundle cannot be read: {error.strerror or error}")) from error
    if expected is None:
        raise BundleError(replaceable(f"{path}: the manifest has no SHA-256 for this file"))
    if _sha256(data) != expected:
        raise BundleError(f"{path}: changed since the bundle was made: SHA-256 {_sha256(data)[:12]}..., expected {expected[:12]}...")
    return data


def run_net(net: InferenceSession, patches: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Patches (n, size, size, 3) -> the features that a bundle's net gives, few patches at a time."""
    starts = range(0, max(1, len(patches)), _AT_ONCE)
    return np.concatenate([net.run(["features"], {"patches": patches[at : at + _AT_ONCE]})[0] for at in starts])


def _session(model: bytes, folder: Path, threads: int) -> InferenceSession:
    try:
        return open_session(model, threads=threads)
    except Exception as error:  # ONNX Runtime raises its own family of errors, none of them public
        raise BundleError(
            replaceable(f"{folder}: ONNX Runtime cannot load the bundle's model: {error}")
            + "; `camtrace doctor` says whether ONNX Runtime works here"
        ) from error


def _check_models(manifest: Manifest, files: Mapping[str, bytes], folder: Path) -> None:
    size, dimension, count = manifest.patch_size, manifest.dimension, len(manifest.cameras)
    wanted: dict[str, tuple[dict[str, tuple[Any, ...]], dict[str, tuple[Any, ...]]]] = {
        FEATURES: ({"patches": ("UINT8", None, size, size, 3)}, {"features": ("FLOAT", None, dimension)}),
        HEAD: ({"features": ("FLOAT", None, dimension)}, {"labels": ("INT64", None), "scores": ("FLOAT", None, count)}),
    }
    for name, (inputs, outputs) in wanted.items():
        try:
            check.check_model(files[name], inputs, outputs)
        except ValueError as error:
            raise BundleError(replaceable(f"{folder / name}: not a model that a bundle may hold: {error}")) from error


def _check_shapes(bundle: Bundle, folder: Path) -> None:
    """Networks and references must fit each other and the manifest, else the error would come with the first photo."""
    manifest = bundle.manifest
    size = manifest.patch_size
    try:
        features = bundle.extract(Patches(np.zeros((1, size, size, 3), np.uint8), np.zeros((1, 2), np.int64)))
        votes = bundle.cast_votes(features)
    except Exception as error:  # ONNX Runtime's own family again
        raise BundleError(replaceable(f"{folder}: {FEATURES} and {HEAD} do not work on {size}x{size} patches: {error}")) from error
    if votes.scores.shape != (1, len(manifest.cameras)):
        raise BundleError(replaceable(f"{folder}: {HEAD} knows {votes.scores.shape[-1]} cameras, the manifest {len(manifest.cameras)}"))
    try:
        check.check_tensors(bundle._tensors, dimension=manifest.dimension, n_cameras=len(manifest.cameras))
    except Exception as error:  # safetensors' own errors, KeyError for a missing tensor
        raise BundleError(replaceable(f"{folder / REFERENCES}: not the references of this bundle: {error}")) from error


def _pack(references: References, gate: Gate | None, comparison: Comparison | None, neighbours: Comparison | None) -> bytes:
    from safetensors.numpy import save

    with np.errstate(over="ignore"):  # what it makes infinite is found below
        features = references.features.astype(np.float16)
    tensors: dict[str, NDArray[Any]] = {
        "features": features,
        "cameras": references.cameras.astype(np.int32),
        "photos": references.photos.astype(np.int32),
    }
    if references.copies is not None:
        tensors["copies"] = references.copies.astype(np.int32)
    if gate is not None:
        tensors["gate"] = np.column_stack([gate.weights, gate.biases]).astype(np.float32)
    if comparison is not None:
        tensors |= to_tensors(comparison)
    if neighbours is not None:
        tensors |= to_tensors(neighbours, NEARNESS)
        tensors[CENTRES] = centres_of(references, int(references.cameras.max()) + 1).astype(np.float32)
    if broken := [name for name, value in tensors.items() if name != CENTRES and not np.isfinite(value).all()]:
        raise BundleError(
            f"{', '.join(broken)}: not finite numbers (float16 for features); a network that gives such teaches nothing; train it anew"
        )
    return save({name: np.ascontiguousarray(value) for name, value in tensors.items()})


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
