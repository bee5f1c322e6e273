"""One file over a server on this machine that fails as real ones do: resumed, checked, never half under its name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from camtrace.lab.download import Downloaded, Step
from camtrace.types import CamtraceError
from moody_server import (
    BODY,
    NEW_BODY,
    PAUSE,
    Site,
    begins_elsewhere,
    chunked,
    cut,
    cut_and_ignores_range,
    hangs_up,
    ignores_range,
    lies,
    serving,
    stalls,
    status,
    without_length,
)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path / "data")
    with serving(site.files, log=site.log) as site.address:
        yield site


def test_files_lie_as_their_addresses_do_beneath_the_index(site: Site) -> None:
    site.add("Dataset/D01/L1/a.jpg")
    site.add("Dataset/D01/with%20space.jpg", body=NEW_BODY)
    steps: list[Step] = []
    got = site.get(on_file=steps.append)
    a, b = site.folder / "Dataset/D01/L1/a.jpg", site.folder / "Dataset/D01/with space.jpg"
    assert (a.read_bytes(), b.read_bytes()) == (BODY, NEW_BODY)
    assert got == Downloaded((a, b), (), {}, 400_000)
    assert [(step.address, step.outcome, step.number, step.total) for step in steps] == [
        (f"{site.address}/set/Dataset/D01/L1/a.jpg", "fetched", 1, 2),
        (f"{site.address}/set/Dataset/D01/with%20space.jpg", "fetched", 2, 2),
    ]
    assert site.unfinished == []
    assert all(asked.headers["User-Agent"].startswith("camtrace/") for asked in site.log)
    assert site.slept == [PAUSE] * len(site.log)  # a pause before each request and no wait


def test_a_second_run_asks_for_the_index_alone(site: Site) -> None:
    site.add("a.jpg")
    site.get()
    site.log.clear()
    got = site.get()
    assert got == Downloaded((), (site.folder / "a.jpg",), {}, 0)
    assert [asked.path for asked in site.log] == ["/set/index.txt"]


def test_files_from_elsewhere_are_kept_if_their_size_is_right(site: Site) -> None:
    site.add("whole.jpg")
    site.add("short.jpg")
    site.folder.mkdir()
    (site.folder / "whole.jpg").write_bytes(BODY)
    (site.folder / "short.jpg").write_bytes(BODY[:-1])
    got = site.get()
    assert (got.fetched, got.already_there) == ((site.folder / "short.jpg",), (site.folder / "whole.jpg",))
    assert site.asked("whole.jpg") == []
    assert (site.folder / "short.jpg").read_bytes() == BODY


def test_the_ledger_is_believed_only_about_files_as_it_noted_them(site: Site) -> None:
    site.add("gone.jpg")
    site.add("cut.jpg")
    site.get()
    (site.folder / "gone.jpg").unlink()
    (site.folder / "cut.jpg").write_bytes(b"")
    with (site.folder / "camtrace-downloads.jsonl").open("a") as stream:
        stream.write('[1]\n"x"\n{"path": "gone.jp')  # as a kill leaves it
    assert len(site.get().fetched) == 2
    assert (site.folder / "cut.jpg").read_bytes() == BODY


def test_a_server_that_restarts_in_mid_file_is_asked_for_the_rest(tmp_path: Path) -> None:
    site = Site(tmp_path / "data")
    site.add("a.jpg", always=cut(70_000))
    with serving(site.files, log=site.log) as site.address:
        first = site.get(tries=1)
    assert list(first.failures.values()) == ["stopped at 70000 of 200000 bytes"]
    assert site.unfinished == ["a.jpg.partial", "a.jpg.partial.json"]
    assert not (site.folder / "a.jpg").exists()
    site.files["/set/a.jpg"].always = None
    site.log.clear()
    with serving(site.files, log=site.log, port=int(site.address.rpartition(":")[2])):
        second = site.get()
    assert site.ranges("a.jpg") == ["bytes=70000-"]
    assert site.asked("a.jpg")[0].headers["If-Range"] == '"v1"'
    assert (site.folder / "a.jpg").read_bytes() == BODY
    assert second.bytes == 130_000
    assert site.unfinished == []


def test_a_connection_that_breaks_is_taken_up_again_with_growing_waits(site: Site) -> None:
    site.add("a.jpg", cut(50_000), hangs_up, hangs_up, cut(120_000), stalls(150_000))
    got = site.get(timeout_s=0.2)
    assert got.failures == {}
    assert site.ranges("a.jpg") == [None, *["bytes=50000-"] * 3, "bytes=120000-", "bytes=150000-"]
    assert site.waits == [1, 2, 4, 1, 1]  # from 1 again after each try that brought something
    assert (site.folder / "a.jpg").read_bytes() == BODY


def test_one_bad_file_does_not_stop_the_others(site: Site) -> None:
    site.add("first.jpg")
    site.add("broken.jpg", always=status(500))
    site.add("lied.jpg", always=lies(300_000))
    site.add("last.jpg")
    lines = [f"{site.address}/set/{name}.jpg" for name in ("first", "missing", "broken", "lied", "last")]
    got = site.get(lines=lines)
    assert [path.name for path in got.fetched] == ["first.jpg", "last.jpg"]
    assert got.failures == {
        lines[1]: "HTTP 404 Not Found",
        lines[2]: "HTTP 500 Internal Server Error",
        lines[3]: "ends on the server at 200000 bytes or before; it was said to have 300000",
    }
    assert len(site.asked("missing.jpg")) == 1  # what is not there is not asked for again
    assert len(site.asked("broken.jpg")) == 4
    assert not (site.folder / "lied.jpg").exists()


def test_errors_of_the_server_pass(site: Site) -> None:
    site.add("a.jpg", status(500), status(500))
    site.add("b.jpg", status(503, Retry_After="17"), status(429, Retry_After="99999"))
    assert site.get().failures == {}
    assert site.waits == [1, 2, 17, 300]


def test_a_server_that_ignores_range_sends_the_file_anew(site: Site) -> None:
    site.add("a.jpg", cut(70_000), always=ignores_range)
    site.add("b.jpg", always=cut_and_ignores_range(70_000))
    got = site.get()
    assert site.ranges("a.jpg") == [None, "bytes=70000-"]
    assert (site.folder / "a.jpg").read_bytes() == BODY
    assert len(site.asked("b.jpg")) == 4  # each try got as far as the one before and no further: that is no progress
    assert list(got.failures.values()) == ["stopped at 70000 of 200000 bytes"]


@pytest.mark.parametrize("heeds_if_range", [True, False])
@pytest.mark.parametrize(
    ("old", "new", "if_range"),
    [
        ({"ETag": '"v1"'}, {"ETag": '"v2"'}, '"v1"'),
        ({"ETag": 'W/"v1"'}, {"ETag": 'W/"v2"'}, None),
        (
            {"Last-Modified": "Tue, 01 Jul 2025 10:00:00 GMT"},
            {"Last-Modified": "Wed, 02 Jul 2025 10:00:00 GMT"},
            "Tue, 01 Jul 2025 10:00:00 GMT",
        ),
        ({"ETag": '"v1"'}, {}, '"v1"'),
    ],
)
def test_parts_of_two_versions_are_never_joined(
    site: Site, old: dict[str, str], new: dict[str, str], if_range: str | None, heeds_if_range: bool
) -> None:
    served = site.add("a.jpg", cut(70_000), headers=old, heeds_if_range=heeds_if_range)
    site.get(tries=1)
    served.body, served.headers = NEW_BODY, new
    assert site.get().failures == {}
    assert site.ranges("a.jpg")[:2] == [None, "bytes=70000-"]
    assert site.asked("a.jpg")[1].headers.get("If-Range") == if_range
    assert (site.folder / "a.jpg").read_bytes() == NEW_BODY


def test_a_file_of_which_no_change_would_show_is_begun_anew(site: Site) -> None:
    served = site.add("a.jpg", cut(70_000), headers={})
    site.get(tries=1)
    served.body = NEW_BODY
    assert site.get().failures == {}
    assert site.ranges("a.jpg") == [None, None]
    assert (site.folder / "a.jpg").read_bytes() == NEW_BODY


@pytest.mark.parametrize("heeds_if_range", [True, False])
def test_a_file_that_became_shorter_than_its_part_is_begun_anew(site: Site, heeds_if_range: bool) -> None:
    served = site.add("a.jpg", cut(70_000), heeds_if_range=heeds_if_range)
    site.get(tries=1)
    served.body, served.headers = NEW_BODY[:60_000], {"ETag": '"v2"'}
    assert site.get().failures == {}
    assert (site.folder / "a.jpg").read_bytes() == NEW_BODY[:60_000]


def test_another_range_than_the_one_asked_for_is_not_appended(site: Site) -> None:
    site.add("a.jpg", cut(70_000), begins_elsewhere)
    assert site.get().failures == {}
    assert site.ranges("a.jpg") == [None, "bytes=70000-", None]
    assert (site.folder / "a.jpg").read_bytes() == BODY


def test_a_part_that_nothing_is_known_of_is_not_used(site: Site) -> None:
    site.add("a.jpg")
    site.folder.mkdir()
    (site.folder / "a.jpg.partial").write_bytes(b"somebody else's")
    site.get()
    assert site.ranges("a.jpg") == [None]
    assert (site.folder / "a.jpg").read_bytes() == BODY


def test_a_part_that_is_the_whole_gets_its_name(site: Site) -> None:
    site.add("a.jpg", cut(70_000))
    site.get(tries=1)
    (site.folder / "a.jpg.partial").write_bytes(BODY)  # as a kill between the last byte and the new name leaves it
    assert site.get().fetched == (site.folder / "a.jpg",)
    assert len(site.asked("a.jpg")) == 1


def test_files_without_a_length_must_end_as_they_say(site: Site) -> None:
    site.add("chunked.jpg", chunked(whole=False), always=chunked(whole=True))
    site.add("endless.jpg", always=without_length)
    site.add("known.jpg", always=without_length)
    site.add("squeezed.jpg", headers={"Content-Encoding": "gzip"})
    got = site.get(sha256sums={"known.jpg": hashlib.sha256(BODY).hexdigest().upper()})
    assert [path.name for path in got.fetched] == ["chunked.jpg", "known.jpg"]
    assert all(path.read_bytes() == BODY for path in got.fetched)
    endless, squeezed = got.failures.values()
    assert "does not say how long" in endless
    assert "encoding gzip" in squeezed


def test_a_known_sha256_is_checked(site: Site, tmp_path: Path) -> None:
    site.add("good.jpg")
    site.add("bad.jpg", body=NEW_BODY)
    site.add("stale.jpg")
    site.folder.mkdir()
    (site.folder / "stale.jpg").write_bytes(NEW_BODY)  # the right size
    sums = tmp_path / "SHA256SUMS"
    known = hashlib.sha256(BODY).hexdigest()
    sums.write_text(f"{known}  good.jpg\r\n{known} *./bad.jpg\n\n{known.upper()}  stale.jpg\n")
    got = site.get(sha256sums=sums, tries=2)
    assert [path.name for path in got.fetched] == ["good.jpg", "stale.jpg"]
    assert list(got.failures.values()) == [f"has the SHA-256 {hashlib.sha256(NEW_BODY).hexdigest()}; expected {known}"]
    assert len(site.asked("bad.jpg")) == 2
    assert not (site.folder / "bad.jpg").exists()
    assert site.unfinished == []


def test_hashes_given_later_are_checked_too(site: Site) -> None:
    site.add("a.jpg")
    site.get()
    (site.folder / "a.jpg").write_bytes(NEW_BODY)  # rotted, of the same size
    assert site.get().already_there
    assert site.get(sha256sums={"a.jpg": hashlib.sha256(BODY).hexdigest()}).fetched
    assert (site.folder / "a.jpg").read_bytes() == BODY


def test_hashes_that_cannot_be_used_are_an_error(site: Site, tmp_path: Path) -> None:
    site.add("a.jpg")
    (tmp_path / "sums").write_text("abc  a.jpg\n")
    with pytest.raises(CamtraceError, match=r"sums, line 1: found 'abc  a.jpg'"):
        site.get(sha256sums=tmp_path / "sums")
    with pytest.raises(CamtraceError, match="nowhere: cannot be read"):
        site.get(sha256sums=tmp_path / "nowhere")
    with pytest.raises(CamtraceError, match=r"of none of its files; expected paths such as a\.jpg"):
        site.get(sha256sums={"data/a.jpg": "0" * 64})
