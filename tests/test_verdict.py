"""Every verdict has the shape that `verdict.schema.json` promises."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib.resources import files
from typing import Any, get_args

import jsonschema
import numpy as np
import pytest

import camtrace
from camtrace.calibration import MODES, NAMING, Calibration
from camtrace.simulator import MadeCamera
from camtrace.types import SCHEMA_VERSION, Level, Mode, Status
from made import encode, made_photo, noise

SCHEMA: dict[str, Any] = json.loads((files("camtrace") / "verdict.schema.json").read_text("utf-8"))
JUDGE = jsonschema.Draft202012Validator(SCHEMA)

PHOTOS = {
    "unreadable": b"no photo",
    "too_small": encode(noise(20, 20), "PNG"),
    "no_usable_patches": encode(np.full((128, 128, 3), 255, np.uint8), "PNG"),
    "ok": encode(noise(128, 128), "PNG"),
}


def test_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["properties"]["schema_version"]["const"] == SCHEMA_VERSION
    assert SCHEMA["properties"]["status"]["enum"] == list(get_args(Status)) == sorted(PHOTOS, key=list(get_args(Status)).index)
    assert SCHEMA["properties"]["answer_level"]["enum"] == list(get_args(Level))


@pytest.mark.parametrize("status", list(PHOTOS))
def test_verdicts_of_every_status_validate(status: str, bundle: camtrace.Bundle) -> None:
    verdict = camtrace.identify(PHOTOS[status], bundle=bundle)
    assert verdict.status == status
    JUDGE.validate(json.loads(verdict.to_json()))


def test_named_cameras_and_unread_files_validate(bundle: camtrace.Bundle, cameras: tuple[MadeCamera, ...]) -> None:
    for source in (made_photo(cameras[0], 900), "gone.jpg"):
        JUDGE.validate(json.loads(camtrace.identify(source, bundle=bundle).to_json(indent=None)))


def test_calibrated_verdicts_validate(bundle: camtrace.Bundle, cameras: tuple[MadeCamera, ...]) -> None:
    modes: dict[Mode, dict[Level, float]] = {mode: dict.fromkeys(NAMING, 0.0) for mode in MODES}
    calibration = Calibration(8, 2.0, 0.0, (1.0, 1.0), 500, 400, modes)
    ready = replace(bundle, manifest=replace(bundle.manifest, calibration=calibration))
    document = json.loads(camtrace.identify(made_photo(cameras[0], 900), bundle=ready).to_json())
    assert isinstance(document["log10_lr"], float)
    assert all(0 <= line["probability"] <= 1 for line in document["ranking"])
    JUDGE.validate(document)


def check_keys(schema: dict[str, Any], value: object) -> None:
    """The schema asks for just the keys that are there, in the same order, all the way down."""
    if isinstance(value, dict):
        assert schema["required"] == list(schema["properties"]) == list(value)
        assert schema["additionalProperties"] is False
        for name, part in value.items():
            check_keys(schema["properties"][name], part)
    elif isinstance(value, list):
        for part in value:
            check_keys(schema["items"], part)


def test_schema_names_the_keys_of_a_verdict(bundle: camtrace.Bundle) -> None:
    document = camtrace.identify(PHOTOS["ok"], bundle=bundle).to_dict()
    assert len(document["ranking"]) == 4
    check_keys(SCHEMA, document)


@pytest.mark.parametrize(
    "change", [{"extra": 1}, {"status": "fine"}, {"n_patches": -1}, {"sha256": "AB"}, {"claim": {}}, {"schema_version": 2}]
)
def test_schema_refuses_other_shapes(change: dict[str, Any], bundle: camtrace.Bundle) -> None:
    document = camtrace.identify(PHOTOS["ok"], bundle=bundle).to_dict()
    with pytest.raises(jsonschema.ValidationError):
        JUDGE.validate({**document, **change})


def test_json_text_is_the_dictionary(bundle: camtrace.Bundle) -> None:
    verdict = camtrace.identify(PHOTOS["ok"], bundle=bundle)
    assert json.loads(verdict.to_json()) == json.loads(verdict.to_json(indent=None)) == verdict.to_dict()
    assert "\n" not in verdict.to_json(indent=None)
