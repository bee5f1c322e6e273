"""Many photos: the engines agree, hostile photos cost only themselves, and neither order nor memory depends on the number."""

from __future__ import annotations

import io
import multiprocessing
import os
import sys
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import camtrace
import made_workers
from camtrace.batches.batch import Earlier, Task, judge, judge_here, judge_in_pool
from camtrace.batches.pool import AHEAD, Limits, Lost, Pool
from camtrace.photo import find_photos, walk
from camtrace.runtime import ONE_THREAD
from camtrace.simulator import MadeCamera
from camtrace.types import CamtraceError, PhotoError, Verdict
from made import encode, made_photo, noise


@pytest.fixture(scope="module")
def task(bundle_folder: Path) -> Task:
    return Task(str(bundle_folder))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, cameras: tuple[MadeCamera, ...]) -> list[str]:
    """A good photo, a bad one, one gone, one too small, two good ones."""
    folder = tmp_path_factory.mktemp("photos")
    data = {
        "a.jpg": made_photo(cameras[0], 900, size=256),
        "bad.jpg": b"no photo",
        "small.png": encode(noise(32, 32), "PNG"),
        "y.jpg": made_photo(cameras[1], 901, size=256),
        "z.jpg": made_photo(cameras[2], 902, size=256),
    }
    for name, content in data.items():
        (folder / name).write_bytes(content)
    return [str(folder / name) for name in ("a.jpg", "bad.jpg", "gone.jpg", "small.png", "y.jpg", "z.jpg")]


@pytest.fixture(scope="module")
def expected(photos: list[str], bundle: camtrace.Bundle) -> list[Verdict]:
    return list(camtrace.identify_many(photos, bundle=bundle))


def children() -> set[int | None]:
    return {child.pid for child in multiprocessing.active_children()}


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    """One worker that obeys, replaced as often as it is killed."""
    with Pool(made_workers.obey, workers=1, limits=Limits(20)) as pool:
        yield pool


def test_the_engines_give_the_same_verdicts_in_the_same_order(
    photos: list[str], task: Task, bundle: camtrace.Bundle, expected: list[Verdict]
) -> None:
    assert [verdict.status for verdict in expected] == ["ok", "unreadable", "unreadable", "too_small", "ok", "ok"]
    assert list(judge_here(photos, bundle, task=task)) == expected
    assert list(judge_here(photos, bundle, task=task, earlier=Earlier())) == expected
    assert list(judge_in_pool(photos, bundle.id, task=task, jobs=2)) == expected


def test_hostile_photos_cost_only_themselves(
    photos: list[str], task: Task, bundle: camtrace.Bundle, expected: list[Verdict], tmp_path: Path
) -> None:
    data = Path(photos[-1]).read_bytes()
    for name in ("dies.jpg", "hangs.jpg"):
        (tmp_path / name).write_bytes(data)
    dies, hangs = str(tmp_path / "dies.jpg"), str(tmp_path / "hangs.jpg")
    limits = Limits(1.5)
    found = list(
        judge_in_pool([dies, photos[0], hangs, *photos[4:]], bundle.id, task=task, jobs=1, limits=limits, setup=made_workers.moody)
    )
    assert [found[1], *found[3:]] == [expected[0], *expected[4:]]
    assert {verdict.status for verdict in (found[0], found[2])} == {"unreadable"}
    assert found[0].reason.startswith(f"{dies}: the process that judged it died (SIG")
    assert found[2].reason == f"{hangs}: took longer than the time limit of 1.5 s and was stopped"
    assert found[0].sha256 == found[2].sha256 == expected[5].sha256  # known, since the worker asked whether it was


def test_a_stream_is_read_by_the_parent(photos: list[str], task: Task, bundle: camtrace.Bundle) -> None:
    closed = io.BytesIO()
    closed.close()
    found = list(judge_in_pool([io.BytesIO(Path(photos[0]).read_bytes()), closed], bundle.id, task=task, jobs=1))
    assert found[0] == camtrace.identify(io.BytesIO(Path(photos[0]).read_bytes()), bundle=bundle)
    assert (found[1].source, found[1].status) == ("<stream>", "unreadable")
    assert "closed" in found[1].reason


def test_copies_get_the_verdict_of_the_first_under_their_own_names(
    photos: list[str], task: Task, bundle: camtrace.Bundle, expected: list[Verdict], tmp_path: Path
) -> None:
    copies = []
    for number, photo in enumerate((photos[0], photos[1], photos[3])):
        copies.append(str(tmp_path / f"copy{number}.jpg"))
        Path(copies[-1]).write_bytes(Path(photo).read_bytes())
    both = [*photos, *copies]
    each = list(judge_here(both, bundle, task=task))
    here, there = Earlier(), Earlier()
    assert list(judge_here(both, bundle, task=task, earlier=here)) == each
    assert list(judge_in_pool(both, bundle.id, task=task, jobs=1, earlier=there)) == each
    assert here.hits == there.hits == 3
    assert each[-3] == replace(expected[0], source=copies[0])
    assert each[-2].reason.startswith(f"{copies[1]}: not a photo")


def test_what_is_remembered_is_bounded(expected: list[Verdict]) -> None:
    first, second, third = expected[0], expected[4], expected[5]
    earlier = Earlier(2)
    for verdict in (first, second):
        earlier.keep(verdict)
    assert earlier.find(first.sha256 or "")  # asked for: the other one is now the oldest
    earlier.keep(third)
    assert [bool(earlier.find(one.sha256 or "")) for one in (first, second, third)] == [True, False, True]
    nothing = Earlier(0)
    nothing.keep(first)
    assert (nothing.find(first.sha256 or ""), nothing.hits) == (b"", 0)


@pytest.mark.parametrize(
    ("error", "words"), [(MemoryError(), "not enough memory"), (KeyError("x"), "camtrace failed on it: KeyError: 'x'")]
)
def test_whatever_a_photo_provokes_is_a_verdict(bundle: camtrace.Bundle, task: Task, error: Exception, words: str) -> None:
    def read(_source: object, _name: str) -> bytes:
        raise error

    verdict = judge("odd\n.jpg", bundle, task=task, read=read)
    assert (verdict.status, verdict.source, verdict.reason) == ("unreadable", "odd\n.jpg", f"odd\\n.jpg: {words}")


def test_a_broken_bundle_stops_all(bundle: camtrace.Bundle, tmp_path: Path) -> None:
    with pytest.raises(CamtraceError, match="no bundle here"):
        list(judge_in_pool(["a.jpg"], bundle.id, task=Task(str(tmp_path)), jobs=1))


def test_folders_are_walked_lazily_in_the_order_of_find_photos(tmp_path: Path) -> None:
    for name in (
        "b/a.jpg",
        "b.jpg",
        "b-c/x.JPG",
        "B/q.png",
        "b/.hidden/h.jpg",
        "b/.h.jpg",
        "b/deep/er/t.tif",
        "b/notes.txt",
        "é/ß.jpeg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder.jpg").mkdir()
    try:
        (tmp_path / "b" / "loop").symlink_to(tmp_path)
        (tmp_path / "linked.jpg").symlink_to(tmp_path / "b.jpg")
        (tmp_path / "dangling.jpg").symlink_to(tmp_path / "nothing")
    except OSError:
        pass  # Windows without the right to make links
    found = [str(path) for path in find_photos(tmp_path)]
    assert len(found) >= 6
    assert list(walk(tmp_path)) == found
    errors: list[OSError] = []
    assert list(walk(tmp_path / "none", on_error=errors.append)) == []
    assert Path(errors[0].filename) == tmp_path / "none"


def test_a_worker_that_dies_is_replaced_and_its_job_reported(pool: Pool) -> None:
    jobs = [b"x", b"exit 7", b"raise it", b"signal 15", b"y"]
    first, exited, raised, killed, last = pool.run(jobs)
    assert (first, last) == (b"x", b"y")
    assert exited == Lost("the process that judged it died (exit status 7)")
    assert raised == Lost("the process that judged it died (exit status 1)")
    assert killed == Lost(f"the process that judged it died ({'exit status 15' if sys.platform == 'win32' else 'SIGTERM'})")


def test_workers_do_their_algebra_in_one_thread_unless_the_user_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ONE_THREAD:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    with Pool(made_workers.obey, workers=1, limits=Limits(20)) as pool:
        told = list(pool.run([f"environment {name}".encode() for name in ONE_THREAD]))
    assert dict(zip(ONE_THREAD, told, strict=True)) == {**dict.fromkeys(ONE_THREAD, b"1"), "MKL_NUM_THREADS": b"3"}
    assert [name for name in ONE_THREAD if name in os.environ] == ["MKL_NUM_THREADS"], "the parent's own is as it was"


def test_a_worker_that_died_between_jobs_costs_no_job(pool: Pool) -> None:
    assert list(pool.run([b"x"])) == [b"x"]
    worker = pool._crew[0]
    worker.process.kill()
    worker.process.join()
    assert list(pool.run([b"y", b"z"])) == [b"y", b"z"]


def test_what_a_worker_asked_is_known_when_it_is_lost() -> None:
    with Pool(made_workers.obey, workers=1, limits=Limits(0.4)) as pool:
        assert list(pool.run([b"ask who", b"x"], reply=lambda question: question + b"?")) == [b"who?", b"x"]

        def slow(_question: bytes) -> bytes:
            time.sleep(0.5)  # longer than the limit, but the parent's fault
            return b"late"

        assert list(pool.run([b"ask who"], reply=slow)) == [b"late"]
        (lost,) = pool.run([b"sleep 60"])
        assert lost == Lost("took longer than the time limit of 0.4 s and was stopped")


def test_results_keep_the_order_of_the_jobs_and_few_are_in_flight() -> None:
    fetched, before = 0, children()

    def jobs() -> Iterator[bytes]:
        nonlocal fetched
        for number in range(100):
            fetched += 1
            yield b"sleep 0.3" if number == 0 else str(number).encode()

    with Pool(made_workers.obey, workers=2) as pool:
        results = pool.run(jobs())
        assert next(results) == b"sleep 0.3"
        assert fetched <= 2 * AHEAD
        assert list(results) == [str(number).encode() for number in range(1, 100)]
        half = pool.run([b"sleep 60", b"x"])
        half.close()
        assert list(pool.run([b"y"])) == [b"y"]
    assert children() == before


@pytest.mark.parametrize(("setup", "words"), [(made_workers.refuse, "this: no such bundle"), (made_workers.die, "exit status 5")])
def test_workers_that_cannot_be_set_up_stop_all(setup: object, words: str) -> None:
    before = children()
    with Pool(setup, "this", workers=1) as pool, pytest.raises(CamtraceError, match=words):  # type: ignore[arg-type]
        list(pool.run([b"x"]))
    assert children() == before


@pytest.mark.skipif(sys.platform != "linux", reason="memory limits need Linux's /proc")
def test_memory_beyond_the_limit_kills_only_the_worker() -> None:
    with Pool(made_workers.obey, workers=1, limits=Limits(memory=200 * 2**20)) as pool:
        assert list(pool.run([b"hold 50", b"hold 500", b"x"])) == [
            str(50 * 2**20).encode(),
            Lost("the process that judged it died (exit status 1)"),
            b"x",
        ]


def test_memory_does_not_grow_with_the_photos(photos: list[str], task: Task, bundle: camtrace.Bundle, tmp_path: Path) -> None:
    folders = {}
    for count in (200, 1000):
        folders[count] = tmp_path / str(count)
        folders[count].mkdir()
        for number in range(count):
            (folders[count] / f"{number:05}.jpg").hardlink_to(photos[number % 2])
    peaks = {}
    for count, folder in folders.items():
        tracemalloc.start()
        seen = sum(1 for _ in judge_in_pool(walk(folder), bundle.id, task=task, jobs=1, earlier=Earlier()))
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert seen == count
    assert peaks[1000] - peaks[200] < 800_000  # the list of a folder's names, some 500 bytes each, and nothing else


def test_a_photo_that_cannot_be_read_keeps_its_status(bundle: camtrace.Bundle, task: Task) -> None:
    def read(_source: object, name: str) -> bytes:
        raise PhotoError(f"{name}: cannot be read: gone")

    assert judge("x.jpg", bundle, task=task, read=read).reason == "x.jpg: cannot be read: gone"
