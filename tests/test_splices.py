"""The readers of splicing sets on made trees of empty files, and the colours of their masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from camtrace.lab.splices import SPLICE_LAYOUTS, Splice, read_mask, read_splices, recognise_splices
from camtrace.types import CamtraceError
from made import encode

SPLICES: dict[str, dict[str, str | None]] = {  # layout -> photo, its mask
    "columbia": {
        "4cam_splc/canong3_canonxt_sub_01.tif": "4cam_splc/edgemask/canong3_canonxt_sub_01_edgemask.jpg",
        "4cam_splc/canong3_canonxt_sub_02.TIF": "4cam_splc/edgemask/canong3_canonxt_sub_02_edgemask.JPG",
        "4cam_auth/canong3_02_sub_01.tif": None,
    },
    "dso1": {
        "tifs-database/DSO-1/splicing-01.png": "tifs-database/DSO-1-Fake-Images-Masks/splicing-01.png",
        "tifs-database/DSO-1/normal-01.png": None,
    },
    "realistic_tampering": {
        "Canon_60D/tampered-realistic/DPP0012.TIF": "Canon_60D/ground-truth/DPP0012.PNG",
        "Sony_A57/tampered-realistic/DSC0001.TIF": "Sony_A57/ground-truth/DSC0001.png",
        "Canon_60D/pristine/DPP0012.TIF": None,
        "Sony_A57/pristine/DSC0001.TIF": None,
    },
    "cocoglide": {
        "CocoGlide/fake/glide_inpainting_val2017_100582_up.png": "CocoGlide/mask/airplane_100582_mask.png",
        "CocoGlide/fake/glide_inpainting_val2017_2_up.png": "CocoGlide/mask/dining table_2_mask.png",
        "CocoGlide/real/airplane_100582.png": None,
        "CocoGlide/real/dining table_2.png": None,
    },
}


def build_splices(name: str, root: Path) -> Path:
    extra = {"columbia": ["4cam_auth/edgemask/x_edgemask.jpg", "4cam_splc/._a.tif", "README.txt"]}.get(name, [])
    for path in [*SPLICES[name], *(mask for mask in SPLICES[name].values() if mask), *extra]:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()
    return root


def test_every_splicing_set_has_a_tree() -> None:
    assert set(SPLICES) == set(SPLICE_LAYOUTS)


@pytest.mark.parametrize("name", sorted(SPLICES))
def test_forged_photos_come_with_masks_and_untouched_ones_without(name: str, tmp_path: Path) -> None:
    root = build_splices(name, tmp_path)
    expected = [Splice(root / photo, root / mask if mask else None) for photo, mask in SPLICES[name].items()]
    found = read_splices(root)
    assert len(found) == len(expected)
    for splice, wanted in zip(found, expected, strict=True):
        assert splice.photo == wanted.photo
        assert (splice.mask is None) == (wanted.mask is None)
        assert splice.mask is None or splice.mask.samefile(wanted.mask or "")  # some disks do not tell a.PNG from a.png
    assert recognise_splices(root) == [name]
    assert read_splices(root, layout=name) == found
    layout = SPLICE_LAYOUTS[name]
    assert layout.tree in (layout.read.__doc__ or "")


@pytest.mark.parametrize("name", sorted(SPLICES))
def test_a_forged_photo_without_its_mask_does_not_pass_for_an_untouched_one(name: str, tmp_path: Path) -> None:
    root = build_splices(name, tmp_path)
    photo, mask = next((photo, mask) for photo, mask in SPLICES[name].items() if mask)
    (root / mask).unlink()
    with pytest.raises(CamtraceError, match="no mask for this forged photo; expected") as error:
        read_splices(root)
    assert Path(photo).name in str(error.value)


def test_splicing_sets_that_are_not_there_or_not_alone_are_errors(tmp_path: Path) -> None:
    with pytest.raises(CamtraceError, match=r"no splicing set found; expected .*4cam_splc"):
        read_splices(tmp_path)
    with pytest.raises(CamtraceError, match="'casia' is not a splicing set that camtrace reads; expected one of cocoglide"):
        read_splices(tmp_path, layout="casia")
    build_splices("columbia", tmp_path / "a")
    build_splices("dso1", tmp_path / "b")
    with pytest.raises(CamtraceError, match="looks like columbia and like dso1; say which"):
        read_splices(tmp_path)
    assert len(read_splices(tmp_path, layout="dso1")) == 2
    with pytest.raises(CamtraceError, match=r"no splicing set found; expected .*tampered-realistic"):
        read_splices(tmp_path, layout="realistic_tampering")
    (tmp_path / "c" / "4cam_splc").mkdir(parents=True)
    with pytest.raises(CamtraceError, match="no photos of columbia found"):
        read_splices(tmp_path / "c")


@pytest.mark.parametrize(
    ("name", "forged", "genuine"),
    [
        ("columbia", [(0, 200, 0), (0, 255, 0)], [(200, 0, 0), (255, 0, 0)]),
        ("dso1", [(0, 0, 0)], [(255, 255, 255)]),
        ("realistic_tampering", [(255, 255, 255), (127, 127, 127)], [(0, 0, 0)]),
        ("cocoglide", [(255, 255, 255)], [(0, 0, 0)]),
    ],
)
def test_masks_are_read_by_the_colours_of_their_set(
    name: str, forged: list[tuple[int, ...]], genuine: list[tuple[int, ...]], tmp_path: Path
) -> None:
    path = tmp_path / "mask.png"
    path.write_bytes(encode(np.array([[*forged, *genuine]] * 3, np.uint8), "PNG"))
    mask = read_mask(path, layout=name)
    assert mask.dtype == bool
    assert mask.tolist() == [[True] * len(forged) + [False] * len(genuine)] * 3


def test_a_mask_that_is_no_image_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mask.png").write_text("no image", "utf-8")
    with pytest.raises(CamtraceError, match=r"mask\.png: cannot be read as a mask"):
        read_mask(tmp_path / "mask.png", layout="dso1")
    with pytest.raises(CamtraceError, match="'x' is not a splicing set"):
        read_mask(tmp_path / "mask.png", layout="x")
