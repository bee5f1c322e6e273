"""Splicing test sets: forged photos, the masks that say where, and untouched photos beside them.

Each reader's docstring draws the tree that the authors' archives unpack to, as other readers of the sets describe it. A set may lie
one or two folders below the root that is given. What the colours of a mask mean differs from set to set: `read_mask` knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from camtrace.lab.datasets.trees import subfolders
from camtrace.photo import SUFFIXES
from camtrace.types import CamtraceError


@dataclass(frozen=True)
class Splice:
    """A photo of a splicing set; no mask means that the photo is untouched."""

    photo: Path
    mask: Path | None


@dataclass(frozen=True)
class SpliceLayout:
    """How one splicing set lies on disk, and which pixels of its masks are forged."""

    name: str
    read: Callable[[Path], list[Splice]]  # folder with the markers -> splices, forged ones first
    markers: tuple[str, ...]  # names that must be in the set's folder, to recognise it
    forged: Callable[[NDArray[np.uint8]], NDArray[np.bool_]]  # mask (h, w, 3) -> (h, w)
    tree: str  # one path below the set's folder, as an example


def read_splices(root: Path, *, layout: str | None = None) -> list[Splice]:
    """Photos and masks of a set in a stable order, forged ones first; without a `layout`, the one whose folders are there.

    Raises
    ------
    CamtraceError
        No set is recognised or several are, `layout` is unknown or does not fit, there is no photo, or a forged one has no mask.
    """
    chosen = [_named(layout)] if layout else list(SPLICE_LAYOUTS.values())
    homes = {choice.name: home for choice in chosen if (home := _home(root, choice.markers))}
    if not homes:
        trees = " or ".join(f"{root}/{choice.tree}" for choice in chosen)
        raise CamtraceError(f"{root}: no splicing set found; expected {trees}")
    if len(homes) > 1:
        raise CamtraceError(f"{root}: looks like {' and like '.join(homes)}; say which")
    [(name, home)] = homes.items()
    splices = SPLICE_LAYOUTS[name].read(home)
    if not splices:
        raise CamtraceError(f"{home}: no photos of {name} found; expected {home}/{SPLICE_LAYOUTS[name].tree}")
    return splices


def recognise_splices(root: Path) -> list[str]:
    """Names of the splicing sets that lie in a folder, or at most two levels below."""
    return [name for name, layout in SPLICE_LAYOUTS.items() if _home(root, layout.markers)]


def read_mask(mask: Path, *, layout: str) -> NDArray[np.bool_]:
    """Mask of a set -> (h, w), True where forged.

    Raises
    ------
    CamtraceError
        The file cannot be read as an image, or `layout` is unknown.
    """
    forged = _named(layout).forged
    try:
        with Image.open(mask) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (OSError, UnidentifiedImageError) as error:
        raise CamtraceError(f"{mask}: cannot be read as a mask: {error}; expected an image") from error
    return forged(pixels)


def _named(layout: str) -> SpliceLayout:
    if layout not in SPLICE_LAYOUTS:
        names = ", ".join(sorted(SPLICE_LAYOUTS))
        raise CamtraceError(f"{layout!r} is not a splicing set that camtrace reads; expected one of {names}")
    return SPLICE_LAYOUTS[layout]


def read_columbia(folder: Path) -> list[Splice]:
    """Columbia Uncompressed Image Splicing Detection (Hsu and Chang, ICME 2006): 180 forged, 183 untouched, TIFF.

        4cam_splc/canong3_canonxt_sub_01.tif
        4cam_splc/edgemask/canong3_canonxt_sub_01_edgemask.jpg     green where spliced in, red elsewhere
        4cam_auth/canong3_02_sub_01.tif

    A folder `edgemask` beside the untouched photos says nothing of forging and is left alone.
    """
    spliced = folder / "4cam_splc"
    forged = [(photo, spliced / "edgemask" / f"{photo.stem}_edgemask.jpg") for photo in _photos(spliced)]
    return _pairs(forged, _photos(folder / "4cam_auth"))


def read_dso1(folder: Path) -> list[Splice]:
    """DSO-1 (de Carvalho et al., IEEE TIFS 2013): 100 forged, 100 untouched, PNG; `tifs-database.zip`.

        DSO-1/splicing-01.png
        DSO-1-Fake-Images-Masks/splicing-01.png                    black where forged
        DSO-1/normal-01.png

    Names that begin with `splicing` are the forged ones.
    """
    photos = _photos(folder / "DSO-1")
    masks = folder / "DSO-1-Fake-Images-Masks"
    forged = [photo for photo in photos if photo.name.lower().startswith("splicing")]
    return _pairs([(photo, masks / f"{photo.stem}.png") for photo in forged], [photo for photo in photos if photo not in forged])


def read_realistic_tampering(folder: Path) -> list[Splice]:
    """Realistic Tampering Dataset (Korus and Huang, IEEE TIFS 2017): 220 forged and their 220 originals, TIFF.

        Canon_60D/tampered-realistic/DPP0012.TIF                   so for Nikon_D90, Nikon_D7000 and Sony_A57
        Canon_60D/ground-truth/DPP0012.PNG                         white where forged, grey where forging spilled over
        Canon_60D/pristine/DPP0012.TIF

    A forged photo and its original have one name: keep them on one side of a split.
    """
    forged, untouched = [], []
    for camera in subfolders(folder):
        forged += [(photo, camera / "ground-truth" / f"{photo.stem}.PNG") for photo in _photos(camera / "tampered-realistic")]
        untouched += _photos(camera / "pristine")
    return _pairs(forged, untouched)


def read_cocoglide(folder: Path) -> list[Splice]:
    """CocoGlide (Guillaro et al., CVPR 2023): 512 photos of COCO, inpainted by GLIDE, and as they were; PNG, 256x256.

        fake/glide_inpainting_val2017_100582_up.png
        mask/airplane_100582_mask.png                              white where inpainted; named as the original, not as the fake
        real/airplane_100582.png

    The number of the photo in COCO joins the three.
    """
    masks = {_coco_number(path.stem.removesuffix("_mask")): path for path in _photos(folder / "mask")}
    forged = []
    for photo in _photos(folder / "fake"):
        number = _coco_number(photo.stem.removesuffix("_up"))
        forged.append((photo, masks.get(number, folder / "mask" / f"..._{number}_mask.png")))
    return _pairs(forged, _photos(folder / "real"))


def _coco_number(stem: str) -> str:
    return stem.rpartition("_")[2]


def _photos(folder: Path) -> list[Path]:
    """Photos directly in a folder, sorted, hidden ones left alone."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.name.startswith("."))


def _pairs(forged: Iterable[tuple[Path, Path]], untouched: Iterable[Path]) -> list[Splice]:
    """Forged photos with their masks, then untouched ones."""
    return [*(Splice(photo, _existing(photo, mask)) for photo, mask in forged), *(Splice(photo, None) for photo in untouched)]


def _existing(photo: Path, mask: Path) -> Path:
    """The mask, in whatever case its ending is; a forged photo without one must not pass for an untouched one."""
    for ending in (mask.suffix, mask.suffix.lower(), mask.suffix.upper()):
        if (path := mask.with_suffix(ending)).is_file():
            return path
    raise CamtraceError(f"{photo}: no mask for this forged photo; expected {mask}")


def _home(root: Path, markers: tuple[str, ...]) -> Path | None:
    """The folder that has all the markers: the root, or one up to two levels below; a marker `*/x` may be in any subfolder."""
    inner = subfolders(root)
    candidates = [root, *inner, *(deep for folder in inner for deep in subfolders(folder))]
    return next((folder for folder in candidates if all(any(folder.glob(marker)) for marker in markers)), None)


SPLICE_LAYOUTS = {
    layout.name: layout
    for layout in (
        SpliceLayout(
            name="columbia",
            read=read_columbia,
            markers=("4cam_splc",),
            forged=lambda mask: mask[..., 1] > 127,  # JPEG blurs the colours, and borders are brighter than areas: half way
            tree="4cam_splc/canong3_canonxt_sub_01.tif",
        ),
        SpliceLayout(
            name="dso1",
            read=read_dso1,
            markers=("DSO-1",),
            forged=lambda mask: mask[..., 0] < 128,
            tree="DSO-1/splicing-01.png",
        ),
        SpliceLayout(
            name="realistic_tampering",
            read=read_realistic_tampering,
            markers=("*/tampered-realistic",),
            forged=lambda mask: mask[..., 0] > 63,  # grey too: what the forging spilled over to was changed as well
            tree="Canon_60D/tampered-realistic/DPP0012.TIF",
        ),
        SpliceLayout(
            name="cocoglide",
            read=read_cocoglide,
            markers=("fake", "mask", "real"),
            forged=lambda mask: mask[..., 0] > 127,
            tree="fake/glide_inpainting_val2017_100582_up.png",
        ),
    )
}
