"""A file of verdicts that is killed at any moment and gone on with is the file of a run that was not killed."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import camtrace
from camtrace import safe_files
from camtrace.batches.journal import FORMS, LISTED, PART, RUN, Facts, Journal, open_journal
from camtrace.outputs import read_verdict, to_line
from camtrace.simulator import MadeCamera
from camtrace.types import BundleId, CamtraceError, Claim, Ranked, Verdict
from made import made_photo, run_cli

FACTS = Facts("1", "made 1", "0" * 64, "jsonl", None, None, "balanced")
GOOD = Verdict(
    source="a.jpg",
    sha256="0" * 64,
    status="ok",
    answer="Nikon D90",
    answer_level="model",
    best="Nikon D90",
    reason='said "so"; twice',
    ranking=(Ranked("Nikon D90", 0.1 + 0.2, 30), Ranked("Nikon D40", None, 2)),
    n_patches=32,
    log10_lr=1 / 3,
    claim=Claim("Nikon", None),
    claim_agrees=True,
    bundle=BundleId("made", "1"),
)
BAD = replace(GOOD, sha256=None, status="unreadable", ranking=(), log10_lr=None, claim=Claim(), claim_agrees=None, best=None)
SOURCES = ["a.jpg", "b,c.jpg", 'quo"te.jpg', "two\nlines.jpg", "re\rturn.jpg", "é.jpg", os.fsdecode(b"caf\xe9.jpg"), "z.jpg"]
VERDICTS = [replace(BAD if number % 3 == 1 else GOOD, source=source, reason=f"{source}: so") for number, source in enumerate(SOURCES)]


def run(out: Path, form: str, *, verdicts: list[Verdict] = VERDICTS, stop: int | None = None, **how: Any) -> Journal:
    """What the command does with a file: catch up with the photos, judge the others, finish. `stop` breaks off after so many."""
    if form == "parquet":
        pytest.importorskip("pyarrow", reason="Parquet is written by pyarrow: pip install 'camtrace[parquet]'")
    with open_journal(out, replace(FACTS, form=form), **how) as journal:
        feed = iter([verdict.source for verdict in verdicts])
        journal.catch_up(feed)
        by_source = {verdict.source: verdict for verdict in verdicts}
        for source in feed:
            if journal.tally.photos == stop:
                return journal
            journal.append(by_source[source])
        journal.finish()
    return journal


@pytest.mark.parametrize("form", FORMS)
def test_a_file_cut_anywhere_becomes_the_whole_file_again(tmp_path: Path, form: str) -> None:
    whole = tmp_path / f"whole.{form}"
    run(whole, form)
    out = tmp_path / f"out.{form}"
    growing = Path(f"{out}{PART}") if form == "parquet" else out
    run(out, form, stop=len(SOURCES) - 1)
    content = growing.read_bytes()
    for cut in range(0, len(content) + 1, 13):
        out.unlink(missing_ok=True)
        growing.write_bytes(content[:cut])
        journal = run(out, form, resume=True)
        assert out.read_bytes() == whole.read_bytes(), cut
        assert (journal.tally.photos, journal.tally.failed) == (8, 3)
        assert journal.tally.failures == [(verdict.source, verdict.reason) for verdict in VERDICTS if verdict.status != "ok"]
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith("whole")) == [out.name, out.name + RUN]


@pytest.mark.parametrize("form", FORMS)
def test_going_on_with_a_whole_file_changes_nothing(tmp_path: Path, form: str) -> None:
    out = tmp_path / "out"
    run(out, form)
    before = out.read_bytes()
    assert run(out, form, resume=True).tally.photos == len(SOURCES)
    assert out.read_bytes() == before


def test_forms_say_the_same_as_standard_output(tmp_path: Path) -> None:
    for form in FORMS:
        run(tmp_path / form, form)
    assert [read_verdict(json.loads(line)) for line in (tmp_path / "jsonl").read_text("ascii").splitlines()] == VERDICTS
    rows = list(csv.DictReader(io.StringIO((tmp_path / "csv").read_bytes().decode(), newline="")))
    as_text = [source.encode("utf-8", "backslashreplace").decode() for source in SOURCES]
    assert [row["source"] for row in rows] == as_text
    assert rows[0]["probability"] == "0.30000000000000004"
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet is written by pyarrow: pip install 'camtrace[parquet]'")
    table = parquet.read_table(tmp_path / "parquet")
    documents = [verdict.to_dict() for verdict in VERDICTS]
    for document, source in zip(documents, as_text, strict=True):
        document |= {"source": source, "reason": f"{source}: so"}
    assert table.to_pylist() == documents


def test_nothing_is_written_over(tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    run(out, "jsonl", stop=3)
    before = out.read_bytes()
    with pytest.raises(CamtraceError, match=r"out.jsonl: is there already; --resume goes on with it, --force replaces it"):
        run(out, "jsonl")
    with pytest.raises(CamtraceError, match="was begun with form jsonl, now csv"):
        run(out, "csv", resume=True)
    other = replace(FACTS, mode="guess", patches=5)
    with (
        pytest.raises(CamtraceError, match="was begun with patches None, now 5; mode balanced, now guess"),
        open_journal(out, other, resume=True),
    ):
        pass
    assert out.read_bytes() == before
    run(out, "jsonl", verdicts=VERDICTS[4:], force=True)
    assert out.read_text("ascii") == "".join(to_line(verdict, "jsonl") for verdict in VERDICTS[4:])


def test_strange_files_are_not_gone_on_with(tmp_path: Path) -> None:
    out = tmp_path / "photo.jsonl"
    out.write_bytes(b"a photo")
    with pytest.raises(CamtraceError, match="which says how it was begun, cannot be read"):
        run(out, "jsonl", resume=True)
    assert out.read_bytes() == b"a photo"
    run(out, "jsonl", force=True)
    lines = out.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join([*lines[:2], b"{}\n", *lines[3:]]))
    with pytest.raises(CamtraceError, match=r"record 3 is no verdict \('source'\)"):
        run(out, "jsonl", resume=True)
    with pytest.raises(CamtraceError, match="is a folder, expected a file"):
        run(tmp_path, "jsonl", force=True)
    with pytest.raises(CamtraceError, match="cannot be written: No such file"):
        run(tmp_path / "none" / "out.jsonl", "jsonl")


@pytest.mark.parametrize("form", FORMS)
def test_photos_that_changed_meanwhile_are_noticed(tmp_path: Path, form: str) -> None:
    out = tmp_path / "out"
    run(out, form)
    before = out.read_bytes()
    with pytest.raises(CamtraceError, match=r"verdict number 2 is on 'b,c.jpg', but photo number 2 is now 'aa.jpg'"):
        run(out, form, verdicts=[VERDICTS[0], replace(GOOD, source="aa.jpg"), *VERDICTS[1:]], resume=True)
    with pytest.raises(CamtraceError, match="photo number 8 is now none"):
        run(out, form, verdicts=VERDICTS[:-1], resume=True)
    assert out.read_bytes() == before
    more = [*VERDICTS, replace(GOOD, source="zz.jpg")]
    if form == "parquet":
        with pytest.raises(CamtraceError, match="its verdict number 9 is on nothing"):
            run(out, form, verdicts=more, resume=True)
    else:
        assert run(out, form, verdicts=more, resume=True).tally.photos == 9
        assert out.read_bytes().startswith(before)


def test_a_full_disk_says_so_and_costs_nothing(tmp_path: Path) -> None:
    class Full(io.BytesIO):
        """Takes 100 bytes more."""

        left = 100

        def write(self, data: Any) -> int:
            if self.left == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            taken = bytes(data[: self.left])
            self.left -= len(taken)
            return super().write(taken)

    out = tmp_path / "out.jsonl"
    run(out, "jsonl", stop=2)
    with open_journal(out, FACTS, resume=True) as journal:
        assert journal._file is not None
        journal.catch_up(feed := iter(SOURCES))
        real, journal._file = journal._file, Full()
        with pytest.raises(CamtraceError, match=r"out.jsonl: cannot be written: No space left on device; --resume goes on from here"):
            journal.append(VERDICTS[SOURCES.index(next(feed))])
        real.write(journal._file.getvalue())
        journal._file = real
    run(out, "jsonl", resume=True)
    assert out.read_text("ascii") == "".join(to_line(verdict, "jsonl") for verdict in VERDICTS)


def test_two_runs_do_not_write_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(safe_files, "_PATIENCE", 2)
    out = tmp_path / "out.jsonl"
    with (
        open_journal(out, FACTS),
        pytest.raises(CamtraceError, match="another process is writing here"),
        open_journal(out, FACTS, resume=True),
    ):
        pass


def test_failures_are_listed_up_to_a_bound(tmp_path: Path) -> None:
    many = [replace(BAD, source=f"{number}.jpg") for number in range(LISTED + 5)]
    for how in ({}, {"resume": True}):
        tally = run(tmp_path / "out.csv", "csv", verdicts=many, **how).tally
        assert (tally.photos, tally.failed, len(tally.failures)) == (LISTED + 5, LISTED + 5, LISTED)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, cameras: tuple[MadeCamera, ...]) -> Path:
    """Some photos, many times, and bad files among them."""
    folder = tmp_path_factory.mktemp("resume") / "photos"
    folder.mkdir()
    photos = [made_photo(camera, 900, size=256) for camera in cameras[:2]]
    for number in range(60):
        (folder / f"{number:03}.jpg").write_bytes(b"bad" if number % 20 == 7 else photos[number % 2] + bytes([number]))
    return folder


@pytest.fixture(scope="module")
def command(folder: Path, bundle_folder: Path) -> list[str]:
    return [sys.executable, "-m", "camtrace", "identify", str(folder), "--bundle", str(bundle_folder)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, folder: Path, bundle_folder: Path) -> dict[str, bytes]:
    """The files of runs that were not killed."""
    place = tmp_path_factory.mktemp("whole")
    run_cli("identify", folder, "--bundle", bundle_folder, "--to", "jsonl", "--out", place / "jsonl")
    verdicts = [read_verdict(json.loads(line)) for line in (place / "jsonl").read_text("ascii").splitlines()]
    for form in ("csv", "parquet"):
        run(place / form, form, verdicts=verdicts)
    return {form: (place / form).read_bytes() for form in FORMS}


def kill_at(command: list[str], growing: Path, size: int) -> bool:
    """Start a command and kill it once a file has this size; whether it lived to be killed."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and not (growing.exists() and growing.stat().st_size >= size):
        time.sleep(0.002)
    lived = process.poll() is None
    process.kill()
    process.wait()
    return lived


@pytest.mark.parametrize(("form", "seed", "jobs"), [("jsonl", 1, ["--jobs", "2"]), ("csv", 2, []), ("parquet", 3, ["--jobs", "1"])])
def test_a_command_killed_at_random_and_gone_on_with_writes_the_same_file(
    tmp_path: Path, folder: Path, command: list[str], whole: dict[str, bytes], form: str, seed: int, jobs: list[str]
) -> None:
    out = tmp_path / f"out.{form}"
    growing = Path(f"{out}{PART}") if form == "parquet" else out
    full = len(whole["jsonl" if form == "parquet" else form])
    sizes = sorted(random.Random(seed).sample(range(1, full * 9 // 10), 2))
    killed = [kill_at([*command, "--to", form, "--out", str(out), "--resume", *jobs], growing, size) for size in sizes]
    assert all(killed)
    assert growing.stat().st_size < full
    last = run_cli(*command[3:], "--to", form, "--out", out, "--resume")
    assert out.read_bytes() == whole[form]
    assert last.code == 1
    assert "3 of 60 photos could not be judged" in last.err


def test_the_fields_of_a_run_are_those_of_the_bundle(bundle: camtrace.Bundle) -> None:
    said = {"version": "1.2", "patches": None, "vote": "summed", "mode": "guess"}
    facts = Facts.of(bundle, "csv", **said)  # type: ignore[arg-type]
    assert (facts.camtrace, facts.bundle, facts.form, facts.vote, facts.mode) == ("1.2", "made 1", "csv", "summed", "guess")
    changed = replace(bundle, manifest=replace(bundle.manifest, thresholds={"majority": 0.9, "summed": 0.9}))
    assert Facts.of(changed, "csv", **said).bundle_sha256 != facts.bundle_sha256  # type: ignore[arg-type]
    assert Facts.of(replace(bundle), "csv", **said) == facts  # type: ignore[arg-type]
