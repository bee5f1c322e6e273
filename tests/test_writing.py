"""What is written is there whole or not at all: on a full disk, when killed at any step, and when two write at once."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest

from camtrace.devices.enrolment import enroll
from camtrace.devices.store import DeviceError, open_database
from camtrace.safe_files import locked, write_file, write_folder, write_output
from full_disk import full_disk
from made import run_cli
from made_devices import write_flats

POSIX = pytest.mark.skipif(os.name == "nt", reason="fork, kill and limits of file sizes are POSIX; run this on Linux or macOS")
OLD, NEW = {"a": b"old a", "b": b"old b" * 9}, {"a": b"new a", "b": b"new b" * 9, "c": b"new c"}


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_folders_are_written_whole(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "one"
    write_folder(folder, OLD)
    assert contents(folder) == OLD
    write_folder(folder, NEW)
    assert contents(folder) == NEW
    assert [path.name for path in folder.parent.iterdir()] == ["one"]


def test_a_check_that_fails_leaves_the_old_folder(tmp_path: Path) -> None:
    write_folder(tmp_path / "one", OLD)
    with pytest.raises(ZeroDivisionError):
        write_folder(tmp_path / "one", NEW, check=lambda: 1 / 0)
    assert contents(tmp_path / "one") == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


@POSIX
def test_a_disk_that_fills_up_in_the_middle_leaves_what_was_there(tmp_path: Path) -> None:
    write_folder(tmp_path / "one", OLD)
    write_file(tmp_path / "file", b"old")
    with full_disk(1000):
        with pytest.raises(OSError, match=r"too large|No space"):
            write_folder(tmp_path / "one", {**NEW, "large": bytes(5000)})
        with pytest.raises(OSError, match=r"too large|No space"):
            write_folder(tmp_path / "two", {**NEW, "large": bytes(5000)})
        with pytest.raises(OSError, match=r"too large|No space"):
            write_file(tmp_path / "file", bytes(5000))
    assert contents(tmp_path / "one") == OLD
    assert (tmp_path / "file").read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {"one", "file"}


@POSIX
def test_a_disk_that_fills_up_leaves_the_database_of_devices(tmp_path: Path) -> None:
    db = tmp_path / "db"
    enroll(db, "first", write_flats(tmp_path / "flats", 1, range(5)))
    before = {path: path.read_bytes() for path in db.rglob("*") if path.is_file()}
    more = write_flats(tmp_path / "flats", 2, range(5))
    for size in (100, 20_000, 40_000):  # in the fingerprints, in the sketch, behind these
        with full_disk(size), pytest.raises(DeviceError, match="cannot be written"):
            enroll(db, "second", more)
        assert set(open_database(db).devices) == {"first"}
        assert all(path.read_bytes() == data for path, data in before.items())
        assert not list(db.rglob(".*"))


KILLED = """
import itertools, os, signal, sys
from pathlib import Path
from camtrace import safe_files

OLD, NEW, root = eval(sys.argv[1]), eval(sys.argv[2]), Path(sys.argv[3])

def die_at(step):
    steps = itertools.count()
    def counted(real):
        def call(*args, **more):
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **more)
        return call
    for name in ("fsync", "open", "rename", "replace", "mkdir", "unlink", "rmdir", "link"):
        setattr(os, name, counted(getattr(os, name)))
    return steps

for step in itertools.count():
    folder, file = root / str(step) / "one", root / str(step) / "file"
    safe_files.write_folder(folder, OLD)
    safe_files.write_file(file, b"old")
    child = os.fork()
    if not child:
        die_at(step)
        safe_files.write_output(root / str(step) / "output", b"new")
        safe_files.write_file(file, b"new")
        safe_files.write_folder(folder, NEW)
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0:
        break
print(step)
"""


@POSIX
def test_killed_at_any_step_nothing_is_half_written(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", KILLED, repr(OLD), repr(NEW), str(tmp_path)], capture_output=True, text=True, check=True
    )
    steps = int(run.stdout)
    assert steps > 10
    missing = 0
    for step in range(steps + 1):
        assert (tmp_path / str(step) / "file").read_bytes() in (b"old", b"new")
        output = tmp_path / str(step) / "output"
        assert not output.exists() or output.read_bytes() == b"new"
        folder = tmp_path / str(step) / "one"
        if folder.exists():
            assert contents(folder) in (OLD, NEW)
        else:  # between the two renamings: both are beside it, whole
            missing += 1
            (before,) = folder.parent.glob(".one.before-*/old")
            assert contents(before) == OLD
            assert NEW in [contents(path) for path in folder.parent.glob(".one.*") if path.is_dir() and ".before-" not in path.name]
        write_folder(folder, NEW)  # what a killed writer left is in nobody's way, its lock least of all
        assert contents(folder) == NEW
    assert missing <= 2


def _write_often(folder: Path, mark: bytes) -> None:
    for number in range(15):
        write_folder(folder, dict.fromkeys("abc", mark * (number + 1)))


def _enroll_often(db: Path, flats: Path, numbers: tuple[int, ...]) -> None:
    for number in numbers:
        enroll(db, f"device {number}", sorted((flats / str(number)).iterdir()))


def both(target: object, *jobs: tuple[object, ...]) -> None:
    """Run it in two processes at once, each from its beginning."""
    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=target, args=job) for job in jobs]  # type: ignore[arg-type]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
    assert [process.exitcode for process in started] == [0, 0]


def test_two_at_once_write_one_folder_after_the_other(tmp_path: Path) -> None:
    folder = tmp_path / "one"
    both(_write_often, (folder, b"1"), (folder, b"2"))
    (content,) = set(contents(folder).values())
    assert content in (b"1" * 15, b"2" * 15)
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_two_enrolments_at_once_both_stay(tmp_path: Path) -> None:
    for number in range(4):
        write_flats(tmp_path / "flats" / str(number), number, range(5))
    db, flats = tmp_path / "db", tmp_path / "flats"
    both(_enroll_often, (db, flats, (0, 1)), (db, flats, (2, 3)))
    database = open_database(db)
    assert set(database.devices) == {f"device {number}" for number in range(4)}
    for name, device in database.devices.items():
        assert database.fingerprint(name, device.prints[0].size).any()
    assert {path.name for path in tmp_path.iterdir()} == {"db", "flats"}
    assert len(list((db / "devices").iterdir())) == 8


def test_a_photo_that_taught_another_device_meanwhile_is_refused(tmp_path: Path) -> None:
    from camtrace.devices.store import drop, store

    flats = write_flats(tmp_path / "flats", 1, range(5))
    stale = open_database(tmp_path / "db", create=True)
    enroll(tmp_path / "db", "first", flats)
    database = open_database(tmp_path / "db")
    device = database.devices["first"]
    sums = {one.size: database.sums("first", one) for one in device.prints}
    with pytest.raises(DeviceError, match="somebody else changed the database meanwhile"):
        store(stale, device.__class__("second", device.prints), sums)
    with pytest.raises(DeviceError, match="somebody else changed the database meanwhile"):
        store(stale, device.__class__("first", device.prints), sums)
    assert set(open_database(tmp_path / "db").devices) == {"first"}
    drop(open_database(tmp_path / "db"), "first")


def test_a_lock_is_held_by_one_and_goes_with_its_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camtrace.safe_files._PATIENCE", 2)
    with locked(tmp_path / "one"):
        with pytest.raises(OSError, match="another process is writing here"), locked(tmp_path / "one"):
            pass
        with locked(tmp_path / "two"):
            pass
    assert list(tmp_path.iterdir()) == []
    (tmp_path / ".one.lock").write_bytes(b"")  # what a killed holder leaves
    with locked(tmp_path / "one"):
        pass
    assert list(tmp_path.iterdir()) == []


# ---- what commands write for their users


@POSIX
@pytest.mark.parametrize("force", [False, True])
def test_a_disk_that_fills_up_leaves_no_half_output(tmp_path: Path, force: bool) -> None:
    path = tmp_path / "report.html"
    if force:
        path.write_bytes(b"old")
    with full_disk(1000), pytest.raises(OSError, match=r"large|space"):
        write_output(path, bytes(5000), force=force)
    assert contents(tmp_path) == ({"report.html": b"old"} if force else {})


@pytest.mark.parametrize("linked", [True, False])
def test_an_output_never_replaces_what_was_not_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no links on this stick")

    if not linked:
        monkeypatch.setattr(os, "link", refuse)
    path = tmp_path / "map.png"
    write_output(path, b"first")
    with pytest.raises(FileExistsError):
        write_output(path, b"second")
    assert contents(tmp_path) == {"map.png": b"first"}
    write_output(path, b"second", force=True)
    assert contents(tmp_path) == {"map.png": b"second"}


@POSIX
def test_a_device_is_written_to_and_stays_one() -> None:
    write_output(Path("/dev/null"), b"data", force=True)
    assert Path("/dev/null").is_char_device()


@POSIX
@pytest.mark.parametrize("words", [("localize", "--heatmap", "map.png"), ("report", "--no-localize", "--out", "report.html")])
def test_commands_say_that_the_disk_is_full_and_leave_nothing(tmp_path: Path, photo: Path, words: tuple[str, ...]) -> None:
    command, *options, name = words
    out = tmp_path / "out"
    out.mkdir()
    with full_disk(500):
        run = run_cli(command, photo, *options, out / name)
    assert run.code == 1
    assert f"{out / name}: cannot be written: " in run.err
    assert list(out.iterdir()) == []


def test_a_folder_that_cannot_take_its_place_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, rename = tmp_path / "one", Path.rename
    write_folder(folder, OLD)

    def refuse(self: Path, target: Path) -> Path:
        if target == folder and self.name != "old":
            raise PermissionError("somebody looks into it")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError, match="somebody looks into it"):
        write_folder(folder, NEW)
    assert contents(folder) == OLD
    assert [path.name for path in tmp_path.iterdir()] == ["one"], "nothing is left beside it"
