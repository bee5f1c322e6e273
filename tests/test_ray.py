"""A cluster gives the verdicts of the local engine, also where workers hang, die or are lost; one local cluster for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import camtrace
import made_workers
from camtrace.batches import devices as device_batch
from camtrace.batches.batch import Task, judge_here
from camtrace.batches.devices import match_on_cluster
from camtrace.devices.device import match
from camtrace.devices.enrolment import enroll
from camtrace.devices.store import open_database
from camtrace.simulator import MadeCamera
from camtrace.types import CamtraceError, Verdict
from made import made_photo, run_cli
from made_devices import encoded, scene_pixels, write_flats

ray = pytest.importorskip("ray", reason="the cluster engine is tested only where it is installed: pip install 'camtrace[ray]'")

import fsspec  # noqa: E402
import pyarrow.dataset  # noqa: E402

from camtrace.batches.cluster import Cluster, Reading, _connect, _count_actors, judge, locate  # noqa: E402
from camtrace.batches.pool import Limits  # noqa: E402
from camtrace.outputs import read_verdict  # noqa: E402
from camtrace.runtime import cores  # noqa: E402

pytestmark = pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\.")  # Ray Data warns of its own settings

STORE = 200 * 2**20  # bytes of shared memory
TRIES = 2


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """Two cores, a small object store, no dashboard; a second try where the machine is too busy."""
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setenv("RAY_agent_register_timeout_ms", "100000")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)  # workers import made_workers
    for number in range(TRIES):
        try:
            ray.init(num_cpus=2, object_store_memory=STORE, include_dashboard=False, log_to_driver=False, logging_level="error")
            break
        except Exception:
            ray.shutdown()
            if number == TRIES - 1:
                raise
    yield
    ray.shutdown()
    monkeypatch.undo()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, cameras: tuple[MadeCamera, ...]) -> Path:
    """Photos in two folders, a bad one, and names that need care."""
    folder = tmp_path_factory.mktemp("ray") / "photos"
    (folder / "sub ä%20?").mkdir(parents=True)
    for number in range(40):
        (folder / f"{number:03}.jpg").write_bytes(made_photo(cameras[number % 2], 900, size=256) + bytes([number]))
    (folder / "bad.jpg").write_bytes(b"no photo")
    (folder / "sub ä%20?" / "a b#.jpg").write_bytes(made_photo(cameras[2], 901, size=256))
    (folder / "notes.txt").touch()
    return folder


@pytest.fixture(scope="module")
def task(bundle_folder: Path) -> Task:
    return Task(str(bundle_folder))


def read(out: Path) -> list[Verdict]:
    """All verdicts in a folder, by source."""
    rows = pyarrow.dataset.dataset(out, format="parquet").to_table().to_pylist()
    return sorted((read_verdict(row) for row in rows), key=lambda verdict: verdict.source)


def test_the_cluster_gives_the_verdicts_of_one_process(folder: Path, task: Task, bundle: camtrace.Bundle, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    gone = str(tmp_path / "gone.jpg")
    out = tmp_path / "out"
    words = ("--bundle", task.bundle, "--engine", "ray", "--to", "parquet", "--out", out)
    run = run_cli("identify", folder, gone, tmp_path / "empty", *words)
    assert run.code == 1
    assert "verdicts on 43 photos" in run.err
    assert "2 of 43 photos could not be judged" in run.err
    assert f"camtrace: {tmp_path / 'empty'}: no photos in this folder" in run.err
    photos = [str(path) for path in folder.rglob("*.jpg")]
    assert read(out) == sorted(judge_here([*photos, gone], bundle, task=task), key=lambda verdict: verdict.source)
    again = run_cli("identify", folder, *words)
    message = f"camtrace: {out}: is there already and not empty; --force replaces the verdicts in it\n"
    assert (again.code, again.err) == (1, message)
    (out / "holiday.jpg").touch()
    assert "holds 'holiday.jpg' and so more than verdicts" in run_cli("identify", folder, *words, "--force").err
    (out / "holiday.jpg").unlink()
    assert len(read(out)) == 43


def test_lost_workers_and_hostile_photos_cost_no_other_photo(folder: Path, task: Task, bundle: camtrace.Bundle, tmp_path: Path) -> None:
    """Also by URI, in and out: a cluster takes seconds to start for each run."""
    root = tmp_path / "hostile"
    root.mkdir()
    for name in ("once.jpg", "dies.jpg", "hangs.jpg"):
        (root / name).write_bytes((folder / "000.jpg").read_bytes())
    cluster = Cluster(actors=1, limits=Limits(3), setup=made_workers.moody_ray, remember=False)
    asked = [f"file://{folder.parent}/photos", str(root)]
    tally, missing = judge(asked, f"file://{tmp_path}/out", task=task, cluster=cluster)
    assert (tally.photos, tally.failed, missing) == (45, 3, [])
    assert (root / "once.killed").exists(), "the actor was killed"
    found = {verdict.source: verdict for verdict in read(tmp_path / "out")}
    for verdict in judge_here([*map(str, folder.rglob("*.jpg")), str(root / "once.jpg")], bundle, task=task):
        own = verdict.source if verdict.source in found else f"file://{verdict.source}"
        assert found[own].to_dict() == verdict.to_dict() | {"source": own, "reason": found[own].reason}
        assert found[own].reason.endswith(verdict.reason.removeprefix(verdict.source))
    assert "the process that judged it died" in found[str(root / "dies.jpg")].reason
    assert "took longer than the time limit of 3 s" in found[str(root / "hangs.jpg")].reason


def test_devices_are_searched_on_the_cluster_too(tmp_path: Path) -> None:
    enroll(tmp_path / "db", "first", write_flats(tmp_path / "flats", 1, range(6)))
    for device in (1, 2):
        (tmp_path / f"{device}.jpg").write_bytes(encoded(scene_pixels(device, 7)))
    photos = [str(tmp_path / name) for name in ("1.jpg", "2.jpg", "gone.jpg")]
    found = match_on_cluster(photos, device_batch.Task(str(tmp_path / "db")), Cluster(actors=1))
    database = open_database(tmp_path / "db")
    alone = [device_batch.read_match(match(photo, database).to_dict()) for photo in photos]
    assert sorted(found, key=lambda one: one.source) == alone
    assert [one.answer for one in alone] == ["first", "unknown", "unknown"]


def test_file_systems_by_pyarrow_or_fsspec(folder: Path) -> None:
    assert locate(f"file://{folder}/")[1] == str(folder)
    fsspec.filesystem("memory").pipe("/some/deep er/a.jpg", b"no photo")  # a file system that pyarrow does not know
    reading = Reading(["memory://some", "memory://some/deep er", "plain/folder", f"file://{folder}?use_mmap=false"])
    assert reading("memory://some/deep er/a.jpg", "x") == b"no photo"
    assert reading(str(folder / "bad.jpg"), "x") == reading(f"file://{folder}/bad.jpg", "x") == b"no photo"
    with pytest.raises(CamtraceError, match=r"x: cannot be read: "):
        reading("memory://some/gone.jpg", "x")
    with pytest.raises(CamtraceError, match=r"^nothing://x: no such file system"):
        locate("nothing://x")


def test_nothing_phones_home(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray._common.usage.usage_lib import usage_stats_enabled

    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED")
    assert usage_stats_enabled(), "else this test shows nothing"
    assert not _connect(Cluster())
    assert not usage_stats_enabled()


def test_a_cluster_of_its_own_has_room_beside_its_actors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it nothing was listed: `--engine ray --jobs 1` never ended."""
    asked: dict[str, object] = {}
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **options: asked.update(options))
    for actors, wanted in ((1, 2), (5, 6), (None, cores() + 1)):
        assert _connect(Cluster(actors=actors))
        assert asked["num_cpus"] == wanted


@pytest.mark.parametrize(
    ("cpus", "asked", "actors"), [(3, None, 2), (3, 1, 1), (3, 2, 2), (3, 9, 2), (16, None, 15), (1, None, 1), (1, 4, 1)]
)
def test_actors_leave_one_core_for_listing_and_writing(
    monkeypatch: pytest.MonkeyPatch, cpus: int, asked: int | None, actors: int
) -> None:
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": float(cpus)})
    assert _count_actors(Cluster(actors=asked)) == actors
