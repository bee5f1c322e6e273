"""What happens to photos after the camera, by name: JPEG again, resizing, gamma, a moved grid, a messenger (METHOD section 5).

Every degradation takes the pixels of a whole photo, (h, w, 3) uint8 RGB, and gives new ones of the same kind; none changes its
input, and only those `at_random` draw anything. They are the manipulations of the IEEE Signal Processing Cup 2018
(Stamm, Bestagini, Marcenaro, Campisi, "Forensic camera model identification", IEEE SPM 35(5), 2018), and a few that users meet.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from functools import partial

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from camtrace.types import CamtraceError

Pixels = NDArray[np.uint8]
Degradation = Callable[[Pixels], Pixels]

NATIVE = "native"
"""The name of photos as they are."""

GRID = 8
"""Side of a JPEG block in pixels."""

FORMS = '"native", "messenger", "jpeg 1..100", "resize 0.1..4", "gamma 0.1..10", "shift 1..7", or several joined by " + "'

_CHAIN_SCALES = (0.5, 0.75, 0.8, 1.25, 1.5, 2.0)
_KERNELS = (Image.Resampling.BICUBIC, Image.Resampling.BILINEAR, Image.Resampling.LANCZOS)

_MORE_THAN_SAVING = 0.66
"""How often a step at random is more than JPEG alone."""

_JOINT = " + "
_FORM = re.compile(r"(jpeg|resize|gamma|shift) ([0-9]+(?:\.[0-9]+)?)")
_LIMITS = {"jpeg": (1, 100), "resize": (0.1, 4), "gamma": (0.1, 10), "shift": (1, GRID - 1)}
_WHOLE_NUMBERS = ("jpeg", "shift")


def save_again(pixels: Pixels, *, quality: int, subsampling: str = "4:2:0") -> Pixels:
    """Save as JPEG and decode: the standard tables scaled to `quality` (1..100) as libjpeg does.

    Pillow encodes, since simplejpeg's encoder takes a fast and less exact transform below quality 96, whatever `fastdct` says;
    simplejpeg decodes as `camtrace.photo` does.
    """
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality, subsampling=subsampling)
    decoded: Pixels = simplejpeg.decode_jpeg(stream.getvalue(), colorspace="RGB", fastdct=False, fastupsample=False)
    return decoded


def resize(pixels: Pixels, *, factor: float) -> Pixels:
    """Scale both sides by `factor`, halves rounded up, at least one pixel.

    Pillow's bicubic: its kernel grows with the reduction, so that a smaller photo is smoothed first (MATLAB's `imresize` does so
    too, OpenCV does not).
    """
    height, width = (max(1, int(side * factor + 0.5)) for side in pixels.shape[:2])
    return np.array(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))


def correct_gamma(pixels: Pixels, *, gamma: float) -> Pixels:
    """Value v of 0..255 becomes 255 (v / 255)^gamma, rounded: above 1 darkens, below 1 brightens (MATLAB's `imadjust`)."""
    table = np.rint(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)
    return table[pixels]


def shift_grid(pixels: Pixels, *, by: int) -> Pixels:
    """Drop the first `by` rows and columns: patches and JPEG blocks then start elsewhere; an odd number moves the Bayer cell too.

    Raises
    ------
    CamtraceError
        Nothing would be left.
    """
    height, width = pixels.shape[:2]
    if min(height, width) <= by:
        raise CamtraceError(f"a photo of {width}x{height} pixels cannot lose its first {by} rows and columns; a larger photo is needed")
    return pixels[by:, by:].copy()


def degrade_at_random(pixels: Pixels, rng: np.random.Generator, *, smallest: int) -> Pixels:
    """What may have happened to a photo on its way: one step or two, each of them a resizing (0.5 to 2), a crop that moves the grid,
    gamma or noise, mostly with JPEG 60 to 98 after it, or JPEG alone; no side becomes smaller than `smallest` pixels.
    """
    for _ in range(1 if rng.random() < 0.75 else 2):
        pixels = _step_at_random(pixels, rng, rng.random(), smallest)
    return pixels


def change_at_random(pixels: Pixels, rng: np.random.Generator, *, smallest: int) -> Pixels:
    """The same, but the first step is more than saving."""
    steps = 1 if rng.random() < 0.75 else 2
    pixels = _step_at_random(pixels, rng, _MORE_THAN_SAVING * rng.random(), smallest)
    return pixels if steps == 1 else _step_at_random(pixels, rng, rng.random(), smallest)


def save_again_at_random(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """JPEG 60 to 98 on the grid that there is, and nothing else."""
    subsampling = str(rng.choice(["4:4:4", "4:2:0", "4:2:0", "4:2:2"]))
    return save_again(np.ascontiguousarray(pixels), quality=int(rng.integers(60, 99)), subsampling=subsampling)


def _step_at_random(pixels: Pixels, rng: np.random.Generator, kind: float, smallest: int) -> Pixels:
    if kind < 0.35:
        pixels = _resize_at_random(pixels, rng, smallest)
    elif kind < 0.55:
        row, column = np.minimum(rng.integers(0, 16, 2), np.maximum(0, np.array(pixels.shape[:2]) - smallest))
        pixels = pixels[row:, column:]
    elif kind < 0.62:
        pixels = correct_gamma(pixels, gamma=float(rng.uniform(0.7, 1.4)))
    elif kind < _MORE_THAN_SAVING:
        noise = rng.normal(0, rng.uniform(0.5, 2.0), pixels.shape)
        pixels = np.rint(np.clip(pixels + noise, 0, 255)).astype(np.uint8)
    return save_again_at_random(pixels, rng) if kind >= _MORE_THAN_SAVING or rng.random() < 0.75 else pixels


def _resize_at_random(pixels: Pixels, rng: np.random.Generator, smallest: int) -> Pixels:
    """To a customary size or to any between half and 1.8 times, with a kernel that editors use."""
    customary = rng.random() < 0.5
    factor = float(rng.choice(_CHAIN_SCALES)) if customary else float(np.exp(rng.uniform(np.log(0.5), np.log(1.8))))
    height, width = (max(smallest, round(side * factor)) for side in pixels.shape[:2])
    return np.asarray(Image.fromarray(pixels).resize((width, height), _KERNELS[int(rng.integers(len(_KERNELS)))]))


def keep(pixels: Pixels) -> Pixels:
    """Change nothing."""
    return pixels


def degradation(name: str) -> Degradation:
    """The degradation of a name, among them many that DEGRADATIONS does not list: "jpeg 83", "resize 0.5 + jpeg 80".

    What it gives can be sent to other processes. The steps of a chain are done from left to right.

    Raises
    ------
    CamtraceError
        The name has another form, or a number out of its range; the message lists the forms.
    """
    steps = tuple(_step(part) for part in name.split(_JOINT))
    return steps[0] if len(steps) == 1 else partial(_chain, steps=steps)


def _step(name: str) -> Degradation:
    if name in _PLAIN:
        return _PLAIN[name]
    form = _FORM.fullmatch(name)
    if not form:
        raise CamtraceError(f"{name!r} is no degradation; expected {FORMS}")
    kind, number = form[1], float(form[2])
    low, high = _LIMITS[kind]
    if not low <= number <= high or (kind in _WHOLE_NUMBERS and not form[2].isdecimal()):
        whole = "a whole number" if kind in _WHOLE_NUMBERS else "a number"
        raise CamtraceError(f"{name!r}: {kind} takes {whole} from {low} to {high}; expected {FORMS}")
    return _MAKERS[kind](number)


def _chain(pixels: Pixels, *, steps: tuple[Degradation, ...]) -> Pixels:
    for step in steps:
        pixels = step(pixels)
    return pixels


_MAKERS: dict[str, Callable[[float], Degradation]] = {
    "jpeg": lambda number: partial(save_again, quality=int(number)),
    "resize": lambda number: partial(resize, factor=number),
    "gamma": lambda number: partial(correct_gamma, gamma=number),
    "shift": lambda number: partial(shift_grid, by=int(number)),
}

_PLAIN: dict[str, Degradation] = {NATIVE: keep}
_PLAIN["messenger"] = degradation("resize 0.75 + jpeg 75 + jpeg 80")  # made smaller and saved by the sender, saved again on the way

SP_CUP = ("jpeg 70", "jpeg 90", "resize 0.5", "resize 0.8", "resize 1.5", "resize 2.0", "gamma 0.8", "gamma 1.2")
"""The eight manipulations of the Signal Processing Cup 2018."""

DEGRADATIONS: dict[str, Degradation] = {
    name: degradation(name)
    for name in (
        NATIVE,
        *("jpeg 95", "jpeg 90", "jpeg 80", "jpeg 70"),
        *("resize 0.5", "resize 0.8", "resize 1.5", "resize 2.0"),
        *("gamma 0.8", "gamma 1.2"),
        *("shift 1", "shift 4", "shift 7"),
        "messenger",
    )
}
"""What the experiments on robustness run, in the order of their tables."""
