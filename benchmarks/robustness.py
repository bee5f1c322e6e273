"""What hostile files do to `identify`: every file of `tests/nasty.py`, and mutated JPEGs by the hundred thousand, in watched workers.

    python benchmarks/robustness.py --count 100000 --write     # makes docs/results/robustness.md

Each photo goes through the whole path in a process of its own with a limit on time and on memory (address space, Linux and macOS). A
worker that dies is a crash, one that answers too late a hang; both name the file's number, from which it can be made again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "results" / "robustness.md"
OUTCOMES = ("ok", "unreadable", "too_small", "no_usable_patches", "crash", "hang")
SECONDS, MEGABYTES, START = 20.0, 3000, 120.0
Job = tuple[str, int]
"""Which set, `nasty` or `mutated`, and the number in it."""


@dataclass
class Tally:
    """What came out so far."""

    outcomes: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # set, kind, outcome
    slowest: list[tuple[float, str]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    peak: float = 0  # megabytes of the largest worker
    done: int = 0
    seconds: float = 0

    def add(self, job: Job, answer: dict[str, Any]) -> None:
        """Count one answer."""
        name = f"{job[0]} {job[1]}: {answer['name']}"
        self.outcomes[job[0], answer["kind"], answer["outcome"]] += 1
        self.slowest = sorted([*self.slowest, (answer["seconds"], name)], reverse=True)[:5]
        self.peak, self.done = max(self.peak, answer["peak"]), self.done + 1
        if answer["outcome"] in ("crash", "hang"):
            self.failures.append(f"{name}: {answer['outcome']}: {answer['why']}")


def work(pipe: Connection, megabytes: int) -> None:
    """A worker: jobs in, answers out, until nothing more comes."""
    import resource

    sys.path.insert(0, str(ROOT / "tests"))
    from camtrace.bundle import load_bundle
    from nasty import corpus

    resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))
    bundle, nasty = load_bundle(threads=1), corpus()
    pipe.send({"files": len(nasty)})
    while jobs := pipe.recv():
        for job in jobs:
            pipe.send(_judge(job, bundle, nasty) | {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024})


def _judge(job: Job, bundle: Any, nasty: list[Any]) -> dict[str, Any]:
    from camtrace.identification import identify
    from nasty_mutations import mutated

    one = nasty[job[1]] if job[0] == "nasty" else None
    kind, data = (one.kind, one.data) if one else mutated(job[1])
    began, why = time.perf_counter(), ""
    try:
        verdict = identify(data, bundle=bundle)
        outcome: str = verdict.status
        json.loads(verdict.to_json(), parse_constant=_no_number)
    except Exception as error:
        outcome, why = "crash", repr(error)[:200]
    return {"kind": kind, "name": one.name if one else kind, "outcome": outcome, "why": why, "seconds": time.perf_counter() - began}


def _no_number(text: str) -> None:
    raise ValueError(f"{text} in a verdict")


class Worker:
    """A process that judges, and the pipe to it."""

    def __init__(self, megabytes: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=work, args=(theirs, megabytes), daemon=True)
        self.process.start()
        theirs.close()
        if not self.pipe.poll(START):
            raise SystemExit("the worker did not start")
        self.files: int = self.pipe.recv()["files"]

    def answers(self, jobs: list[Job], seconds: float) -> Iterator[tuple[Job, dict[str, Any]]]:
        """An answer for each job, up to the first that kills the worker or hangs it, whose own is made up."""
        self.pipe.send(jobs)
        for job in jobs:
            lost = {"kind": "?", "name": "?", "seconds": seconds, "peak": 0.0}
            try:
                if self.pipe.poll(seconds):
                    yield job, self.pipe.recv()
                    continue
                lost |= {"outcome": "hang", "why": f"no answer in {seconds:g} s"}
            except (EOFError, OSError):
                self.process.join(10)
                lost |= {"outcome": "crash", "why": f"the worker ended with {self.process.exitcode}"}
            self.stop()
            yield job, lost
            return

    def stop(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.process.join()


def run(count: int, *, minutes: float, megabytes: int, seconds: float, keep: Callable[[Tally], object]) -> Tally:
    """Judge every nasty file and `count` mutated ones, or as many as the minutes allow; `keep` is given the tally now and then."""
    tally, began = Tally(), time.monotonic()
    worker = Worker(megabytes)
    jobs = [("nasty", number) for number in range(worker.files)] + [("mutated", number) for number in range(count)]
    while tally.done < len(jobs) and time.monotonic() - began < 60 * minutes:
        for job, answer in worker.answers(jobs[tally.done : tally.done + 200], seconds):
            tally.add(job, answer)
            if answer["outcome"] in ("crash", "hang"):
                print(tally.failures[-1], file=sys.stderr, flush=True)
        if not worker.process.is_alive():
            worker = Worker(megabytes)
        tally.seconds = time.monotonic() - began
        if tally.done % 5000 < 200:
            print(f"{tally.done} of {len(jobs)}, {tally.seconds:.0f} s, {tally.peak:.0f} MB", file=sys.stderr, flush=True)
            keep(tally)
    worker.stop()
    return tally


def to_page(tally: Tally, *, megabytes: int, seconds: float) -> str:
    """The results as Markdown."""
    totals = {
        which: sum(number for (found, _, _), number in tally.outcomes.items() if found == which) for which in ("nasty", "mutated")
    }
    lost = {outcome: sum(number for (_, _, found), number in tally.outcomes.items() if found == outcome) for outcome in OUTCOMES[-2:]}
    libraries = ", ".join(f"{name} {version(name)}" for name in ("pillow", "simplejpeg", "onnxruntime", "numpy"))
    lines = [
        "# What hostile files do to `identify`",
        "",
        "Made by `python benchmarks/robustness.py --count N --write`; the files by `tests/nasty.py` and `tests/nasty_mutations.py`.",
        "",
        f"- {totals['nasty']:,} nasty files of known kinds and {totals['mutated']:,} mutated JPEGs of 256x256, through the whole path, "
        f"default bundle: **{lost['crash']} crashes, {lost['hang']} hangs**.",
        f"- Limits: {seconds:g} s a file, {megabytes:,} MB of address space a worker. Largest worker: {tally.peak:,.0f} MB resident.",
        "- Slowest, by the clock, at low priority on a busy machine: "
        f"{'; '.join(f'{took:.2f} s ({name})' for took, name in tally.slowest)}.",
        f"- {tally.seconds / 60:.0f} minutes in one process; Python {platform.python_version()}, {libraries}.",
        "",
    ]
    for which, title in (("nasty", "Files of known kinds"), ("mutated", "Mutated JPEGs")):
        lines += [f"## {title}", "", f"| kind | {' | '.join(OUTCOMES)} |", f"|---|{'---:|' * len(OUTCOMES)}"]
        for kind in dict.fromkeys(kind for found, kind, _ in tally.outcomes if found == which):
            lines.append(f"| {kind.replace('_', ' ')} | {' | '.join(f'{tally.outcomes[which, kind, one]:,}' for one in OUTCOMES)} |")
        lines.append("")
    if tally.failures:
        lines += ["## Failures", "", *(f"- {failure}" for failure in tally.failures[:50]), ""]
    return "\n".join([*lines, *_NOTES, ""])


_NOTES = (
    "`ok` says that the photo was judged, not that the answer was right: where the metadata alone is broken, the pixels are whole.",
    "`unreadable` is the decoder's refusal, or camtrace's own (see `src/camtrace/screening.py`), with a reason in the verdict.",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="how many mutated JPEGs")
    parser.add_argument("--minutes", type=float, default=600, help="stop after so long, and say how many there were")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="limit for one file")
    parser.add_argument("--megabytes", type=int, default=MEGABYTES, help="limit of a worker's address space")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}, else print it")
    wanted = parser.parse_args()

    def keep(tally: Tally) -> None:
        if wanted.write:
            PAGE.write_text(to_page(tally, megabytes=wanted.megabytes, seconds=wanted.seconds), encoding="utf-8")

    tally = run(wanted.count, minutes=wanted.minutes, megabytes=wanted.megabytes, seconds=wanted.seconds, keep=keep)
    keep(tally)
    if not wanted.write:
        print(to_page(tally, megabytes=wanted.megabytes, seconds=wanted.seconds))
    raise SystemExit(1 if tally.failures else 0)


if __name__ == "__main__":
    main()
