"""What makers write into the EXIF against the names that cameras go by here."""

from __future__ import annotations

import json
import re
import time
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camtrace.claim import agrees, camera_of, canonical, maker_of, same_camera
from camtrace.types import UNKNOWN, Claim, Level

TABLE: dict[str, Any] = json.loads((files("camtrace") / "names.json").read_text("utf-8"))
KINDS = ["data set names", "firmware strings", "market names", "one class", "sub-brands"]

SAME = [
    ("NIKON CORPORATION", "NIKON D90", "Nikon D90"),
    ("NIKON", "COOLPIX L6", "Nikon COOLPIX L6"),
    ("NIKON", "E5700", "Nikon COOLPIX 5700"),
    ("NIKON CORPORATION", "NIKON D70s", "Nikon D70"),
    ("Apple", "iPhone 7", "Apple iPhone 7"),
    ("LG Electronics", "LG-D605", "LG LG-D605"),
    ("LG Electronics", "LG-D605", "LG D605"),
    ("LG Electronics", "LG-D605", "LG Optimus L9 II"),
    ("LGE", "Nexus 5", "Google Nexus 5"),
    ("LGE", "Nexus 5X", "LG-Nexus-5x"),
    ("motorola", "Nexus 6", "Motorola-Nexus-6"),
    ("motorola", "XT1080", "Motorola-Droid-Maxx"),
    ("motorola", "XT1053", "Motorola-X"),
    ("HTC", "HTC6500LVW", "HTC-1-M7"),
    ("HTC", "HTC One", "HTC-1-M7"),
    ("samsung", "GT-I9300", "Samsung GT-I9300"),
    ("samsung", "SHV-E210S", "Samsung GT-I9300"),
    ("samsung", "SCH-I545", "Samsung-Galaxy-S4"),
    ("samsung", "SM-N9005", "Samsung-Galaxy-Note3"),
    ("samsung", "SM-A346B", "Samsung Galaxy A34 5G"),
    ("samsung", "Galaxy S23 Ultra", "Samsung SM-S918B"),
    ("samsung", "Galaxy M12", "Samsung SM-M127G"),
    ("samsung", "SM-G955U", "Samsung Galaxy S8 Plus"),
    ("SAMSUNG ELECTRONICS", "GT-I9300", "Samsung GT-I9300"),
    ("SAMSUNG TECHWIN CO., LTD.", "NV15, VLUU NV15", "Samsung_NV15"),
    ("SAMSUNG", "SAMSUNG ES90/ ES91", "Samsung ES90/ ES91"),
    ("SAMSUNG", "SAMSUNG ES90/ ES91", "Samsung ES91"),
    ("Canon", "Canon EOS M3", "Canon EOS M3"),
    ("Canon", "Canon EOS 700D", "Canon EOS REBEL T5i"),
    ("Canon", "Canon EOS Kiss X7i", "Canon EOS REBEL T5i"),
    ("Canon", "Canon EOS 450D", "Canon EOS DIGITAL REBEL XSi"),
    ("Canon", "Canon EOS Kiss X2", "Canon EOS DIGITAL REBEL XSi"),
    ("Canon", "Canon EOS 350D DIGITAL", "Canon EOS DIGITAL REBEL XT"),
    ("Canon", "Canon EOS Rebel T7", "Canon EOS 2000D"),
    ("Canon", "Canon EOS 1500D", "Canon EOS Kiss X90"),
    ("Canon", "Canon DIGITAL IXUS 70", "Canon_Ixus70"),
    ("Canon", "Canon DIGITAL IXUS 70", "Canon PowerShot SD1000"),
    ("Canon", "Canon IXY DIGITAL 10", "Canon PowerShot SD1000"),
    ("Canon", "Canon IXUS 125 HS", "Canon PowerShot ELPH 110 HS"),
    ("Canon", "Canon PowerShot ELPH 300 HS", "Canon IXUS 220HS"),
    ("OLYMPUS CORPORATION", "C55Z,C5500Z", "Olympus C55Z,C5500Z"),
    ("OLYMPUS OPTICAL CO.,LTD", "C55Z,C5500Z", "Olympus C55Z,C5500Z"),
    ("OLYMPUS IMAGING CORP.  ", "u1050SW,S1050SW", "Olympus u1050SW,S1050SW"),
    ("OLYMPUS IMAGING CORP.  ", "u1050SW,S1050SW", "Olympus_mju-1050SW"),
    ("OLYMPUS IMAGING CORP.  ", "u1050SW,S1050SW", "Olympus µ 1050 SW"),
    ("EASTMAN KODAK COMPANY", "KODAK EASYSHARE M1063", "Kodak EASYSHARE M1063"),
    ("EASTMAN KODAK COMPANY", "KODAK EASYSHARE M1063 DIGITAL CAMERA", "Kodak_M1063"),
    ("FUJIFILM", "X-A2", "Fujifilm X-A2"),
    ("FUJIFILM", "FinePix J50  ", "FujiFilm_FinePixJ50"),
    ("RICOH", "Caplio GX100", "Ricoh_GX100"),
    ("RICOH IMAGING COMPANY, LTD.", "PENTAX K-1", "Pentax K-1"),
    ("RICOH IMAGING COMPANY, LTD.", "PENTAX K-1", "Ricoh PENTAX K-1"),
    ("PENTAX Corporation", "PENTAX Optio A40", "Pentax_OptioA40"),
    ("CASIO COMPUTER CO.,LTD.", "EX-Z150", "Casio EXILIM EX-Z150"),
    ("Panasonic", "DMC-ZS7", "Panasonic Lumix DMC-TZ10"),
    ("SONY", "DSC-H50", "Sony Cyber-shot DSC-H50"),
    ("Sony", "D2203", "Sony D2202"),
    ("Sony", "XQ-CT54", "Sony Xperia 1 IV"),
    ("KONICA MINOLTA", "MAXXUM 7D", "Konica Minolta DYNAX 7D"),
    ("HUAWEI", "EVA-L09", "Huawei P9"),
    ("HUAWEI", "JSN-L21", "Honor 8X"),
    ("HMD Global", "Nokia 7 plus", "Nokia 7 Plus"),
    ("OnePlus", "ONEPLUS A3003", "OnePlus 3"),
    ("Xiaomi", "22101316I", "Xiaomi 22101316I"),
    ("Xiaomi", "22101316G", "Redmi Note 12 Pro 5G"),
    ("Xiaomi", "M2012K11AG", "POCO F3"),
    ("POCO", "M2012K11AG", "Xiaomi POCO F3"),
    ("Redmi", "22101316G", "Xiaomi 22101316I"),
    ("TCT", "ALCATEL ONE TOUCH 5020T", "TCT ALCATEL ONE TOUCH 5020T"),
    ("TCL", "ALCATEL ONE TOUCH 5020T", "Alcatel One Touch M'Pop"),
    (None, "NIKON D90", "Nikon D90"),
    (None, "GT-I9300", "Samsung GT-I9300"),
    (None, "X-A2", "Fujifilm X-A2"),
    ("", "Canon EOS M3", "Canon_EOS_M3"),
    ("GoPro", "HERO3+ Silver", "GoPro HERO3 Plus Silver"),
    ("小米", "手机 8", "小米 手机 8"),
    ("Carl Zeiss", "ZX1", "Carl Zeiss ZX1"),
]

DIFFERENT = [
    ("Apple", "iPhone 7", "Apple iPhone 7 Plus"),
    ("Apple", "iPhone 7 Plus", "Apple iPhone 7"),
    ("Apple", "iPhone SE (2nd generation)", "Apple iPhone SE"),
    ("NIKON CORPORATION", "NIKON D40", "Nikon D40X"),
    ("NIKON CORPORATION", "NIKON D3100", "Nikon D3000"),
    ("NIKON CORPORATION", "NIKON D90", "Nikon D9"),
    ("NIKON CORPORATION", "NIKON D200", "Nikon D70"),
    ("samsung", "GT-I9300", "Samsung GT-I9305"),
    ("samsung", "GT-I9300I", "Samsung GT-I9300"),
    ("samsung", "Galaxy A52", "Samsung Galaxy A52 5G"),
    ("samsung", "SM-G950F", "Samsung Galaxy S8+"),
    ("samsung", "SM-A127F", "Samsung SM-M127G"),
    ("Canon", "Canon EOS REBEL T5", "Canon EOS REBEL T5i"),
    ("Canon", "Canon EOS REBEL T6s", "Canon EOS REBEL T6i"),
    ("Canon", "Canon EOS 77D", "Canon EOS REBEL T7i"),
    ("Canon", "Canon EOS Kiss X7", "Canon EOS REBEL T5i"),
    ("Canon", "Canon EOS 200D", "Canon EOS 200D II"),
    ("Canon", "Canon DIGITAL IXUS 75", "Canon PowerShot SD1000"),
    ("Canon", "Canon PowerShot S100", "Canon DIGITAL IXUS"),  # the name of two cameras: left out
    ("Canon", "Canon EOS M3", "Nikon D90"),
    ("Google", "Nexus 6", "LG Nexus 5"),
    ("Google", "Pixel 3 XL", "Google Pixel 3"),
    ("HTC", "HTC One_M8", "HTC One"),
    ("HTC", "HTC One", "OnePlus One"),
    ("GoPro", "HERO3", "GoPro HERO3+"),
    ("Xiaomi", "Redmi Note 12 Pro", "Xiaomi 22101316I"),  # sold with and without 5G, which are two cameras
    ("Xiaomi", "Redmi 12", "Xiaomi 12"),
    ("Redmi", "12", "Xiaomi 12"),
    ("HUAWEI", "ANE-LX1", "Huawei P20"),
    ("Panasonic", "DMC-ZS3", "Panasonic DMC-TZ10"),
    ("Sony", "D2202", "Sony D2302"),
    (None, "P9", "Nikon D90"),
    (None, "小米", "华为"),
    ("Aurora", "A100", "Borealis A100"),
]

NOTHING_CLAIMED = [(None, None), ("Apple", None), ("Apple", ""), ("NIKON CORPORATION", "   "), ("", "CAMERA"), (None, "---")]

DRESDEN = {
    "Canon_Ixus70": "Canon Canon DIGITAL IXUS 70",
    "Casio_EX-Z150": "CASIO COMPUTER CO.,LTD. EX-Z150",
    "FujiFilm_FinePixJ50": "FUJIFILM FinePix J50",
    "Kodak_M1063": "EASTMAN KODAK COMPANY KODAK EASYSHARE M1063 DIGITAL CAMERA",
    "Nikon_CoolPixS710": "NIKON COOLPIX S710",
    "Nikon_D200": "NIKON CORPORATION NIKON D200",
    "Nikon_D70": "NIKON CORPORATION NIKON D70s",
    "Olympus_mju-1050SW": "OLYMPUS IMAGING CORP. u1050SW,S1050SW",
    "Panasonic_DMC-FZ50": "Panasonic DMC-FZ50",
    "Pentax_OptioA40": "PENTAX Corporation PENTAX Optio A40",
    "Praktica_DCZ5.9": "PRAKTICA DCZ 5.9",
    "Ricoh_GX100": "RICOH Caplio GX100",
    "Rollei_RCP-7325XS": "Rollei RCP-7325XS",
    "Samsung_L74wide": "SAMSUNG TECHWIN L74 wide",
    "Samsung_NV15": "Samsung Techwin NV15, VLUU NV15",
    "Sony_DSC-H50": "SONY DSC-H50",
    "Sony_DSC-T77": "SONY DSC-T77",
    "Sony_DSC-W170": "SONY DSC-W170",
}

MAKERS = [
    ("NIKON CORPORATION", "Nikon"),
    ("Nikon D90", "Nikon"),
    ("nikon_d90", "Nikon"),
    (Claim(None, "COOLPIX L6"), "Nikon"),
    (Claim("SAMSUNG TECHWIN CO., LTD.", "ES90"), "Samsung"),
    (Claim(None, "GT-I9300"), "Samsung"),
    (Claim("Samsung Electronics", None), "Samsung"),
    (Claim("LGE", "Nexus 5"), "LG"),
    (Claim("LG Electronics", "LG-D605"), "LG"),
    (Claim("TCL", "ALCATEL ONE TOUCH 5020T"), "TCT"),
    ("Alcatel One Touch 5020T", "TCT"),
    ("Redmi Note 12 Pro 5G", "Xiaomi"),
    (Claim("POCO", "M2012K11AG"), "Xiaomi"),
    (Claim("OLYMPUS IMAGING CORP.", "E-510"), "Olympus"),
    (Claim("FUJI PHOTO FILM CO., LTD.", "FinePix S5600"), "Fujifilm"),
    (Claim("KONICA MINOLTA CAMERA, Inc.", "DiMAGE Z2"), "Konica Minolta"),
    (Claim("EASTMAN KODAK COMPANY", "KODAK C875"), "Kodak"),
    (Claim("Hewlett-Packard", "HP PhotoSmart R707"), "HP"),
    (Claim("RICOH IMAGING COMPANY, LTD.", "PENTAX K-1"), "Pentax"),
    (Claim("RICOH IMAGING COMPANY, LTD.", "RICOH GR III"), "Ricoh"),
    (Claim("HMD Global", "Nokia 7 plus"), "Nokia"),
    (Claim("motorola", "moto g(6)"), "Motorola"),
    (Claim("Sony Ericsson", "LT15i"), "Sony Ericsson"),
    (Claim("Sony", "D2202"), "Sony"),
    (Claim("Google", "Pixel 3"), "Google"),
    (Claim("AURORA CORPORATION", "Aurora A100"), "AURORA"),
    ("Aurora A100", "Aurora"),
    (Claim(None, None), None),
    (Claim(None, "FunkyCam"), None),
    (Claim("Camera Co.", None), None),
    ("", None),
]


def names_of(entry: dict[str, Any]) -> list[str]:
    return [entry["name"], *(name for kind in KINDS for name in entry.get(kind, []))]


def make_of(entry: dict[str, Any], name: str) -> str:
    """The maker that a name of this entry is written with: the entry's, unless it names its own."""
    makers: list[str] = sorted(TABLE["makers"], key=len, reverse=True)
    return next(maker for text in (name, entry["name"]) for maker in makers if text.startswith(f"{maker} "))


def full(entry: dict[str, Any], name: str) -> str:
    """A name with its maker in front, once."""
    make = make_of(entry, name)
    return f"{make} {name.removeprefix(f'{make} ')}"


@pytest.mark.parametrize(("make", "model", "camera"), SAME)
def test_same_camera(make: str | None, model: str, camera: str) -> None:
    assert agrees(Claim(make, model), camera) is True
    assert agrees(Claim(make, model), camera_of(camera)) is True


@pytest.mark.parametrize(("make", "model", "camera"), DIFFERENT)
def test_different_camera(make: str | None, model: str, camera: str) -> None:
    assert agrees(Claim(make, model), camera) is False


@pytest.mark.parametrize(("make", "model"), NOTHING_CLAIMED)
def test_no_model_is_no_claim(make: str | None, model: str | None) -> None:
    camera = "Nikon D90" if make and "NIKON" in make else "Apple iPhone 7"
    assert agrees(Claim(make, model), camera) is None
    assert agrees(Claim(make, model), "family", level="family", cameras=(camera, "Aurora A100")) is None


def test_a_make_alone_can_contradict_a_camera_but_not_confirm_it() -> None:
    assert agrees(Claim("Canon", None), "Nikon D90") is False
    assert agrees(Claim("NIKON", None), "Nikon D90") is None
    assert agrees(Claim("Canon", None), "", level="family", cameras=("Nikon D40", "Nikon D40X")) is False
    assert agrees(Claim("Canon", None), "Aurora A100") is None  # nobody knows who makes it
    assert agrees(Claim("Aurora", None), "Nikon D90") is None


@pytest.mark.parametrize("level", ["model", "family", "maker", "unknown"])
def test_an_unknown_answer_is_not_compared(level: Level) -> None:
    assert agrees(Claim("Apple", "iPhone 7"), UNKNOWN, level=level, cameras=("Apple iPhone 7",)) is None
    assert agrees(Claim("Apple", "iPhone 7"), "Apple iPhone 7", level="unknown") is None


def test_a_family_is_any_of_its_cameras_and_no_other() -> None:
    family = ("Apple iPhone 7", "Apple iPhone 7 Plus")

    def agreement(model: str) -> bool | None:
        return agrees(Claim("Apple", model), "Apple iPhone 7 family", level="family", cameras=family)

    assert [agreement(model) for model in ("iPhone 7", "iPhone 7 Plus", "iPhone 8")] == [True, True, False]
    rebels = ("Canon EOS 700D", "Canon EOS 650D")
    assert agrees(Claim("Canon", "Canon EOS Kiss X6i"), "Canon EOS", level="family", cameras=rebels) is True
    assert agrees(Claim("Apple", "iPhone 7"), "Apple iPhone 7", level="family", cameras=()) is None


def test_the_maker_is_compared_whatever_the_model() -> None:
    def agreement(make: str | None, model: str | None, answer: str) -> bool | None:
        return agrees(Claim(make, model), answer, level="maker")

    assert agreement("NIKON CORPORATION", "NIKON D90", "Nikon") is True
    assert agreement("NIKON CORPORATION", None, "Nikon") is True
    assert agreement(None, "iPhone 7", "Apple") is True
    assert agreement("Canon", "Canon EOS 700D", "Nikon") is False
    assert agreement("HUAWEI", "JSN-L21", "Huawei") is True  # an Honor, then of Huawei
    assert agreement("HONOR", "Magic5 Pro", "Huawei") is False  # two companies by then
    assert agreement("TCL", "ALCATEL ONE TOUCH 5020T", "TCT") is True
    assert agreement("Sony Ericsson", "LT15i", "Sony") is False
    assert agreement("AURORA CORP.", "A100", "Aurora") is True
    assert agreement("Aurora", "A100", "Nikon") is False
    assert agreement(None, "FunkyCam", "Nikon") is None
    assert agreement(None, None, "Nikon") is None


@pytest.mark.parametrize(("name", "maker"), MAKERS)
def test_makers(name: str | Claim, maker: str | None) -> None:
    assert maker_of(name) == maker


def test_canonical() -> None:
    assert canonical("NIKON CORPORATION NIKON D90") == canonical("Nikon_D90") == "nikond90"


def test_names_of_the_dresden_set() -> None:
    for folder, exif in DRESDEN.items():
        assert [name for name in DRESDEN if same_camera(exif, camera_of(name))] == [folder]


def test_cameras_of_the_shipped_bundle_are_each_their_own() -> None:
    manifest = json.loads((files("camtrace") / "models" / "default" / "manifest.json").read_text("utf-8"))
    claims = {camera["name"]: Claim(camera["make"], camera["name"].removeprefix(camera["make"])) for camera in manifest["cameras"]}
    for camera, claim in claims.items():
        assert [name for name in claims if agrees(claim, name)] == [camera]
        assert maker_of(camera) == maker_of(claim) == claim.make


def test_the_table_is_sorted_and_of_one_form() -> None:
    assert list(TABLE) == ["about", "makers", "brands", "series", "cameras"]
    names = [entry["name"] for entry in TABLE["cameras"]]
    assert names == sorted(names, key=str.casefold)
    assert len(names) == len(set(names)) > 300
    for entry in TABLE["cameras"]:
        assert list(entry) == ["name", *(kind for kind in KINDS if kind in entry)]
        assert len(entry) > 1
        assert all(entry[kind] == sorted(entry[kind], key=str.casefold) for kind in list(entry)[1:])
    for part in ("makers", "brands", "series"):
        assert list(TABLE[part]) == sorted(TABLE[part], key=str.casefold)
        assert set(TABLE[part]) <= set(TABLE["makers"])
        assert all(texts == sorted(texts, key=str.casefold) for texts in TABLE[part].values())


def test_every_name_is_in_one_entry_and_says_something_new() -> None:
    owner: dict[str, str] = {}
    for entry in TABLE["cameras"]:
        for name in names_of(entry):
            key = canonical(full(entry, name))
            assert key not in owner, f"{name} of {entry['name']} is also in {owner.get(key)}"
            owner[key] = entry["name"]


def test_every_alias_leads_to_its_entry_and_no_other() -> None:
    for entry in TABLE["cameras"]:
        assert maker_of(entry["name"]) in TABLE["makers"]
        for name in names_of(entry):
            assert same_camera(full(entry, name), entry["name"])
    firsts = [entry["name"] for entry in TABLE["cameras"]]
    for entry in TABLE["cameras"][::7]:
        last = full(entry, names_of(entry)[-1])
        assert [first for first in firsts if same_camera(last, first)] == [entry["name"]]


def test_every_spelling_of_a_maker_is_that_maker() -> None:
    for maker, texts in TABLE["makers"].items():
        assert {maker_of(text) for text in (maker, *texts, f"{maker} X9")} == {maker}
    for maker, texts in TABLE["brands"].items():
        assert {maker_of(Claim(None, f"{text} X9")) for text in texts} == {maker}


PAIRS = [
    (make_of(entry, name), name.removeprefix(f"{make_of(entry, name)} ")) for entry in TABLE["cameras"] for name in names_of(entry)
]
NAMES = [*(f"{make} {model}" for make, model in PAIRS), *(camera for *_, camera in DIFFERENT)]


@given(st.sampled_from(NAMES) | st.text(max_size=30), st.sampled_from(NAMES) | st.text(max_size=30))
def test_being_one_camera_is_symmetric(first: str, second: str) -> None:
    assert same_camera(first, second) is same_camera(second, first)


@given(st.sampled_from(PAIRS), st.data())
def test_case_spaces_and_punctuation_do_not_matter(pair: tuple[str, str], data: st.DataObject) -> None:
    make, model = pair
    signs = st.sampled_from([" ", "  ", "_", "-", "/", ".", ",", " (", ""])
    written = re.sub(r"[^\w+]+", lambda found: data.draw(signs), model)
    written = data.draw(st.sampled_from([written, written.upper(), written.lower(), written.swapcase(), f"  {written}, "]))
    make_written = data.draw(st.sampled_from([make, make.upper(), make.lower()]))
    assert same_camera(f"{make} {model}", f"{make_written}_{written}")
    assert agrees(Claim(make_written, written), f"{make} {model}")
    assert agrees(Claim(make, f"{make_written} {written}"), f"{make} {model}")


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40), st.sampled_from(["model", "family", "maker"]))
def test_any_text_can_be_compared(make: str, model: str, answer: str, level: Level) -> None:
    assert agrees(Claim(make, model), answer, level=level, cameras=(answer, "Nikon D90")) in (True, False, None)
    assert same_camera(answer, answer) is bool(canonical(answer))
    assert maker_of(answer) is None or maker_of(answer)


def test_comparing_again_costs_microseconds() -> None:
    claim = Claim("Canon", "Canon EOS Kiss X7i")
    agrees(claim, "Canon EOS REBEL T5i")
    start = time.process_time()
    for _ in range(2000):
        agrees(claim, "Canon EOS REBEL T5i")
    assert (time.process_time() - start) / 2000 < 50e-6
