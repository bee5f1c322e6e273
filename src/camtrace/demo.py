"""The main job on made photos, from nothing: simulated cameras shoot scenes, some are enrolled, questioned photos are identified.

One camera is kept back, so that the demo also shows what a photo from an unknown camera gets. The truth is known, so the
table at the end says how often the answer was right.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from camtrace.enrolment import enroll
from camtrace.identification import identify
from camtrace.outputs import to_text
from camtrace.simulator import MadeCamera, draw_scene, make_cameras, save, shoot
from camtrace.types import UNKNOWN, CamtraceError, Verdict

CAMERAS = 6
REFERENCE_PHOTOS = 8
QUESTIONED_PHOTOS = 5
SIZE = 512

Echo = Callable[[str], object]


def run_demo(*, out: Path | None = None, seed: int = 1, echo: Echo = print) -> float:
    """Run the demo; returns the share of questioned photos of enrolled cameras whose best camera was right.

    Photos and bundle go to the new folder `out`, or to a temporary one that is removed.
    """
    if out is None:
        with tempfile.TemporaryDirectory(prefix="camtrace-demo-") as folder:
            return _run(Path(folder), seed, echo)
    if out.exists():
        raise CamtraceError(f"{out}: is already there; the demo writes to a new folder, choose another name")
    out.mkdir(parents=True)
    return _run(out, seed, echo)


def _run(folder: Path, seed: int, echo: Echo) -> float:
    started = time.monotonic()
    *enrolled, stranger = make_cameras(CAMERAS + 1, seed=seed)
    echo(f"Shooting {CAMERAS} made cameras and a stranger: other devices and other scenes for the questioned photos ...")
    for camera in enrolled:
        _album(folder / "reference" / camera.name.replace(" ", "_"), camera, REFERENCE_PHOTOS, device=1, scenes=seed * 1000)
    for camera in (*enrolled, stranger):
        _album(folder / "questioned" / camera.name.replace(" ", "_"), camera, QUESTIONED_PHOTOS, device=2, scenes=seed * 1000 + 500)
    echo(f"Enrolling {CAMERAS} cameras with {REFERENCE_PHOTOS} photos each ...")
    bundle = enroll(folder / "reference", out=folder / "bundle", only=True).bundle
    echo("Identifying the questioned photos ...\n")
    verdicts = {
        camera.name: [
            identify(path, bundle=bundle) for path in sorted((folder / "questioned" / camera.name.replace(" ", "_")).iterdir())
        ]
        for camera in (*enrolled, stranger)
    }
    echo(to_text(verdicts[enrolled[0].name][0]))
    share = _print_table(verdicts, [camera.name for camera in enrolled], echo)
    echo(f"Took {time.monotonic() - started:.1f} s. Next: camtrace identify YOUR_PHOTO.jpg")
    return share


def _album(folder: Path, camera: MadeCamera, count: int, *, device: int, scenes: int) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        scene = draw_scene(SIZE, SIZE, seed=scenes + number)
        photo = save(shoot(scene, camera, device=device, seed=scenes + number), camera, seed=number)
        (folder / f"{number:02}.jpg").write_bytes(photo)


def _print_table(verdicts: dict[str, list[Verdict]], names: list[str], echo: Echo) -> float:
    """Confusion table, one row a true camera, and the shares that matter."""
    columns = [*names, UNKNOWN]
    width = max(map(len, verdicts)) + 2
    echo("True camera (rows), answer (columns):\n")
    echo(" " * width + "".join(f"{name.split()[-1]:>9}" for name in columns))
    for camera, given in verdicts.items():
        counts = [sum(verdict.answer == column for verdict in given) for column in columns]
        note = "" if camera in names else "  <- never enrolled: unknown is right"
        echo(f"{camera:<{width}}" + "".join(f"{count or '.':>9}" for count in counts) + note)
    right = np.mean([verdict.best == camera for camera in names for verdict in verdicts[camera]])
    named = sum(verdict.answer != UNKNOWN for camera in names for verdict in verdicts[camera])
    wrong = sum(verdict.answer not in (UNKNOWN, camera) for camera in names for verdict in verdicts[camera])
    strangers = [verdict for camera, given in verdicts.items() if camera not in names for verdict in given]
    kept_silent = sum(verdict.answer == UNKNOWN for verdict in strangers)
    echo(
        f"\nBest camera right: {right:.0%} of {len(names) * QUESTIONED_PHOTOS} photos. Named: {named}, wrongly: {wrong}. "
        f"Photos of the stranger answered unknown: {kept_silent} of {len(strangers)}."
    )
    return float(right)
