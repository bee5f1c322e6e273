"""Made cameras: known truth for the demo, the tests and the training of features.

A made camera is a set of processing choices. Two cameras differ in processing; two devices of a camera differ only in their
sensor's fingerprint (PRNU); every camera can shoot every scene, so content never explains the label (METHOD: crossing scenes
with cameras). `shoot` goes the way of light: scene -> lens -> Bayer sensor with noise -> demosaicing -> denoising -> colour
and tone -> sharpening -> scaling -> 8 bit; `save` adds the camera's own JPEG.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from camtrace.simulator import demosaic
from camtrace.simulator.filters import Plane, box, gaussian, guided, range_weighted, split_luma

SUBSAMPLINGS = ("4:4:4", "4:2:2", "4:2:0")
_MAKERS = ("Aurora", "Borealis", "Cygnus", "Dorado", "Eridanus", "Fornax")
_PRNU_STRENGTH = 0.012

# ITU-T T.81 Annex K, natural order: the tables that most encoders scale.
_LUMA_TABLE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
_CHROMA_TABLE = np.full((8, 8), 99)
_CHROMA_TABLE[:4, :4] = [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]

JpegTables = tuple[tuple[int, ...], tuple[int, ...]]


@dataclass(frozen=True)
class MadeCamera:
    """The processing of one camera model. Lengths in pixels, levels as parts of full scale."""

    make: str
    model: str
    phase: demosaic.Phase
    demosaic: str
    lens_blur: float
    vignetting: float
    shot_noise: float
    read_noise: float
    frames: int  # exposures averaged into one photo, as phones do
    white_balance: tuple[float, float]  # gains of red and blue on the sensor, undone after demosaicing
    chroma_blur: float
    denoiser: str  # none, guided, range
    denoise: float  # in units of the noise of the photo
    colour_matrix: tuple[tuple[float, ...], ...]  # 3x3
    gamma: float
    contrast: float
    local_contrast: float
    sharpen_radius: float
    sharpen_amount: float
    sharpen_coring: float
    sharpen_limit: float
    scale: float
    scale_filter: int  # PIL.Image.Resampling
    jpeg_tables: tuple[JpegTables, ...]  # luma and chroma, natural order; a photo is saved with one pair of them
    subsampling: str

    @property
    def name(self) -> str:
        """Make and model, as a camera is named everywhere in camtrace."""
        return f"{self.make} {self.model}"


def make_cameras(count: int, *, seed: int, tables: tuple[JpegTables, ...] = ()) -> list[MadeCamera]:
    """Invent `count` camera models; `tables`, where given, are JPEG tables of real cameras that half of them use."""
    rng = np.random.default_rng(seed)
    return [_make_camera(number, rng, tables) for number in range(count)]


def _make_camera(number: int, rng: np.random.Generator, tables: tuple[JpegTables, ...]) -> MadeCamera:
    make = _MAKERS[number % len(_MAKERS)]
    matrix = np.eye(3) + rng.normal(0, 0.12, (3, 3))
    matrix /= matrix.sum(axis=1, keepdims=True)  # grey stays grey
    resampled = rng.random() < 0.3
    return MadeCamera(
        make=make,
        model=f"{make[0]}{100 + number}",
        phase=(int(rng.integers(2)), int(rng.integers(2))),
        demosaic=str(rng.choice(list(demosaic.METHODS))),
        lens_blur=rng.uniform(0.2, 0.9),
        vignetting=rng.uniform(0, 0.3),
        shot_noise=10 ** rng.uniform(-2.3, -1.5),
        read_noise=10 ** rng.uniform(-3.3, -2.3),
        frames=int(rng.choice([1, 1, 1, 4, 8])),
        white_balance=(rng.uniform(0.45, 0.85), rng.uniform(0.45, 0.85)),
        chroma_blur=float(rng.choice([0, rng.uniform(0.5, 2.5)])),
        denoiser=str(rng.choice(["none", "guided", "range"])),
        denoise=rng.uniform(0.5, 3.0),
        colour_matrix=tuple(tuple(float(value) for value in row) for row in matrix),
        gamma=rng.uniform(0.40, 0.60),
        contrast=rng.uniform(0, 0.8),
        local_contrast=float(rng.choice([0, 0, rng.uniform(0.05, 0.35)])),
        sharpen_radius=rng.uniform(0.45, 1.8),
        sharpen_amount=float(rng.choice([0, rng.uniform(0.2, 2.0), rng.uniform(0.2, 2.0)])),
        sharpen_coring=float(rng.choice([0, rng.uniform(0.002, 0.015)])),
        sharpen_limit=float(rng.choice([1.0, rng.uniform(0.03, 0.15)])),
        scale=float(rng.uniform(0.78, 1.3)) if resampled else 1.0,
        scale_filter=int(rng.choice([Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS])),
        jpeg_tables=_pick_tables(rng, tables),
        subsampling=str(rng.choice(SUBSAMPLINGS, p=[0.25, 0.4, 0.35])),
    )


def _pick_tables(rng: np.random.Generator, real: tuple[JpegTables, ...]) -> tuple[JpegTables, ...]:
    """One to three pairs of tables: a camera saves at several qualities, so quality alone is not its label."""
    count = int(rng.integers(1, 4))
    if real and rng.random() < 0.5:
        return tuple(real[int(index)] for index in rng.integers(len(real), size=count))
    bend, chroma_like_luma = rng.uniform(0.8, 1.15), rng.random() < 0.3
    chroma = _LUMA_TABLE if chroma_like_luma else _CHROMA_TABLE
    return tuple(
        (_scale_table(_LUMA_TABLE, quality, bend), _scale_table(chroma, quality, bend)) for quality in rng.uniform(80, 98.5, count)
    )


def _scale_table(table: NDArray[np.integer], quality: float, bend: float) -> tuple[int, ...]:
    """Scale a table as libjpeg does for `quality`, after bending its rise towards high frequencies."""
    percent = 200 - 2 * quality if quality >= 50 else 5000 / quality
    scaled = np.clip(np.floor(table.astype(float) ** bend * percent / 100 + 0.5), 1, 255)
    return tuple(int(step) for step in scaled.ravel())


def shoot(scene: Plane, camera: MadeCamera, *, device: int = 0, seed: int = 0, prnu: float = _PRNU_STRENGTH) -> NDArray[np.uint8]:
    """Take a photo of a linear-light scene (h, w, 3): RGB (h', w', 3) uint8 as the camera hands it to its JPEG encoder.

    `device` picks the sensor (its PRNU, of standard deviation `prnu` to a signal of 1); `seed` picks what changes from photo to photo:
    exposure, ISO, light and noise.
    """
    rng = np.random.default_rng([seed, device])
    iso = 4 ** rng.uniform(0, 1)
    noise_level = camera.read_noise * iso
    light = _through_lens(scene, camera) * np.float32(rng.uniform(0.7, 1.25))
    raw = _expose(light, camera, iso=iso, device=device, prnu=prnu, rng=rng)
    rgb = demosaic.METHODS[camera.demosaic](raw, camera.phase)
    rgb *= np.array([1 / camera.white_balance[0], 1, 1 / camera.white_balance[1]], np.float32)
    rgb = np.clip(_denoise(rgb, camera, noise_level), 0, None)
    rgb = _tone(rgb, camera, warmth=rng.normal(0, 0.04))
    rgb = _rescale(_sharpen(rgb, camera), camera)
    return (np.clip(rgb, 0, 1) * 255 + np.float32(0.5)).astype(np.uint8)


def save(rgb: NDArray[np.uint8], camera: MadeCamera, *, seed: int = 0, exif: bool = True) -> bytes:
    """Encode as this camera's JPEG, with its make and model in the EXIF unless told otherwise."""
    tables = camera.jpeg_tables[seed % len(camera.jpeg_tables)]
    claim = Image.Exif()
    if exif:
        claim[0x010F], claim[0x0110] = camera.make, camera.model
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, "JPEG", qtables=[list(table) for table in tables], subsampling=camera.subsampling, exif=claim)
    return stream.getvalue()


def _through_lens(scene: Plane, camera: MadeCamera) -> Plane:
    height, width = scene.shape[:2]
    down = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    across = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    fall_off = 1 - np.float32(camera.vignetting / 2) * (down**2 + across**2)
    return gaussian(scene, camera.lens_blur) * fall_off[..., None]


def _expose(light: Plane, camera: MadeCamera, *, iso: float, device: int, prnu: float, rng: np.random.Generator) -> Plane:
    """Bayer plane (h, w) with the sensor's PRNU, shot noise and read noise; averaging frames lowers the noise."""
    gains = np.array([camera.white_balance[0], 1, camera.white_balance[1]], np.float32)
    raw = demosaic.mosaic(light * gains, camera.phase)
    sensor = np.random.default_rng([device, *camera.name.encode()])
    raw = raw * (1 + np.float32(prnu) * sensor.standard_normal(raw.shape, np.float32))
    variance = (np.float32(camera.shot_noise**2 * iso) * raw + np.float32((camera.read_noise * iso) ** 2)) / camera.frames
    noisy = raw + np.sqrt(np.maximum(variance, 0)) * rng.standard_normal(raw.shape, np.float32)
    return np.clip(noisy, 0, 1)


def _denoise(rgb: Plane, camera: MadeCamera, noise_level: float) -> Plane:
    """Blur the colour differences, smooth the luma by the camera's denoiser."""
    luma, chroma = split_luma(rgb)
    if camera.chroma_blur:
        chroma = gaussian(chroma, camera.chroma_blur)
    strength = camera.denoise * (noise_level + camera.shot_noise * 0.3)
    if camera.denoiser == "guided":
        luma = guided(luma, radius=2, strength=strength)
    elif camera.denoiser == "range":
        luma = range_weighted(luma, radius=1, strength=strength)
    denoised: Plane = luma[..., None] + chroma
    return denoised


def _tone(rgb: Plane, camera: MadeCamera, *, warmth: float) -> Plane:
    rgb = rgb * np.array([1 + warmth, 1, 1 - warmth], np.float32)
    rgb = np.clip(rgb @ np.array(camera.colour_matrix, np.float32).T, 0, None)
    if camera.local_contrast:
        base = box(split_luma(rgb)[0], 15) + np.float32(0.02)
        rgb = rgb * ((base / base.mean()) ** np.float32(-camera.local_contrast))[..., None]
    toned = np.clip(rgb, 0, 1) ** np.float32(camera.gamma)
    s_curve = toned * toned * (3 - 2 * toned)
    contrasted: Plane = toned + np.float32(camera.contrast) * (s_curve - toned)
    return contrasted


def _sharpen(rgb: Plane, camera: MadeCamera) -> Plane:
    """Unsharp mask on the luma; coring leaves small detail alone, the limit caps halos."""
    if not camera.sharpen_amount:
        return rgb
    luma, _ = split_luma(rgb)
    detail = luma - gaussian(luma, camera.sharpen_radius)
    if camera.sharpen_coring:
        detail = np.sign(detail) * np.maximum(np.abs(detail) - np.float32(camera.sharpen_coring), 0)
    boost = np.clip(np.float32(camera.sharpen_amount) * detail, -camera.sharpen_limit, camera.sharpen_limit)
    sharpened: Plane = rgb + boost[..., None]
    return sharpened


def _rescale(rgb: Plane, camera: MadeCamera) -> Plane:
    """Resample as lens correction and digital zoom do."""
    if camera.scale == 1:
        return rgb
    size = round(rgb.shape[1] * camera.scale), round(rgb.shape[0] * camera.scale)
    method = Image.Resampling(camera.scale_filter)
    return np.stack([np.asarray(Image.fromarray(rgb[..., channel]).resize(size, method)) for channel in range(3)], axis=-1)
