"""Scenes: what made cameras look at. Linear light, RGB (height, width, 3) float32 in [0, 1].

A scene is either drawn from a seed (`draw_scene`, for the demo and the tests) or a real photo cleaned of the traces of the
camera that took it (`clean_scene`, for training).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from camtrace.simulator.filters import Plane, gaussian

DISPLAY_GAMMA = 2.2
BRIGHTNESS = np.float32(0.3)
"""Drawn scenes stay dim enough that cameras rarely blow the lights: saturated patches tell nothing."""


def clean_scene(rgb: NDArray[np.uint8]) -> Plane:
    """Average a photo 2x down in linear light: demosaicing, sharpening and JPEG traces go, (h, w, 3) -> (h/2, w/2, 3)."""
    height, width = rgb.shape[0] // 2 * 2, rgb.shape[1] // 2 * 2
    linear = (rgb[:height, :width].astype(np.float32) / 255) ** np.float32(DISPLAY_GAMMA)
    halved: Plane = linear.reshape(height // 2, 2, width // 2, 2, 3).mean(axis=(1, 3))
    return halved


def draw_scene(height: int, width: int, *, seed: int) -> Plane:
    """Draw sky-like gradients, coloured surfaces with edges, and textures whose strength changes from place to place."""
    rng = np.random.default_rng(seed)
    scene = _gradient(height, width, rng)
    for _ in range(rng.integers(6, 14)):
        surface = _surface(height, width, rng)[..., None]
        scene = scene * (1 - surface) + surface * rng.uniform(0.02, 0.8, 3).astype(np.float32)
    for roughness in (0.6, 1.0, 1.5):
        grain = _fractal_noise(height, width, roughness, rng)
        where = np.clip(gaussian(rng.normal(size=(height, width)).astype(np.float32), 24) * 24, 0, 1)
        tint = 1 + rng.normal(0, 0.15, 3).astype(np.float32)
        scene = scene * (1 + np.float32(0.35) * (grain * where)[..., None] * tint)
    return BRIGHTNESS * np.clip(scene, 0.001, 1)


def _gradient(height: int, width: int, rng: np.random.Generator) -> Plane:
    corners = rng.uniform(0.05, 0.7, (4, 3)).astype(np.float32)
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None, None]
    across = np.linspace(0, 1, width, dtype=np.float32)[None, :, None]
    top, bottom = corners[0] * (1 - across) + corners[1] * across, corners[2] * (1 - across) + corners[3] * across
    blended: Plane = top * (1 - down) + bottom * down
    return blended


def _surface(height: int, width: int, rng: np.random.Generator) -> Plane:
    """Soft-edged mask (h, w) of a random polygon: the overlap of a few half-planes around one centre."""
    rows, cols = np.indices((height, width), dtype=np.float32)
    centre = rng.uniform(0, 1, 2) * (height, width)
    mask = np.ones((height, width), np.float32)
    for angle in np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 7))):
        reach = rng.uniform(0.08, 0.4) * min(height, width)
        distance = (rows - centre[0]) * np.sin(angle) + (cols - centre[1]) * np.cos(angle) - reach
        mask *= np.clip(np.float32(0.5) - distance.astype(np.float32), 0, 1)
    return mask


def _fractal_noise(height: int, width: int, roughness: float, rng: np.random.Generator) -> Plane:
    """Noise (h, w) of unit variance whose spectrum falls as 1 / frequency^roughness, as natural textures do."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.normal(size=(height, width))) / frequency**roughness
    spectrum[0, 0] = 0
    noise = np.fft.irfft2(spectrum, s=(height, width))
    unit: Plane = (noise / noise.std()).astype(np.float32)
    return unit
