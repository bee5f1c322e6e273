"""Data sets by name, listings of folders, and zips that are unpacked safely."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from camtrace.lab.datasets import LAYOUTS, Layout
from camtrace.lab.download import LISTINGS, Manners, downloadable, fetch, unpack
from camtrace.lab.download.addresses import lines_of, links_of
from camtrace.types import CamtraceError
from moody_server import Asked, Served, serving

AT_ONCE = Manners(0, 1, 5, lambda _: None)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def never(needed: int, free: int) -> bool:
    raise AssertionError(f"asked about {needed} of {free} bytes")


def a_set(index: str | None) -> Layout:
    return Layout(
        name="made",
        read=lambda _: [],
        recognises=lambda _: False,
        how_to_get="Write to made@example.org.",
        tree="D01_Make_Model/1.jpg",
        index=index,
        ignores=lambda path: "videos" in path.parts,
    )


def a_zip(path: Path, *entries: tuple[str, bytes], change: Callable[[zipfile.ZipInfo], object] = lambda _: None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, body in entries:
            info = zipfile.ZipInfo(name)
            change(info)
            archive.writestr(info, body)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_photos_of_a_set_are_fetched_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("D01_A_B/1.jpg", "D01_A_B/2.HEIC", "D01_A_B/3.mp4", "D01_A_B/videos/4.jpg", "D02_A_B/5.jpg")
    files = {f"/set/{name}": Served(name.encode()) for name in names}
    log: list[Asked] = []
    with serving(files, log=log) as address:
        files["/set/list.txt"] = Served("\n".join(f"{address}/set/{name}" for name in names).encode())
        monkeypatch.setitem(LAYOUTS, "made", a_set(f"{address}/set/list.txt"))
        assert "made" in downloadable()
        fetch("made", tmp_path / "one", agree=never, only=lambda address: "D01" in address, manners=AT_ONCE)
        fetch("made", tmp_path / "all", agree=never, manners=AT_ONCE)
    assert tree(tmp_path / "one").keys() == {"D01_A_B/1.jpg", "D01_A_B/2.HEIC", "camtrace-downloads.jsonl"}
    assert tree(tmp_path / "all").keys() == {"D01_A_B/1.jpg", "D01_A_B/2.HEIC", "D02_A_B/5.jpg", "camtrace-downloads.jsonl"}


def test_a_set_of_zips_is_fetched_from_its_listing_and_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = a_zip(tmp_path / "1.zip", ("D01_A_B/orig/1.jpg", b"one"), ("D01_A_B/empty/", b""), ("D02_A_B/orig/1.jpg", b"two"))
    page = b"<a href='?C=N'>Name</a><a href='../'>up</a><a href='1.zip'>1</a><a HREF='bad.zip'>2</a><a href='readme.txt'>3</a>"
    files = {"/fodb/": Served(page), "/fodb/1.zip": Served(whole.read_bytes()), "/fodb/bad.zip": Served(b"no zip")}
    folder = tmp_path / "data"
    log: list[Asked] = []
    with serving(files, log=log) as address:
        monkeypatch.setitem(LAYOUTS, "made", a_set(None))
        monkeypatch.setitem(LISTINGS, "made", f"{address}/fodb/")
        got = fetch("made", folder, agree=never, manners=AT_ONCE)
        assert list(got.failures) == [str(folder / "bad.zip")]
        assert "not a zip that can be read" in got.failures[str(folder / "bad.zip")]
        (folder / "D01_A_B/orig/1.jpg").unlink()
        log.clear()
        again = fetch("made", folder, agree=never, manners=AT_ONCE)
    assert [asked.path for asked in log] == ["/fodb/"]
    assert len(again.already_there) == 2
    found = tree(folder)
    assert (found.pop("D01_A_B/orig/1.jpg"), found.pop("D02_A_B/orig/1.jpg")) == (b"one", b"two")
    assert found.keys() == {"1.zip", "bad.zip", "camtrace-downloads.jsonl"}


def test_the_public_sets_with_an_index_can_be_fetched_and_the_others_say_how_to_get_them(tmp_path: Path) -> None:
    assert set(downloadable()) == {"floreview", "fodb", "vision"}
    with pytest.raises(CamtraceError, match=r"(?s)dresden: camtrace cannot download this data set.*kaggle"):
        fetch("dresden", tmp_path, agree=never)
    with pytest.raises(CamtraceError, match=r"'drseden' is not a data set.*dresden"):
        fetch("drseden", tmp_path, agree=never)


def test_listings_are_read_as_servers_draw_them() -> None:
    base = "https://host/public/fodb/"
    page = """<html><a name="top">x</a><a href="?C=M;O=A">Last modified</a><a href="/public/">Parent</a><a href="D01/">D01/</a>
    <a href="a%20b.zip">a</a><a href="/public/fodb/c.zip">c</a><a href="https://host/public/fodb/d.zip">d</a>
    <a href="https://elsewhere/public/fodb/e.zip">e</a><a href="../../f.zip">f</a><a href="http://[">g</a><a href="c.zip">c</a>"""
    assert links_of(page, base) == [f"{base}a%20b.zip", f"{base}c.zip", f"{base}d.zip"]


def test_lists_are_read_as_people_write_them() -> None:
    assert lines_of("\ufeff# list\r\n\r\n http://h/a \r\nhttp://h/b\nhttp://h/a") == ["http://h/a", "http://h/b"]


def test_a_zip_is_unpacked_and_kept(tmp_path: Path) -> None:
    zipped = a_zip(tmp_path / "1.zip", ("a/1.jpg", b"one"), ("./2.jpg", b"two"))
    out = tmp_path / "out"
    assert unpack(zipped, out) == (out / "a/1.jpg", out / "2.jpg")
    assert tree(out) == {"a/1.jpg": b"one", "2.jpg": b"two"}
    before = (out / "2.jpg").stat().st_mtime_ns
    assert unpack(zipped, out) == (out / "a/1.jpg", out / "2.jpg")
    assert (out / "2.jpg").stat().st_mtime_ns == before
    assert zipped.is_file()


@pytest.mark.parametrize("name", ["../x.jpg", "/x.jpg", "a/../../x.jpg", "C:/x.jpg", "..\\x.jpg", "a/NUL", "con.jpg/x.jpg"])
def test_a_zip_that_would_leave_the_folder_writes_nothing(tmp_path: Path, name: str) -> None:
    zipped = a_zip(tmp_path / "1.zip", ("good.jpg", b"one"), (name, b"two"))
    with pytest.raises(CamtraceError, match=r"1\.zip: the path"):
        unpack(zipped, tmp_path / "out")
    assert tree(tmp_path).keys() == {"1.zip"}


def _link(info: zipfile.ZipInfo) -> None:
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16


def test_links_twins_and_secrets_in_a_zip_are_refused(tmp_path: Path) -> None:
    a_zip(tmp_path / "link.zip", ("a", b"/etc"), change=_link)
    a_zip(tmp_path / "twins.zip", ("a.jpg", b"1"), ("A.JPG", b"2"))
    secret = a_zip(tmp_path / "secret.zip", ("a.jpg", b"1"))
    raw = bytearray(secret.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    secret.write_bytes(raw)
    for name, problem in (("link", "'a' is a link"), ("twins", "'A.JPG' is there twice"), ("secret", "'a.jpg' is encrypted")):
        with pytest.raises(CamtraceError, match=rf"{name}\.zip: {problem}"):
            unpack(tmp_path / f"{name}.zip", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("there", [b"one more", b"eno"])
def test_another_file_that_is_there_is_never_overwritten(tmp_path: Path, there: bytes) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "b.jpg").write_bytes(there)
    with pytest.raises(CamtraceError, match=r"b\.jpg: is there already and is not the file that .*1\.zip holds"):
        unpack(a_zip(tmp_path / "1.zip", ("a.jpg", b"two"), ("b.jpg", b"one")), out)
    assert tree(out) == {"b.jpg": there}


def test_a_damaged_zip_leaves_no_damaged_file(tmp_path: Path) -> None:
    zipped = a_zip(tmp_path / "1.zip", ("a.jpg", b"one" * 100))
    raw = bytearray(zipped.read_bytes())
    raw[raw.index(b"oneone") + 5] ^= 1
    zipped.write_bytes(raw)
    with pytest.raises(CamtraceError, match=r"1\.zip: damaged.*a\.jpg"):
        unpack(zipped, tmp_path / "out")
    assert tree(tmp_path / "out") == {}
    with pytest.raises(CamtraceError, match=r"none\.zip: cannot be unpacked"):
        unpack(tmp_path / "none.zip", tmp_path / "out")


def test_a_zip_that_the_disk_cannot_hold_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Disk", (), {"free": 5}))
    with pytest.raises(CamtraceError, match="6 bytes are needed and 5 are free"):
        unpack(a_zip(tmp_path / "1.zip", ("a.jpg", b"one"), ("b.jpg", b"two")), tmp_path / "out")
    assert tree(tmp_path / "out") == {}
