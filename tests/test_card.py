"""Model cards: the one that ships follows from its manifest, and no figure is said that was not measured."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources

import camtrace
from camtrace.card import built_card, trained_card


def test_the_card_that_ships_follows_from_its_manifest() -> None:
    manifest = camtrace.load_bundle().manifest
    card = built_card(manifest)
    assert card == resources.files("camtrace").joinpath("models/default/card.md").read_text("utf-8")
    first = manifest.cameras[0]
    assert f"| {first.name} | {first.photos} | {first.accuracy:.0%} of {first.tested} | {first.protocol} |" in card
    value, low, high = manifest.accuracy["maker"]
    assert f"The maker is right in {value:.1%} ({low:.1%} to {high:.1%})" in card


def test_what_was_not_done_is_not_said() -> None:
    manifest = camtrace.load_bundle().manifest
    assert "![reliability]" in built_card(manifest)
    card = built_card(replace(manifest, calibration=None))
    assert "it gives no probability" in card
    assert "![reliability]" not in card
    plain = {**manifest.training, "batch_made": 0, "mishap_steps": 0, "quantised": False}
    card = built_card(replace(manifest, training=plain, families={}))
    assert f"{plain['steps']} steps of {plain['batch_real']} real patches. The classifiers" in card
    assert "Families" not in card


def test_the_card_of_one_run_says_where_it_was_measured() -> None:
    training = {"method": "spam", "source": "Marra 2015", "photos": 60, "seed": 3, "date": "2026-11-22"}
    photos = {"majority": [0.5, 0.4, 0.6], "summed": [0.55, 0.45, 0.65]}
    accuracy = {"tested": 20, "protocol": "device-scene", "split": 1, "photos": photos, "patches": None}
    manifest = replace(camtrace.load_bundle().manifest, name="run", version="1", training=training, accuracy=accuracy)
    card = trained_card(replace(manifest, thresholds={"majority": 0, "summed": 0}))
    assert "# run 1\n\n`spam` (Marra 2015), taught on 60 photos of 46 cameras, seed 3, 2026-11-22." in card
    assert "Measured on 20 test photos, protocol `device-scene`, split 1" in card
    assert "| 50.0% (40.0% to 60.0%) | 55.0% (45.0% to 65.0%) | not tested |" in card
    assert "it always names a camera" in card
    assert "refused" in trained_card(replace(manifest, thresholds={"majority": 5, "summed": 0}))
