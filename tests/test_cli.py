"""The command line: what it prints where, in which form, and with which exit status."""

from __future__ import annotations

import csv
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import camtrace
from camtrace.bundle import FEATURES, HEAD, write_bundle
from camtrace.calibration import MODES, NAMING, Calibration
from camtrace.outputs import WRITERS
from camtrace.simulator import MadeCamera
from camtrace.types import Level, Mode
from made import encode, noise, run_cli, write_album


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, cameras: tuple[MadeCamera, ...]) -> Path:
    """Two good photos with a bad one between."""
    root = write_album(tmp_path_factory.mktemp("cli") / "photos", cameras[0], range(900, 901), device=2, size=256)
    (root / "901.jpg").write_bytes(b"no photo")
    (root / "sub").mkdir()
    (root / "sub" / "noise.png").write_bytes(encode(noise(128, 128), "PNG"))
    return root


@pytest.fixture
def small_albums(tmp_path: Path, cameras: tuple[MadeCamera, ...]) -> Path:
    for camera in cameras[:2]:
        write_album(tmp_path / "small" / camera.name.replace(" ", "_"), camera, range(100, 105), size=256)
    return tmp_path / "small"


def test_one_photo_in_words(photo: Path, bundle_folder: Path, bundle: camtrace.Bundle) -> None:
    run = run_cli("identify", photo, "--bundle", bundle_folder)
    verdict = camtrace.identify(photo, bundle=bundle)
    assert (run.code, run.err) == (0, "")
    lines = run.out.splitlines()
    assert lines[0] == str(photo)
    assert verdict.best is not None
    assert verdict.best in lines[1] + lines[2]
    assert f"  Why:         {verdict.reason}" in lines
    assert "  Bundle:      made 1" in lines
    assert any(line.startswith("  EXIF claims: Aurora A100 - ") for line in lines)


def test_one_photo_is_one_json_object_as_python_gives_it(photo: Path, bundle_folder: Path, bundle: camtrace.Bundle) -> None:
    run = run_cli("identify", photo, "--bundle", bundle_folder, "--to", "json")
    assert (run.code, run.err) == (0, "")
    assert json.loads(run.out) == camtrace.identify(str(photo), bundle=bundle).to_dict()


def test_several_photos_are_a_json_list(photo: Path, bundle_folder: Path, bundle: camtrace.Bundle) -> None:
    run = run_cli("identify", photo, photo, "--bundle", bundle_folder, "--to", "json")
    assert json.loads(run.out) == [camtrace.identify(photo, bundle=bundle).to_dict()] * 2


def test_a_folder_is_a_json_list_even_of_one(photo: Path, bundle_folder: Path) -> None:
    run = run_cli("identify", photo.parent, "--bundle", bundle_folder, "--to", "json")
    assert run.code == 0
    assert [verdict["source"] for verdict in json.loads(run.out)] == [str(photo)]


def test_a_bad_file_in_the_middle_does_not_stop_the_others(folder: Path, bundle_folder: Path, bundle: camtrace.Bundle) -> None:
    run = run_cli("identify", folder, "gone.jpg", "--bundle", bundle_folder, "--to", "jsonl")
    assert run.code == 1
    verdicts = [json.loads(line) for line in run.out.splitlines()]
    sources = [folder / "900.jpg", folder / "901.jpg", folder / "sub" / "noise.png", Path("gone.jpg")]
    assert verdicts == [verdict.to_dict() for verdict in camtrace.identify_many(map(str, sources), bundle=bundle)]
    assert [verdict["status"] for verdict in verdicts] == ["ok", "unreadable", "ok", "unreadable"]


def test_csv_has_one_row_a_photo(folder: Path, bundle_folder: Path, bundle: camtrace.Bundle) -> None:
    run = run_cli("identify", folder, "--bundle", bundle_folder, "--to", "csv")
    rows = list(csv.DictReader(io.StringIO(run.out)))
    verdicts = list(camtrace.identify_many(sorted(path for path in folder.rglob("*") if path.is_file()), bundle=bundle))
    assert run.code == 1
    assert [row["source"] for row in rows] == [verdict.source for verdict in verdicts]
    for row, verdict in zip(rows, verdicts, strict=True):
        assert row["status"] == verdict.status
        assert row["answer"] == verdict.answer
        assert row["best"] == (verdict.best or "")
        assert row["best_votes"] == (str(verdict.ranking[0].votes) if verdict.ranking else "")
        assert row["claim_model"] == (verdict.claim.model or "")
        assert row["reason"] == verdict.reason
        assert (row["bundle_name"], row["bundle_version"]) == ("made", "1")


def test_unjudged_photos_in_words(folder: Path, bundle_folder: Path) -> None:
    run = run_cli("identify", folder, "--bundle", bundle_folder)
    assert run.code == 1
    assert f"{folder / '901.jpg'}\n  not judged (unreadable): {folder / '901.jpg'}: not a photo" in run.out
    assert run.out.count("Bundle:") == 2


def test_names_too_long_for_the_disk_are_reported(bundle_folder: Path, photo: Path) -> None:
    run = run_cli("identify", "a" * 5000, photo, "--bundle", bundle_folder, "--to", "json")
    assert run.code == 1
    assert [verdict["status"] for verdict in json.loads(run.out)] == ["unreadable", "ok"]


def test_standard_input(photo: Path, bundle_folder: Path, bundle: camtrace.Bundle) -> None:
    run = run_cli("identify", "-", "--bundle", bundle_folder, "--to", "json", stdin=photo.read_bytes())
    expected = camtrace.identify(photo.read_bytes(), bundle=bundle, name="<stream>")
    assert (run.code, json.loads(run.out)) == (0, expected.to_dict())
    empty = run_cli("identify", "-", "--bundle", bundle_folder, "--to", "json")
    assert (empty.code, json.loads(empty.out)["status"]) == (1, "unreadable")


def test_installed_command_reads_a_pipe(photo: Path, bundle_folder: Path) -> None:
    command = [str(Path(sys.executable).with_name("camtrace")), "identify", "-", "--bundle", str(bundle_folder), "--to", "jsonl"]
    run = subprocess.run(command, input=photo.read_bytes(), capture_output=True, check=False)
    assert (run.returncode, run.stderr) == (0, b"")
    assert json.loads(run.stdout)["source"] == "<stdin>"


def test_file_names_that_are_no_text_do_not_crash(photo: Path, bundle_folder: Path) -> None:
    odd = photo.parent / os.fsdecode(b"caf\xe9.jpg")
    try:
        odd.write_bytes(photo.read_bytes())
    except OSError:
        pytest.skip("this file system takes only names that are text")
    for form in WRITERS:
        run = run_cli("identify", odd, "--bundle", bundle_folder, "--to", form)
        assert (run.code, run.err) == (0, "")
        assert "caf" in run.out


def test_options_reach_the_core(photo: Path, bundle_folder: Path, bundle: camtrace.Bundle) -> None:
    run = run_cli("identify", photo, "--bundle", bundle_folder, "--to", "json", "--patches", 5, "--vote", "majority")
    assert json.loads(run.out) == camtrace.identify(photo, bundle=bundle, patches=5, vote="majority").to_dict()


@pytest.fixture
def calibrated(bundle: camtrace.Bundle, tmp_path: Path) -> Path:
    """The made bundle with probabilities: careful asks for more than any reaches, balanced for a little."""
    modes: dict[Mode, dict[Level, float]] = {
        mode: dict.fromkeys(NAMING, needed) for mode, needed in zip(MODES, (1.0, 0.1, 0.0), strict=True)
    }
    calibration = Calibration(0, 10.0, 2.0, (0.0, 0.0), 100, 100, modes)
    write_bundle(
        tmp_path / "calibrated",
        replace(bundle.manifest, calibration=calibration),
        features=bundle.files[FEATURES],
        head=bundle.files[HEAD],
        references=bundle.references(),
        card="",
    )
    return tmp_path / "calibrated"


def test_modes_reach_the_core(photo: Path, calibrated: Path) -> None:
    found = {}
    for mode in MODES:
        run = run_cli("identify", photo, "--bundle", calibrated, "--to", "json", "--mode", mode)
        assert (run.code, run.err) == (0, "")
        found[mode] = json.loads(run.out)
        assert found[mode] == camtrace.identify(photo, bundle=calibrated, mode=mode).to_dict()
    assert found["careful"]["answer_level"] == "unknown"
    assert found["balanced"]["answer_level"] == found["guess"]["answer_level"] == "model"
    assert "needed in careful mode" in found["careful"]["reason"]
    plain = json.loads(run_cli("identify", photo, "--bundle", calibrated, "--to", "json").out)
    assert plain == found["balanced"], "balanced is the mode if none is given"


def test_an_empty_folder_is_a_failure_with_valid_output(tmp_path: Path, bundle_folder: Path) -> None:
    run = run_cli("identify", tmp_path, "--bundle", bundle_folder, "--to", "json")
    assert (run.code, json.loads(run.out)) == (1, [])
    assert run.err == f"camtrace: {tmp_path}: no photos in this folder\n"


@pytest.mark.parametrize("form", ["text", "json", "jsonl", "csv"])
def test_workers_print_what_one_process_prints(folder: Path, bundle_folder: Path, form: str) -> None:
    words = ("identify", folder, "--bundle", bundle_folder, "--to", form)
    plain, many = run_cli(*words), run_cli(*words, "--time-limit", 60)
    assert (many.code, many.out) == (plain.code, plain.out)
    bad = folder / "901.jpg"
    assert many.err.startswith(f"camtrace: 1 of 3 photos could not be judged:\n  {bad}: not a photo")
    assert plain.err == ""


def test_a_file_holds_what_is_printed_and_the_rest_is_said(folder: Path, tmp_path: Path, bundle_folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    words = ("identify", folder, tmp_path / "empty", folder / "900.jpg", "--bundle", bundle_folder)
    for form in ("jsonl", "csv"):
        run = run_cli(*words, "--to", form, "--out", tmp_path / form)
        assert (run.code, run.out) == (1, "")
        assert (tmp_path / form).read_bytes().decode() == run_cli(*words, "--to", form).out
        first, second, third, last = run.err.splitlines()
        assert first == f"camtrace: {tmp_path / 'empty'}: no photos in this folder"
        assert second == f"camtrace: {tmp_path / form}: verdicts on 4 photos, 1 of them copies of others"
        assert third == "camtrace: 1 of 4 photos could not be judged:"
        assert last.startswith(f"  {folder / '901.jpg'}: not a photo")
    again = run_cli(*words, "--to", "jsonl", "--out", tmp_path / "jsonl")
    assert (again.code, again.out) == (1, "")
    assert "is there already; --resume goes on with it, --force replaces it" in again.err
    each = run_cli(*words, "--to", "jsonl", "--out", tmp_path / "jsonl", "--force", "--duplicates", "judge")
    assert "verdicts on 4 photos\n" in each.err


def test_many_failures_are_listed_in_part(tmp_path: Path, bundle_folder: Path) -> None:
    for number in range(25):
        (tmp_path / f"{number:02}.jpg").write_bytes(b"no photo\x1b[31m")
    (tmp_path / "00\x1b[31m.jpg").write_bytes(b"no photo") if os.name != "nt" else None
    run = run_cli("identify", tmp_path, "--bundle", bundle_folder, "--to", "csv", "--out", tmp_path / "out.csv")
    lines = run.err.splitlines()
    assert len(lines) == 2 + 20 + 1
    assert lines[-1] == f"  and {6 if os.name != 'nt' else 5} more"
    assert "\x1b" not in run.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--out", "f"), "--out takes jsonl, csv or parquet, not text"),
        (("--to", "json", "--out", "f"), "--out takes jsonl, csv or parquet, not json"),
        (("--to", "parquet"), "parquet is written to a file"),
        (("--to", "parquet", "--out", "-"), "parquet is written to a file"),
        (("--to", "csv", "--resume"), "are about a file"),
        (("--to", "csv", "--out", "f", "--resume", "--force"), "only one of them"),
        (("-", "--to", "csv", "--out", "f", "--resume"), "standard input cannot be read again"),
        (("-", "-"), "which can be read only once"),
        (("--jobs", "-1"), "--jobs"),
        (("--time-limit", "0"), "--time-limit"),
        (("--memory-limit", "1"), "--memory-limit"),
        (("--duplicates", "drop"), "'drop' is not one of reuse, judge"),
        (("--engine", "spark"), "'spark' is not one of local, ray"),
        (("--engine", "ray"), "--to parquet --out FOLDER"),
        (("--engine", "ray", "--to", "parquet", "--out", "f", "--resume"), "--resume goes on with a file of the local engine"),
        (("-", "--engine", "ray", "--to", "parquet", "--out", "f"), "reads files, not standard input"),
        (("--address", "auto"), "--address is that of a Ray cluster"),
        (("--device-db", "d", "--jobs", "2"), "--device-db does not go with the options for many photos"),
        (("--device-db", "d", "--to", "csv"), "--device-db adds to the text only"),
    ],
)
def test_options_that_do_not_go_together(words: tuple[str, ...], message: str) -> None:
    run = run_cli("identify", "x.jpg", *words)
    assert (run.code, run.out) == (2, "")
    assert message in " ".join(run.err.split())
    assert not Path("f").exists()


@pytest.mark.parametrize(("module", "words", "extra"), [("pyarrow", (), "parquet"), ("ray", ("--engine", "ray"), "ray")])
def test_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: str, words: tuple[str, ...], extra: str
) -> None:
    found = importlib.util.find_spec
    there = {"pyarrow": True, "ray": True} | {module: False}  # whichever of them this machine has
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: there[name] or None if name in there else found(name, *rest))
    run = run_cli("identify", "x.jpg", "--to", "parquet", "--out", tmp_path / "out", *words)
    assert (run.code, run.out) == (2, "")
    assert run.err == f"camtrace: this needs {module}; install it with: pip install 'camtrace[{extra}]'\n"


@pytest.mark.parametrize(
    "words",
    [
        ("identify",),
        ("identify", "x.jpg", "--to", "xml"),
        ("identify", "x.jpg", "--vote", "loudest"),
        ("identify", "x.jpg", "--patches", "0"),
        ("identify", "x.jpg", "--mode", "bold"),
        ("identify", "x.jpg", "--mode"),
        ("identify", "x.jpg", "--colour"),
        ("cameras", "--to", "csv"),
        ("enroll", "somewhere"),
        ("develop",),
    ],
)
def test_wrong_usage(words: tuple[str, ...]) -> None:
    run = run_cli(*words)
    assert (run.code, run.out) == (2, "")
    assert run.err


def test_wrong_choice_names_the_right_ones() -> None:
    wrong_form = " ".join(run_cli("identify", "x.jpg", "--to", "xml").err.split())
    assert "'xml' is not one of text, json, jsonl, csv, parquet" in wrong_form
    assert "'bold' is not one of careful, balanced, guess" in " ".join(run_cli("identify", "x.jpg", "--mode", "bold").err.split())
    assert "'loudest' is not one of majority, summed" in " ".join(run_cli("identify", "x.jpg", "--vote", "loudest").err.split())


@pytest.mark.parametrize("words", [("identify", "x.jpg"), ("cameras",)])
def test_missing_bundle(tmp_path: Path, words: tuple[str, ...]) -> None:
    run = run_cli(*words, "--bundle", tmp_path / "none")
    assert (run.code, run.out) == (1, "")
    assert run.err.startswith(f"camtrace: {tmp_path / 'none'}: no bundle here")
    assert "Traceback" not in run.err


def test_version() -> None:
    assert run_cli("--version").out == f"camtrace {camtrace.__version__}\n"


def test_the_version_is_said_before_anything_heavy_is_loaded() -> None:
    script = (
        "import sys; from camtrace.cli import main; sys.argv = ['camtrace', '--version']\ntry: main()\nfinally: print(*sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    version, modules = shown.stdout.splitlines()
    assert version == f"camtrace {camtrace.__version__}"
    assert not set(modules.split()) & {"numpy", "rich", "PIL", "onnxruntime", "multiprocessing", "pyarrow", "ray"}


def test_help_lists_the_commands() -> None:
    run = run_cli("--help")
    assert run.code == 0
    commands = ("identify", "compare", "enroll", "cameras", "demo", "lab", "localize", "device")
    assert all(f" {command} " in run.out for command in commands)
    assert "completion" not in run_cli("device", "--help").out
    assert run_cli("device", "list", "--help").code == run_cli("localize", "--help").code == 0


def test_unexpected_errors_are_not_swallowed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("camtrace.identification.ready", broken)
    with pytest.raises(ZeroDivisionError):
        run_cli("identify", "x.jpg")


def test_enroll_only_then_join(small_albums: Path, tmp_path: Path, bundle_folder: Path, cameras: tuple[MadeCamera, ...]) -> None:
    only = run_cli("enroll", small_albums, "--out", tmp_path / "only", "--bundle", bundle_folder, "--only")
    assert only.code == 0
    assert only.err.count("\n") == only.err.count("with two cameras") == 1
    assert f"{tmp_path / 'only'} now knows 2 cameras; taught now: Aurora A100 (5 photos), Borealis B101 (5 photos)" in only.out
    assert "of 10 photos named rightly" in only.out
    shutil.rmtree(small_albums)
    write_album(small_albums / "Dorado_D103", cameras[3], range(100, 102), size=256)
    join = run_cli("enroll", small_albums, "--out", tmp_path / "join", "--bundle", tmp_path / "only")
    assert join.code == 0
    assert "now knows 3 cameras; taught now: Dorado D103 (2 photos)" in join.out
    few, uncalibrated = join.err.splitlines()
    assert few == "camtrace: warning: Dorado D103: 2 photos, at least 5 are better"
    assert uncalibrated.startswith("camtrace: warning: too few photos for probabilities and likelihood ratios: at least 30")
    assert camtrace.load_bundle(tmp_path / "join").manifest.labels == ("Aurora A100", "Borealis B101", "Dorado D103")


def test_enroll_leaves_bad_photos_out_and_needs_force(small_albums: Path, tmp_path: Path, bundle_folder: Path) -> None:
    bad = small_albums / "Aurora_A100" / "bad.jpg"
    bad.write_bytes(b"")
    words = ("enroll", small_albums, "--out", tmp_path / "out", "--bundle", bundle_folder, "--only")
    first = run_cli(*words)
    assert first.code == 1
    assert f"\ncamtrace: left out: {bad}: the file is empty" in first.err
    assert "now knows 2 cameras" in first.out
    bad.unlink()
    again = run_cli(*words)
    assert (again.code, again.out) == (1, "")
    assert again.err == f"camtrace: {tmp_path / 'out'}: a bundle is already there; --force replaces it\n"
    assert run_cli(*words, "--force").code == 0


def test_enroll_refuses_with_a_message(tmp_path: Path, bundle_folder: Path) -> None:
    run = run_cli("enroll", tmp_path, "--out", tmp_path / "out", "--bundle", bundle_folder)
    assert (run.code, run.out) == (1, "")
    assert run.err.startswith(f"camtrace: {tmp_path}: no sub-folder with photos in it")


def test_cameras_in_words_and_json(bundle_folder: Path, bundle: camtrace.Bundle) -> None:
    words = run_cli("cameras", "--bundle", bundle_folder)
    assert words.code == 0
    assert words.out.startswith("made 1 knows 4 cameras.")
    for camera in bundle.manifest.cameras:
        assert f"{camera.name:<13}  taught by   6 photos  {camera.accuracy:.0%} of 6" in words.out
    document = json.loads(run_cli("cameras", "--bundle", bundle_folder, "--to", "json").out)
    assert document["bundle"] == {"name": "made", "version": "1"}
    assert [camera["name"] for camera in document["cameras"]] == list(bundle.manifest.labels)
    assert document["cameras"][0]["accuracy"] == bundle.manifest.cameras[0].accuracy


def test_lab_without_pytorch_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    if "camtrace.lab" in sys.modules:  # the room comes back with its modules, for the tests after this one
        monkeypatch.setattr(camtrace, "lab", sys.modules["camtrace.lab"], raising=False)
    for module in [name for name in sys.modules if name.startswith("camtrace.lab")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "torch", None)
    files = ("--weights", "a", "--mean", "b", "--labels", "c", "--out", "d")
    for words in (("train", "photos"), ("import-caffe", *files)):
        run = run_cli("lab", *words)
        assert (run.code, run.out) == (2, "")
        # torch, or what else of the extra this machine lacks and is asked for before
        assert re.fullmatch(r"camtrace: the lab needs \w+; install it with: pip install 'camtrace\[lab\]'\n", run.err)


def test_runs_as_a_module() -> None:
    shown = subprocess.run([sys.executable, "-m", "camtrace", "--version"], capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["camtrace", camtrace.__version__]
