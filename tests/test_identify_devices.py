"""`camtrace identify --device-db`: the device under the verdict, and what it means where the two name different cameras."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest

import camtrace
from camtrace.crosscheck import Crosscheck, agree, crosscheck, crosscheck_many, to_text, write_text
from camtrace.devices.device import DeviceMatch, DeviceRanked, match
from camtrace.devices.enrolment import enroll
from camtrace.devices.store import Database, DeviceError, open_database
from camtrace.simulator import save
from camtrace.types import BundleId, Claim, Level, Ranked, Verdict
from made import encode, noise, run_cli
from made_devices import encoded, flat_pixels, scene_pixels, sensor_camera

VERDICT = Verdict(
    source="x.jpg",
    sha256="0" * 64,
    status="ok",
    answer="Nikon D70",
    answer_level="model",
    best="Nikon D70",
    reason="because",
    ranking=(Ranked("Nikon D70", 0.9, 30), Ranked("Canon EOS 700D", 0.05, 2)),
    n_patches=32,
    log10_lr=1.5,
    claim=Claim("NIKON CORPORATION", "NIKON D70"),
    claim_agrees=True,
    bundle=BundleId("made", "1"),
)
BEST = DeviceRanked("Anna's", 268.9, 6e-45, 2.71, (256, 256), (0, 0), 0, 1.0)
MATCH = DeviceMatch("x.jpg", "0" * 64, "ok", "Anna's", "Anna's", "PCE 268.9 reaches the threshold of 40; chance small", (BEST,))


def write_database(folder: Path, claims: dict[str, tuple[str, str]]) -> Path:
    """Two devices, "first" and "second", six flat fields each, whose EXIF claims a camera of that make and model."""
    for number, (name, (make, model)) in enumerate(claims.items(), 1):
        camera = replace(sensor_camera(), make=make, model=model)
        enroll(folder, name, [save(flat_pixels(number, shot), camera, exif=bool(model)) for shot in range(6)])
    return folder


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two devices, whose camera the bundle of the tests does not know."""
    camera = ("Canon", "EOS 700D")
    return write_database(tmp_path_factory.mktemp("devices") / "db", {"first": camera, "second": camera})


@pytest.fixture
def taken(tmp_path: Path) -> Path:
    """An ordinary photo by the first device."""
    path = tmp_path / "taken.jpg"
    path.write_bytes(encoded(scene_pixels(1, 7)))
    return path


def test_the_device_stands_under_the_verdict(taken: Path, db: Path, bundle_folder: Path, bundle: camtrace.Bundle) -> None:
    plain = run_cli("identify", taken, "--bundle", bundle_folder, "--mode", "guess")
    run = run_cli("identify", taken, "--bundle", bundle_folder, "--mode", "guess", "--device-db", db)
    found = match(taken, open_database(db))
    assert found.answer == "first"
    assert (run.code, run.err) == (0, "")
    assert run.out.startswith(plain.out)
    lines = run.out[len(plain.out) :].splitlines()
    assert lines[0] == f"  Device:      first, log10 LR {found.ranking[0].log10_lr:+.1f}"
    assert lines[1] == f"  Sensor:      {found.reason}"
    assert lines[1].startswith(f"  Sensor:      PCE {found.ranking[0].pce:.1f} reaches the threshold of 40; chance of such a peak")
    best = camtrace.identify(taken, bundle=bundle).best  # guess always names it, and it is none of Canon's
    assert lines[2] == (
        "  Its camera:  Canon EOS 700D, by the EXIF of the photos that taught it - "
        f"CONTRADICTS the verdict: the pixels speak for {best}"
    )
    assert "One of the two is wrong" in lines[3]


def test_a_device_of_the_named_camera_agrees(taken: Path, tmp_path: Path, bundle: camtrace.Bundle) -> None:
    best = camtrace.identify(taken, bundle=bundle).best
    assert best is not None
    make, _, model = best.partition(" ")
    database = open_database(write_database(tmp_path / "db", {"first": (make, model)}))
    found = crosscheck(taken, database, bundle=bundle, mode="guess")
    assert (found.match.answer, found.claims, found.agrees) == ("first", (best,), True)
    assert f"  Its camera:  {best}, by the EXIF of the photos that taught it - the verdict's camera\n" in to_text(found)


def test_no_device_of_the_database(tmp_path: Path, db: Path, bundle_folder: Path) -> None:
    stranger, piece = tmp_path / "stranger.jpg", tmp_path / "long.png"
    stranger.write_bytes(encoded(scene_pixels(3, 8)))
    piece.write_bytes(encode(noise(160, 400), "PNG"))
    run = run_cli("identify", stranger, piece, "--bundle", bundle_folder, "--device-db", db)
    assert (run.code, run.err) == (0, "")
    first, second = run.out.split(f"\n{piece}\n")
    closest = match(stranger, open_database(db)).ranking[0]
    assert f"  Device:      no device of the database; closest {closest.device}, log10 LR {closest.log10_lr:+.1f}\n" in first
    assert "is below the threshold of" in first
    assert "  Device:      no device of the database\n  Sensor:      the photo fits on no fingerprint" in second
    assert "Its camera" not in run.out


def test_a_photo_that_cannot_be_judged_or_matched(tmp_path: Path, taken: Path, db: Path, bundle_folder: Path) -> None:
    narrow, bad = tmp_path / "narrow.png", tmp_path / "bad.jpg"
    narrow.write_bytes(encode(noise(80, 80), "PNG"))
    bad.write_bytes(b"no photo")
    reason = match(narrow, open_database(db)).reason
    run = run_cli("identify", narrow, "--bundle", bundle_folder, "--device-db", db)
    assert run.code == 0  # it could be judged
    assert f"  Device:      not matched (too_small): {reason}\n" in run.out
    run = run_cli("identify", bad, taken, "gone.jpg", "--bundle", bundle_folder, "--device-db", db)
    assert run.code == 1
    assert run.out.count("  Device:      not matched (unreadable), for the same reason\n") == 2
    assert run.out.count("  Device:      first, ") == 1
    assert [line for line in run.out.splitlines() if not line.startswith(" ")] == [str(bad), "", str(taken), "", "gone.jpg"]


def test_standard_input_is_judged_and_matched(taken: Path, db: Path, bundle_folder: Path) -> None:
    run = run_cli("identify", "-", "--bundle", bundle_folder, "--device-db", db, stdin=taken.read_bytes())
    assert run.code == 0
    assert "  Bundle:      made 1\n  Device:      first, " in run.out


def test_each_source_is_as_if_it_were_asked_alone(taken: Path, db: Path, bundle: camtrace.Bundle) -> None:
    database = open_database(db)
    (found, streamed) = crosscheck_many([str(taken), io.BytesIO(taken.read_bytes())], database, bundle=bundle, mode="guess")
    assert found.verdict == camtrace.identify(taken, bundle=bundle, mode="guess")
    assert found.match == match(taken, database)
    assert streamed.verdict == replace(found.verdict, source="<stream>")
    assert streamed.match == replace(found.match, source="<stream>")
    out = io.StringIO()
    write_text([found, streamed], out)
    assert out.getvalue() == f"{to_text(found)}\n{to_text(streamed)}"


@pytest.mark.parametrize("form", ["json", "jsonl", "csv"])
def test_the_shape_of_a_verdict_is_not_changed(form: str, tmp_path: Path) -> None:
    run = run_cli("identify", "x.jpg", "--device-db", tmp_path / "gone", "--to", form)
    assert (run.code, run.out) == (2, "")
    assert "camtrace device match --to json" in run.err


def test_databases_that_cannot_be_used(tmp_path: Path, taken: Path) -> None:
    run = run_cli("identify", taken, "--device-db", tmp_path / "gone")
    assert (run.code, run.out) == (1, "")
    assert "no database of devices here" in run.err
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "manifest.json").write_text('{"what": "devices", "format": 1, "devices": []}')
    run = run_cli("identify", taken, "--device-db", tmp_path / "none")
    assert (run.code, run.out) == (1, "")
    assert "no device is enrolled here" in run.err
    with pytest.raises(DeviceError, match="no device is enrolled here"):
        crosscheck(taken, Database(tmp_path))


FAMILY = "Canon EOS 700D or 750D"


@pytest.mark.parametrize(
    ("level", "answer", "claims", "agreed"),
    [
        ("model", "Nikon D70", ("NIKON CORPORATION NIKON D70",), True),
        ("model", "Nikon D70", ("NIKON CORPORATION NIKON D80",), False),
        ("model", "Canon EOS 700D", ("Canon EOS REBEL T5i",), True),
        ("model", "Nikon D70", ("Canon EOS 700D", "NIKON D70"), True),  # one body may claim several names
        ("model", "Nikon D70", (), None),
        ("family", FAMILY, ("Canon EOS 750D",), True),
        ("family", FAMILY, ("Canon EOS 5D",), False),
        ("maker", "Canon", ("Canon EOS 5D",), True),
        ("maker", "Canon", ("NIKON CORPORATION NIKON D70",), False),
        ("maker", "Canon", ("Aurora A100",), None),  # nobody says that Aurora is not Canon's
        ("unknown", "unknown", ("Canon EOS 5D",), None),
    ],
)
def test_the_devices_camera_at_each_level(
    level: Level, answer: str, claims: tuple[str, ...], agreed: bool | None, bundle: camtrace.Bundle
) -> None:
    names = ("Canon EOS 700D", "Canon EOS 750D", "Nikon D70")
    camera = bundle.manifest.cameras[0]
    cameras = tuple(replace(camera, name=name, make=name.split()[0]) for name in names)
    knowing = replace(bundle, manifest=replace(bundle.manifest, cameras=cameras, families={FAMILY: names[:2]}))
    verdict = replace(VERDICT, answer=answer, answer_level=level)
    assert agree(verdict, claims, knowing) is agreed


@pytest.mark.parametrize(
    ("level", "answer", "claims", "agreed", "words"),
    [
        ("model", "Nikon D70", ("NIKON D70",), True, "NIKON D70, by the EXIF of the photos that taught it - the verdict's camera"),
        ("family", FAMILY, ("Canon EOS 750D",), True, " - one of the verdict's cameras"),
        ("maker", "Nikon", ("NIKON D70",), True, " - of the verdict's maker"),
        ("maker", "Canon", ("NIKON D70", "D70"), False, "NIKON D70 or D70, by the EXIF of the photos that taught it - CONTRADICTS"),
        ("family", FAMILY, ("NIKON D70",), False, f"CONTRADICTS the verdict: the pixels speak for {FAMILY}\n"),
        ("unknown", "unknown", ("NIKON D70",), None, " - the pixels name none, so nothing follows"),
        ("maker", "Canon", ("Aurora A100",), None, " - it cannot be compared with Canon, so nothing follows"),
        ("model", "Nikon D70", (), None, "Its camera:  not known, since no EXIF of the photos that taught it names one"),
    ],
)
def test_what_the_devices_camera_means_in_words(
    level: Level, answer: str, claims: tuple[str, ...], agreed: bool | None, words: str
) -> None:
    text = to_text(Crosscheck(replace(VERDICT, answer=answer, answer_level=level), MATCH, claims, agreed))
    assert words in text
    assert ("CONTRADICTS" in text) is (agreed is False)


def test_warnings_and_uncalibrated_ratios_are_told() -> None:
    found = replace(MATCH, ranking=(replace(BEST, log10_lr=None),), warnings=("this very photo taught it",))
    text = to_text(Crosscheck(VERDICT, found, ("NIKON D70",), True))
    assert "  Device:      Anna's, likelihood ratio not calibrated for this case\n" in text
    assert text.endswith("  Warning:     this very photo taught it\n")
