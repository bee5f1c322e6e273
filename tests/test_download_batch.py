"""Whole downloads: the disk, hostile and missing indexes, servers that go, users who stop."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from camtrace.lab.download import Manners, Step, download
from camtrace.lab.download.addresses import beneath, place_of
from camtrace.types import CamtraceError
from moody_server import BODY, NEW_BODY, Site, cut, hangs_up, never, serving, status


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path / "data")
    with serving(site.files, log=site.log) as site.address:
        yield site


class Disk(NamedTuple):
    total: int
    used: int
    free: int


def test_too_small_a_disk_is_asked_about_before_anything_is_fetched(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.add("begun.jpg", cut(70_000))
    site.add("b.jpg")
    site.get(tries=1, only=lambda address: "begun" in address)
    site.log.clear()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(10**6, 0, 329_999))
    questions: list[tuple[int, int]] = []

    def refuse(needed: int, free: int) -> bool:
        questions.append((needed, free))
        return False

    with pytest.raises(CamtraceError, match="about 330000 bytes are needed and 329999 are free; nothing was fetched"):
        site.get(agree=refuse)
    assert questions == [(330_000, 329_999)]  # what is there already needs no room
    assert site.asked("b.jpg") == []
    assert len(site.get(agree=lambda *_: True).fetched) == 2


@pytest.mark.parametrize("answers_head", [True, False])
def test_a_full_disk_stops_the_run_even_if_the_user_agreed(site: Site, monkeypatch: pytest.MonkeyPatch, answers_head: bool) -> None:
    for name in "abcde":
        site.add(f"{name}.jpg", answers_head=answers_head)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(10**6, 0, 199_999))
    with pytest.raises(CamtraceError, match="200000 bytes are needed and 199999 are free; make room"):
        site.get(agree=(lambda *_: True) if answers_head else never)
    assert sum(asked.method == "HEAD" for asked in site.log) == (5 if answers_head else 3)
    assert [path.name for path in site.folder.glob("*.jpg")] == []


def test_a_full_disk_does_not_mix_up_two_versions(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    served = site.add("a.jpg", cut(70_000))
    site.get(tries=1)
    served.body, served.headers = NEW_BODY, {"ETag": '"v2"'}
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "disk_usage", lambda _: Disk(10**6, 0, 150_000))
        with pytest.raises(CamtraceError, match="make room"):
            site.get()
    assert site.get().fetched
    assert (site.folder / "a.jpg").read_bytes() == NEW_BODY


def test_a_disk_that_fills_while_writing_stops_the_run(site: Site) -> None:
    site.add("a.jpg")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(CamtraceError, match=r"a\.jpg: the disk is full"):
        site.get(on_bytes=full)
    assert site.get().fetched


def test_the_need_of_many_files_is_estimated_from_a_few(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(150):
        site.add(f"{number}.jpg", body=bytes(100))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(10**6, 0, 29_999))
    with pytest.raises(CamtraceError, match="about 30000 bytes"):
        site.get(agree=lambda *_: False, share=2.0)
    assert sum(asked.method == "HEAD" for asked in site.log) <= 64


HOSTILE = [
    "../../x",
    "/etc/passwd",
    "file:///etc/passwd",
    "ftp://127.0.0.1/x.jpg",
    "C:/x.jpg",
    "http:///x.jpg",
    "http://[::1",
    "HOST/set/../../x.jpg",
    "HOST/set/%2e%2e/%2E%2E/x.jpg",
    "HOST/set/a%2f..%2f..%2fx.jpg",
    "HOST/set/..%5cx.jpg",
    "HOST/set/C:/x.jpg",
    "HOST/set/C%3A%5Cx.jpg",
    "HOST/set/a.jpg:stream",
    "HOST/set/NUL.jpg",
    "HOST/set/a%00.jpg",
    "HOST/set/a.jpg%20",
    "HOST/set/folder/",
    "HOST/set/a.jpg.partial",
    "HOST/set/Camtrace-Downloads.jsonl",
]


def test_hostile_lines_are_failures_and_the_others_come(site: Site, tmp_path: Path) -> None:
    site.add("a.jpg")
    good_line, hostile = f"{site.address}/set/a.jpg", [line.replace("HOST", site.address) for line in HOSTILE]
    text = ["\ufeff# the files", "", "  \r", good_line + "\r", *hostile, good_line, f"{site.address}/set/A.jpg"]
    got = site.get(lines=text)
    assert got.fetched == (site.folder / "a.jpg",)
    assert set(got.failures) == {*hostile, f"{site.address}/set/A.jpg"}
    assert got.failures[f"{site.address}/set/A.jpg"] == f"would lie where {good_line} lies"
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()} == {
        "data/a.jpg",
        "data/camtrace-downloads.jsonl",
    }


@pytest.mark.parametrize("name", ["../x", "a/../x", "a/..", "..", "/x"])
def test_names_that_climb_are_told_so(name: str) -> None:
    with pytest.raises(CamtraceError, match="would leave the folder"):
        beneath(name)


@given(st.text(st.sampled_from("a.:/\\%2eC ~")))
@example("//x")
@example("a/../../b")
def test_no_name_leaves_the_folder(name: str) -> None:
    try:
        path = beneath(name)
    except CamtraceError:
        return
    assert ".." not in path.parts
    assert path.parts
    assert not path.is_absolute()
    there = PureWindowsPath("D:/data", str(path))
    assert there.is_relative_to("D:/data")
    assert ".." not in there.parts


def test_addresses_elsewhere_keep_their_whole_path() -> None:
    index = "https://host/set/index.txt"
    assert str(place_of("http://host/set/Dataset/a.jpg", index=index).path) == "Dataset/a.jpg"
    assert str(place_of("https://host/other/a.jpg?download=1#x", index=index).path) == "other/a.jpg"
    assert str(place_of("https://mirror/set/a.jpg", index=index).path) == "set/a.jpg"


def test_an_index_that_cannot_be_had_names_what_to_do_instead(site: Site) -> None:
    site.add("page.txt", body=b"\n <!DOCTYPE html><p>We have moved")
    site.add("empty.txt", body=b"# nothing\n\n")
    site.add("cut.txt", always=cut(1), body=b"http://h/a.jpg")
    site.add("folder/", body=b"<a href='../'>up</a>")

    def ask(index: str, **more: Any) -> None:
        download(index, site.folder, **{"only": None, "agree": never, "manners": site.manners(), "instead": "Ask Kaggle.", **more})

    for name, problem in (
        ("none.txt", "HTTP 404 Not Found; expected the data set's list of files"),
        ("page.txt", "a web page; expected a list of addresses"),
        ("empty.txt", "lists no files"),
        ("folder/", "lists no files"),
        ("cut.txt", "stopped at 1 of 14 bytes"),
    ):
        with pytest.raises(CamtraceError, match=rf"/set/{name}: {problem}.*Ask Kaggle\."):
            ask(f"{site.address}/set/{name}")
    with pytest.raises(CamtraceError, match=r"file:.*expected http or https.*Ask Kaggle\."):
        ask("file:///etc/passwd")
    assert not site.folder.exists()


def test_a_dead_host_names_what_to_do_instead(tmp_path: Path) -> None:
    with serving({}, log=[]) as address:
        pass
    slept: list[float] = []
    with pytest.raises(CamtraceError, match=rf"{address}/i.txt: no answer: .*Ask Kaggle\."):
        download(f"{address}/i.txt", tmp_path, only=None, agree=never, manners=Manners(0, 3, 1, slept.append), instead="Ask Kaggle.")
    assert slept == [0, 1, 0, 2, 0]


def test_nothing_wanted_and_no_folder_are_errors(site: Site) -> None:
    site.add("a.jpg")
    with pytest.raises(CamtraceError, match=r"index\.txt: none of its 1 files is one that is asked for"):
        site.get(only=lambda _: False)
    site.folder.write_text("a file")
    with pytest.raises(CamtraceError, match=r"data: cannot be used: .*expected a folder"):
        site.get()


def test_a_server_that_has_gone_ends_the_run(site: Site) -> None:
    for number in range(6):
        site.add(f"{number}.jpg", always=hangs_up if number else None)
    got = site.get(tries=2)
    assert len(got.fetched) == 1
    assert [reason.partition(":")[0] for reason in got.failures.values()] == ["no answer"] * 3 + ["not tried"] * 2
    assert site.asked("4.jpg") == []


def test_failures_here_and_there_do_not_end_the_run(site: Site) -> None:
    for number in range(8):
        site.add(f"{number}.jpg", always=hangs_up if number % 3 else None)
    got = site.get(tries=1)
    assert [path.name for path in got.fetched] == ["0.jpg", "3.jpg", "6.jpg"]
    assert not any("not tried" in reason for reason in got.failures.values())


def test_a_stop_by_the_user_loses_nothing(site: Site) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        site.add(name)

    def stop_after_the_first(step: Step) -> None:
        raise KeyboardInterrupt

    def stop_in_mid_file(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        site.get(on_file=stop_after_the_first)
    assert site.unfinished == []
    with pytest.raises(KeyboardInterrupt):
        site.get(on_bytes=stop_in_mid_file)
    assert site.unfinished == ["b.jpg.partial", "b.jpg.partial.json"]
    begun = (site.folder / "b.jpg.partial").stat().st_size
    assert 0 < begun < len(BODY)
    site.log.clear()
    got = site.get()
    assert [path.name for path in got.already_there] == ["a.jpg"]
    assert site.ranges("b.jpg") == [f"bytes={begun}-"]
    assert got.bytes == 400_000 - begun
    assert (site.folder / "b.jpg").read_bytes() == (site.folder / "c.jpg").read_bytes() == BODY


def test_redirects_lead_to_the_web_or_nowhere(site: Site) -> None:
    site.add("real.jpg")
    site.add("moved.jpg", always=status(302, Location="/set/real.jpg"))
    for name, to in (("file.jpg", "file:///etc/passwd"), ("ftp.jpg", "ftp://127.0.0.1/x"), ("loop.jpg", "/set/loop.jpg")):
        site.add(name, always=status(302, Location=to))
    got = site.get(lines=[f"{site.address}/set/{name}.jpg" for name in ("moved", "file", "ftp", "loop")])
    assert (site.folder / "moved.jpg").read_bytes() == BODY
    assert [reason[:8] for reason in got.failures.values()] == ["HTTP 302"] * 3
    assert "ftp://127.0.0.1/x, which is not followed" in got.failures[f"{site.address}/set/ftp.jpg"]


def test_a_file_in_the_way_of_a_folder_is_a_failure_of_that_file(site: Site) -> None:
    site.add("a.jpg")
    site.add("a.jpg/b.jpg")
    site.add("c.jpg")
    got = site.get()
    assert [path.name for path in got.fetched] == ["a.jpg", "c.jpg"]
    assert next(iter(got.failures.values())).startswith("cannot be written")
