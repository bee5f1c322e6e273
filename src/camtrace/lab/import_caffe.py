"""Import weights of the paper's net that were trained with Caffe, such as those its authors released (METHOD section 1).

    .caffemodel   conv1..conv4, ip1 -> features.onnx (see PatchCNN); ip2 and softmax -> head.onnx
    .binaryproto  the mean patch (1, 3, 64, 64), RGB
    labels.txt    one camera a line, in the order of ip2's outputs, underscores standing for spaces

The bundle knows the cameras of the labels and holds no reference features: `camtrace enroll --only` builds on its features.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from camtrace.bundle import check_target, write_bundle
from camtrace.claim import camera_of, canonical
from camtrace.lab.caffe import Layer, read_blob, read_capped, read_layers
from camtrace.lab.export import export_onnx
from camtrace.lab.heads import softmax_onnx
from camtrace.lab.methods.patch_cnn import PatchCNN
from camtrace.manifest import Camera, Manifest
from camtrace.types import CamtraceError, References, VotingWay
from camtrace.vote import WAYS

Array = NDArray[np.float32]

LAYERS = ("conv1", "conv2", "conv3", "conv4", "ip1", "ip2")
SOURCE = "Bondi et al., First Steps Toward Camera Model Identification with CNNs, IEEE SPL 2017"
LICENCE = "the network holds weights of others: those released by Bondi et al. may not be redistributed or modified"


@dataclass(frozen=True)
class Weights:
    """What the six layers learned: weights and biases of each, in the order of LAYERS."""

    layers: tuple[tuple[Array, Array], ...]
    mean: Array  # (3, 64, 64)


def import_caffe(
    weights: Path, *, mean: Path, labels: Path, out: Path, vote: VotingWay = "summed", name: str | None = None, force: bool = False
) -> None:
    """Write the bundle of a net trained with Caffe to the folder `out`; it is called `name`, or else as the folder.

    `vote` is the bundle's own way of voting: `summed` adds up the softmax of the patches, as the authors' code does, `majority`
    counts their labels, as the paper does. Nothing was measured, so the thresholds are 0: some camera is always named.

    Raises
    ------
    CamtraceError
        A file cannot be read or does not fit the net, or `out` exists and `force` was not given.
    """
    check_target(out, force=force)
    cameras = read_labels(labels)
    learned = read_weights(weights, mean, n_cameras=len(cameras))
    manifest = Manifest(
        name=name or out.name,
        version="1",
        cameras=tuple(Camera(name=camera, make=camera.split()[0], photos=0) for camera in cameras),
        thresholds=dict.fromkeys(WAYS, 0.0),
        rule="quality",
        vote=vote,
        dimension=PatchCNN.dimension,
        training={
            "source": SOURCE,
            "licence": LICENCE,
            "sha256": {
                what: hashlib.sha256(read_capped(path)).hexdigest()
                for what, path in (("weights", weights), ("mean", mean), ("labels", labels))
            },
        },
    )
    write_bundle(
        out,
        manifest,
        features=export_onnx(make_net(learned)),
        head=softmax_onnx(*learned.layers[-1]),
        references=References(np.zeros((0, PatchCNN.dimension), np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64)),
        card=imported_card(manifest),
        force=force,
    )


def read_labels(path: Path) -> tuple[str, ...]:
    """Camera names, one a line, in output order: `Canon_Ixus70` is the camera Canon Ixus70.

    Raises
    ------
    CamtraceError
        The file is no text, names fewer than two cameras, or names one twice.
    """
    try:
        lines = read_capped(path).decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise CamtraceError(f"{path}: not text in UTF-8: {error.reason}; expected one camera a line") from error
    given = [line.strip() for line in lines if line.strip()]
    if strange := [line for line in given if not line.isprintable() or not canonical(camera_of(line))]:
        raise CamtraceError(f"{path}: {strange[0]!r} is not the name of a camera; put one name of a make and model on each line")
    names = tuple(map(camera_of, given))
    seen: dict[str, str] = {}
    for name in names:
        if canonical(name) in seen:
            raise CamtraceError(f"{path}: {seen[canonical(name)]!r} and {name!r} are one camera, expected each once")
        seen[canonical(name)] = name
    if len(names) < 2:
        raise CamtraceError(f"{path}: names {len(names)} camera, expected at least 2, one a line")
    return names


def read_weights(weights: Path, mean: Path, *, n_cameras: int) -> Weights:
    """Weights of the paper's net for `n_cameras`, checked against its shapes.

    Raises
    ------
    CamtraceError
        It is another net: the message names the layer, the shape found and the shape wanted.
    """
    with torch.device("meta"):  # shapes alone
        shapes = [tuple(module.weight.shape) for module in _learning_modules(PatchCNN())]
    shapes.append((n_cameras, PatchCNN.dimension))
    mean_patch = _fit(read_blob(mean), (3, 64, 64), f"{mean}: the mean patch")
    if mean_patch.min() < 0 or mean_patch.max() > 255:
        raise CamtraceError(f"{mean}: values from {mean_patch.min():g} to {mean_patch.max():g}, expected a mean of pixels, 0 to 255")
    layers = zip(LAYERS, _in_order(read_layers(weights), weights), shapes, strict=True)
    return Weights(tuple(_pair(weights, wanted, layer, shape) for wanted, layer, shape in layers), mean_patch)


def make_net(learned: Weights) -> PatchCNN:
    """The paper's net with these weights, up to its 128 features."""
    net = PatchCNN(torch.from_numpy(learned.mean))
    with torch.no_grad():
        for module, (weights, biases) in zip(_learning_modules(net), learned.layers[:-1], strict=True):
            module.weight.copy_(torch.from_numpy(weights))
            assert module.bias is not None
            module.bias.copy_(torch.from_numpy(biases))
    return net.eval()


def _learning_modules(net: PatchCNN) -> list[nn.Conv2d | nn.Linear]:
    return [module for module in net.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def _in_order(layers: tuple[Layer, ...], path: Path) -> list[Layer]:
    """The six layers in the order of LAYERS: by their names if these are the authors', else as they come.

    A net with other layers that learn is another net, even if six of them would fit.
    """
    found = [layer.name for layer in layers]
    if len(layers) != len(LAYERS):
        names = ", ".join(map(repr, found))
        raise CamtraceError(f"{path}: {len(layers)} layers with weights ({names}), expected {len(LAYERS)}: {', '.join(LAYERS)}")
    if set(found) == set(LAYERS):
        return sorted(layers, key=lambda layer: LAYERS.index(layer.name))
    return list(layers)


def _pair(path: Path, wanted: str, layer: Layer, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Weights and biases of one layer."""
    called = wanted if layer.name == wanted else f"{wanted} (called {layer.name!r})"
    if len(layer.blobs) != 2:
        raise CamtraceError(f"{path}: {called}: {len(layer.blobs)} arrays, expected 2: weights {shape} and biases {shape[:1]}")
    weights, biases = layer.blobs
    return _fit(weights, shape, f"{path}: {called}: weights"), _fit(biases, shape[:1], f"{path}: {called}: biases")


def _fit(array: Array, shape: tuple[int, ...], what: str) -> Array:
    """The array in the wanted shape: old files write every array with 4 dimensions, the first ones 1."""
    spare = array.ndim - len(shape)
    if spare < 0 or array.shape != (1,) * spare + shape:
        raise CamtraceError(f"{what}: found shape {array.shape}, expected {shape}")
    if not np.isfinite(array).all():
        raise CamtraceError(f"{what}: holds values that are not finite numbers; get the file again")
    return array.reshape(shape)


def imported_card(manifest: Manifest) -> str:
    """Markdown card: whose weights these are, what may be done with them, and what is known of them."""
    return f"""# {manifest.name} {manifest.version}

Weights of others, imported from Caffe; {len(manifest.cameras)} cameras. The net is that of {SOURCE}.
camtrace neither trained nor measured it. The values are those of the imported files; only the file format is another.

## Licence

The weights that Bondi et al. released may not be redistributed or modified. If the imported files are these, the same holds for this
folder, and for every bundle that `camtrace enroll` makes from it, since it carries the same net. camtrace's own licence does not
cover them.

## What is known of it

- The paper reports 93 % of single patches named rightly, for 18 cameras of the Dresden data set. That figure is the authors'; it was
  not measured with this bundle.
- With the released weights, on 17 photos as their Dresden cameras saved them, 94 % of the photos and 93 % of the patches were named
  rightly.
- The same photos saved again as JPEG: 6 % of the photos at quality 90 and 6 % at quality 70; resized to 0.8: 6 %. The mean softmax of
  the answers was 0.92, 0.96 and 0.85: on a photo that was saved again this net is confidently wrong. Moved by 4 pixels: 88 %.
- Whether the imported files are the released weights was not checked; the figures of others do not hold for other weights.

## How it answers

- The threshold for `unknown` was not measured: it is 0, so that one of the cameras is always named, whatever took the photo.
- The softmax is no probability; none is shown. `summed` votes by the mean softmax of the patches, as the authors' code does,
  `majority` by the number of patches, as the paper does. This bundle's own way is `{manifest.vote}`.
- Patches are chosen by the rule `{manifest.rule}`, which was used with the released weights, and read as RGB.
- There are no reference features in it: `camtrace enroll --only` can use its net for other cameras, but none can join its own.

## Cameras

{chr(10).join(f"- {camera.name}" for camera in manifest.cameras)}
"""
