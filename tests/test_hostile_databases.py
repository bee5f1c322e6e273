"""Databases of devices from strangers: refused with a reason, before anything in them is used or followed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from camtrace.devices.enrolment import enroll
from camtrace.devices.store import MANIFEST, DeviceError, open_database
from made_devices import write_flats


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("devices")
    enroll(root / "db", "first", write_flats(root / "flats", 1, range(5)))
    return root / "db"


@pytest.fixture
def db(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "db"))


def put_device(folder: Path, tensors: dict[str, Any], which: str = "file") -> None:
    """Change a device's tensors, and their hash with them."""
    document = json.loads((folder / MANIFEST).read_text())
    data = save({name: np.ascontiguousarray(value) for name, value in tensors.items()})
    (folder / "devices" / document["devices"][0][which]).write_bytes(data)
    document["devices"][0]["sha256" if which == "file" else "sketch_sha256"] = hashlib.sha256(data).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(document))


@pytest.mark.parametrize("what", ["fingerprint", "estimate", "weight"])
@pytest.mark.parametrize(
    "change",
    [
        lambda one: one * np.float16(np.nan),
        lambda one: one / np.float16(0),
        lambda one: one[:-1],
        lambda one: one.astype(np.float32),
    ],
)
def test_fingerprints_that_do_not_fit_are_refused(db: Path, what: str, change: Callable[[Any], Any]) -> None:
    tensors = open_database(db).tensors("first")
    (name,) = (name for name in tensors if name.startswith(what))
    with np.errstate(invalid="ignore", divide="ignore"):
        changed = change(tensors[name])
    put_device(db, {**tensors, name: changed})
    database = open_database(db)
    one = database.devices["first"].prints[0]
    with pytest.raises(DeviceError, match=f"{what} of 'first': .*|more than the"):
        (database.fingerprint("first", one.size), database.sums("first", one))


def test_missing_tensors_and_odd_sketches_are_refused(db: Path) -> None:
    put_device(db, {"else": np.zeros(3, np.float16)})
    database = open_database(db)
    with pytest.raises(DeviceError, match="fingerprint of 'first': nothing"):
        database.fingerprint("first", database.devices["first"].prints[0].size)
    put_device(db, {"64x64": np.zeros(5, np.uint8)}, "sketch_file")
    with pytest.raises(DeviceError, match="sketches of 'first'"):
        open_database(db).all_sketches(database.devices["first"].prints[0].size)


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows; run this on Linux or macOS")
def test_links_out_of_a_database_are_refused(db: Path) -> None:
    database = open_database(db)
    path = db / "devices" / database.devices["first"].file
    shutil.move(path, db / "elsewhere")
    path.symlink_to(db / "elsewhere")
    with pytest.raises(DeviceError, match="out of its folder"):
        database.tensors("first")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": "\x1b]0;x\x07"}, "is not a name"),
        ({"name": 5}, "is not a name"),
        ({"prints": [{"width": 0, "height": 9, "kind": "flat", "photos": ["0" * 64]}]}, "width is 0"),
        ({"prints": [{"width": 60000, "height": 60000, "kind": "flat", "photos": ["0" * 64]}]}, "60000x60000 pixels"),
        ({"prints": [{"width": 9, "height": 9, "kind": "\x07", "photos": ["0" * 64]}]}, "9x9 pixels, \\\\x07"),
        ({"prints": [{"width": 9, "height": 9, "kind": "flat", "photos": "0123"}]}, "no SHA-256"),
        ({"prints": [{"width": 9, "height": 9, "kind": "flat", "photos": []}]}, "of 0 photos"),
        ({"prints": 5}, "not a valid manifest"),
        ({"prints": ["x"]}, "not a valid manifest"),
    ],
)
def test_databases_that_would_do_harm_later_are_refused_now(db: Path, change: dict[str, Any], reason: str) -> None:
    document = json.loads((db / MANIFEST).read_text())
    document["devices"][0] |= change
    (db / MANIFEST).write_text(json.dumps(document))
    with pytest.raises(DeviceError, match=reason):
        open_database(db)


@pytest.mark.parametrize("text", ["[" * 200_000, '{"what": "devices", "format": NaN}'])
def test_databases_of_harmful_json_are_refused(db: Path, text: str) -> None:
    (db / MANIFEST).write_text(text)
    with pytest.raises(DeviceError, match="not JSON"):
        open_database(db)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "\x1b[0m", "x" * 1001, "\udcff", "a\u202eb"])
def test_names_of_devices_can_be_shown(tmp_path: Path, name: str) -> None:
    with pytest.raises(DeviceError, match="name") as caught:
        enroll(tmp_path / "db", name, [])
    assert str(caught.value).isprintable()
    assert not (tmp_path / "db").exists()


def test_claims_of_an_old_database_are_shown_safely(db: Path) -> None:
    document = json.loads((db / MANIFEST).read_text())
    document["devices"][0]["claims"] = ["Canon \x1b[2J"]
    (db / MANIFEST).write_text(json.dumps(document))
    assert open_database(db).devices["first"].claims == ("Canon \\x1b[2J",)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda devices: devices.append(devices[0]), "two devices of one name"),
        (lambda devices: devices[0]["prints"].append(devices[0]["prints"][0]), "two fingerprints of one size"),
    ],
)
def test_what_is_listed_twice_is_refused(db: Path, change: Callable[[Any], Any], reason: str) -> None:
    document = json.loads((db / MANIFEST).read_text())
    change(document["devices"])
    (db / MANIFEST).write_text(json.dumps(document))
    with pytest.raises(DeviceError, match=f"not a valid manifest: {reason}; restore the folder from a copy"):
        open_database(db)


def test_a_file_that_is_no_safetensors_is_refused(db: Path) -> None:
    document = json.loads((db / MANIFEST).read_text())
    (db / "devices" / document["devices"][0]["file"]).write_bytes(b"none")
    document["devices"][0]["sha256"] = hashlib.sha256(b"none").hexdigest()
    (db / MANIFEST).write_text(json.dumps(document))
    with pytest.raises(DeviceError, match=r"not a safetensors file: .*; restore the folder"):
        open_database(db).tensors("first")
