"""What makers write into the EXIF against the names that cameras go by here."""

from __future__ import annotations

import pytest

from camtrace.claim import agrees, canonical
from camtrace.types import Claim

SAME = [
    ("NIKON CORPORATION", "NIKON D90", "Nikon D90"),
    ("NIKON", "COOLPIX L6", "Nikon COOLPIX L6"),
    ("Apple", "iPhone 7", "Apple iPhone 7"),
    ("LG Electronics", "LG-D605", "LG LG-D605"),
    ("LG Electronics", "LG-D605", "LG D605"),
    ("samsung", "GT-I9300", "Samsung GT-I9300"),
    ("SAMSUNG ELECTRONICS", "GT-I9300", "Samsung GT-I9300"),
    ("Canon", "Canon EOS M3", "Canon EOS M3"),
    ("OLYMPUS CORPORATION", "C55Z,C5500Z", "Olympus C55Z,C5500Z"),
    ("OLYMPUS OPTICAL CO.,LTD", "C55Z,C5500Z", "Olympus C55Z,C5500Z"),
    ("OLYMPUS IMAGING CORP.  ", "u1050SW,S1050SW", "Olympus u1050SW,S1050SW"),
    ("EASTMAN KODAK COMPANY", "KODAK EASYSHARE M1063", "Kodak EASYSHARE M1063"),
    ("FUJIFILM", "X-A2", "Fujifilm X-A2"),
    ("Xiaomi", "22101316I", "Xiaomi 22101316I"),
    ("TCT", "ALCATEL ONE TOUCH 5020T", "TCT ALCATEL ONE TOUCH 5020T"),
    ("SAMSUNG", "SAMSUNG ES90/ ES91", "Samsung ES90/ ES91"),
    (None, "NIKON D90", "Nikon D90"),
    ("", "Canon EOS M3", "Canon_EOS_M3"),
    ("GoPro", "HERO3+ Silver", "GoPro HERO3 Plus Silver"),
    ("小米", "手机 8", "小米 手机 8"),
]

DIFFERENT = [
    ("Apple", "iPhone 7", "Apple iPhone 7 Plus"),
    ("Apple", "iPhone 7 Plus", "Apple iPhone 7"),
    ("NIKON CORPORATION", "NIKON D40", "Nikon D40X"),
    ("NIKON CORPORATION", "NIKON D90", "Nikon D9"),
    ("samsung", "GT-I9300", "Samsung GT-I9305"),
    ("Canon", "Canon EOS M3", "Nikon D90"),
    ("GoPro", "HERO3", "GoPro HERO3+"),
    ("NIKON CORPORATION", "   ", "Nikon D90"),
    ("", "CAMERA", "Nikon D90"),
    (None, "小米", "华为"),
]


@pytest.mark.parametrize(("make", "model", "camera"), SAME)
def test_same_camera(make: str | None, model: str, camera: str) -> None:
    assert agrees(Claim(make, model), camera) is True


@pytest.mark.parametrize(("make", "model", "camera"), DIFFERENT)
def test_different_camera(make: str | None, model: str, camera: str) -> None:
    assert agrees(Claim(make, model), camera) is False


@pytest.mark.parametrize("make", [None, "Apple"])
def test_no_model_is_no_claim(make: str | None) -> None:
    assert agrees(Claim(make, None), "Apple iPhone 7") is None


def test_canonical() -> None:
    assert canonical("NIKON CORPORATION NIKON D90") == canonical("Nikon_D90") == "nikond90"
