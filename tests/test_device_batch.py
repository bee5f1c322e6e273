"""Devices searched by worker processes: the results of one process, whatever happens to a worker."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from camtrace.batches.devices import Task, match_in_pool, read_match, set_up
from camtrace.batches.pool import Ask, Work
from camtrace.devices.device import DeviceMatch, match
from camtrace.devices.matching import Search
from camtrace.devices.store import open_database
from camtrace.types import CamtraceError
from made import run_cli
from made_devices import encoded, enroll_two, scene_pixels


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two devices of one model, six flat fields each."""
    return enroll_two(tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Photos by the first, the second and a third device, and what is none."""
    folder = tmp_path_factory.mktemp("photos")
    for device in (1, 2, 3):
        (folder / f"{device}.jpg").write_bytes(encoded(scene_pixels(device, 7)))
    (folder / "bad.jpg").write_bytes(b"no photo")
    return sorted(map(str, folder.iterdir()))


def moody(task: Task) -> Work:
    """A worker that dies of one photo."""
    usual = set_up(task)

    def work(job: bytes, ask: Ask) -> bytes:
        if job.endswith(b"2.jpg"):
            os.kill(os.getpid(), signal.SIGKILL)
        return usual(job, ask)

    return work


@pytest.mark.parametrize("search", [Search(), Search((0,), (0.8, 1.0), exact_scale=True)])
def test_results_are_those_of_one_process_in_the_order_given(db: Path, photos: list[str], search: Search) -> None:
    alone = [match(photo, open_database(db), search=search) for photo in photos]
    assert list(match_in_pool(photos, Task(str(db), search), jobs=2)) == [read_match(one.to_dict()) for one in alone]
    assert [one.answer for one in alone] == ["first", "second", "unknown", "unknown"]


def test_a_result_is_read_as_it_was_told(db: Path, photos: list[str]) -> None:
    told = match(photos[0], open_database(db)).to_dict()
    read = read_match(json.loads(json.dumps(told)))
    assert isinstance(read, DeviceMatch)
    assert read.to_dict() == told
    assert isinstance(read.ranking[0].size, tuple)
    with pytest.raises(KeyError):
        read_match({"source": "x"})


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_worker_that_dies_costs_only_its_photo(db: Path, photos: list[str]) -> None:
    found = list(match_in_pool(photos, Task(str(db)), jobs=1, setup=moody))
    assert [one.answer for one in found] == ["first", "unknown", "unknown", "unknown"]
    assert found[1].status == "unreadable"
    assert "died" in found[1].reason
    assert found[2].status == "ok"


def test_a_database_that_cannot_be_used_is_told(tmp_path: Path, photos: list[str]) -> None:
    with pytest.raises(CamtraceError, match=r"no database of devices here"):
        list(match_in_pool(photos, Task(str(tmp_path)), jobs=1))


def test_the_command_gives_the_same_with_and_without_workers(db: Path, photos: list[str]) -> None:
    alone = run_cli("device", "match", *photos, "--db", db, "--to", "json")
    assert alone.code == 1
    assert len(json.loads(alone.out)) == 4
    assert run_cli("device", "match", *photos, "--db", db, "--to", "json", "--jobs", 2) == alone


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-", "--jobs", 1), "workers read files, not standard input"),
        (("x.jpg", "--address", "auto"), "--address is that of a Ray cluster"),
        (("x.jpg", "--engine", "spark"), "is not one of local, ray"),
    ],
)
def test_wrong_usage(db: Path, words: tuple[object, ...], message: str) -> None:
    run = run_cli("device", "match", *words, "--db", db)
    assert run.code == 2
    assert message in run.err
