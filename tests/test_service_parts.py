"""Parts of the service that need no running one: settings that cannot be, jobs at a worker's desk, and what a pipe may carry."""

from __future__ import annotations

import multiprocessing
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from camtrace.web.settings import Limits, Settings, SettingsError, check
from camtrace.web.shelf import Shelf
from camtrace.web.tasks import Desk
from camtrace.web.worker import receive
from made import encode, noise

GREY = encode(noise(130, 200, low=60, high=190), "JPEG", quality=95)


@pytest.mark.parametrize(
    ("changes", "limits", "said"),
    [
        ({"port": 70_000}, {}, "port 70000 is not one of 0 to 65535"),
        ({"workers": 0}, {}, "every limit must be above 0"),
        ({}, {"judging": float("inf")}, "every limit must be above 0"),
        ({}, {"queue": 1}, "a queue of 1 photos cannot hold the .* raise --queue"),
        ({}, {"held": 10}, "the memory for uploads, 10 bytes, cannot hold one request"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, Any], limits: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        check(replace(Settings(), limits=replace(Limits(), **limits), **changes))
    check(Settings())


def test_two_bundles_of_one_name_are_refused(bundle_folder: Path) -> None:
    with pytest.raises(SettingsError, match=r"a second bundle called .*; serve one of the two only"):
        Shelf((bundle_folder, bundle_folder))


def ask(desk: Desk, task: str, folder: Path, *blobs: bytes, quick: bool = False, **options: Any) -> tuple[dict[str, Any], Any]:
    bundle = {"key": "made", "path": str(folder), "files": None}
    names = [f"{number}.jpg" for number in range(len(blobs))]
    return desk.answer(
        {"task": task, "bundle": bundle, "quick": quick, "limit": 9, "options": {"names": names, "mode": "balanced", **options}}, blobs
    )


def test_a_photo_of_too_many_pixels_is_not_judged(bundle_folder: Path) -> None:
    desk = Desk(pixels=130 * 200 - 1)
    reply, _ = ask(desk, "identify", bundle_folder, GREY)
    assert (reply["document"]["status"], reply["document"]["answer"]) == ("unreadable", "unknown")
    assert "0 megapixels, this service reads at most 0" in reply["document"]["reason"]
    reply, _ = ask(desk, "report", bundle_folder, GREY, format="html", loaded=True, path=None)
    assert reply == {"error": "a photo of 0 megapixels, this service reads at most 0"}
    assert desk.knows("made")


def test_a_heat_map_of_what_is_no_photo_is_an_error_with_its_reason(bundle_folder: Path) -> None:
    reply, parts = ask(Desk(pixels=10**9), "heatmap", bundle_folder, b"no photo")
    assert reply["error"].startswith("no heat map (unreadable): 0.jpg: not a photo")
    assert list(parts) == []


def test_without_what_reports_need_the_service_says_so(bundle_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "camtrace.reports.report", None)
    reply, _ = ask(Desk(pixels=10**9), "report", bundle_folder, GREY, format="html", loaded=True, path=None)
    assert reply["missing"].startswith("this service writes no reports: camtrace.reports.report cannot be loaded")


@pytest.mark.parametrize("message", [b"no JSON", b"[]", b"{}", b'{"blobs": -1}', b'{"blobs": 100000}', b'{"blobs": "2"}'])
def test_what_is_no_message_is_refused(message: bytes) -> None:
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        theirs.send_bytes(message)
        with pytest.raises(OSError, match="not a message"):
            receive(ours)


def test_the_desk_keeps_a_few_bundles(bundle_folder: Path) -> None:
    desk, files = Desk(pixels=10**9), {path.name: path.read_bytes() for path in bundle_folder.iterdir() if path.is_file()}
    for number in range(6):
        desk.learn(f"{number}", files)
    assert [desk.knows(f"{number}") for number in range(6)] == [False, False, True, True, True, True]
