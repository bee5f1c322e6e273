"""Examine a bundle on photos whose cameras are known: what share it names rightly, and what it takes for what.

The photos must not have trained the bundle, or the figures flatter it; nothing here can check that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from camtrace.bundle import Bundle
from camtrace.identification import identify_many
from camtrace.lab.datasets import Record
from camtrace.lab.evaluate import interval
from camtrace.types import UNKNOWN, Level, Verdict


@dataclass(frozen=True)
class Examination:
    """Verdicts beside the truth."""

    verdicts: tuple[Verdict, ...]
    cameras: tuple[str, ...]  # the true camera of each
    known: frozenset[str]  # cameras of the bundle
    called: Callable[[str, Level], tuple[str, ...]]  # the cameras that an answer at a level stands for

    def covers(self, verdict: Verdict, camera: str) -> bool:
        """Whether the answer is this camera, its family or its maker."""
        return camera in self.called(verdict.answer, verdict.answer_level)

    def figures(self) -> dict[str, Any]:
        """Shares with their 95 % intervals over photos, counts per camera, and the confusion counts."""
        judged = [(v, c) for v, c in zip(self.verdicts, self.cameras, strict=True) if v.status == "ok"]
        inside = [(v, c) for v, c in judged if c in self.known]
        outside = [(v, c) for v, c in judged if c not in self.known]
        per_camera = {
            camera: [sum(v.best == c for v, c in inside if c == camera), sum(c == camera for _, c in inside)]
            for camera in sorted({c for _, c in inside})
        }
        return {
            "photos": len(self.verdicts),
            "not judged": len(self.verdicts) - len(judged),
            "best camera right": interval(np.array([v.best == c for v, c in inside])),
            "patches right": interval(np.array([_votes_for(v, c) / v.n_patches for v, c in inside])),
            "known cameras answered unknown": interval(np.array([v.answer == UNKNOWN for v, _ in inside])),
            "known cameras answered wrongly": interval(np.array([v.answer != UNKNOWN and not self.covers(v, c) for v, c in inside])),
            "unknown cameras named": interval(np.array([v.answer_level in ("model", "family") for v, _ in outside])),
            "unknown cameras given to a maker": interval(np.array([v.answer_level == "maker" for v, _ in outside])),
            "cameras": per_camera,
            "confusion": [[c, best, count] for (c, best), count in sorted(Counter((c, v.best or "") for v, c in inside).items())],
        }


def examine(records: Sequence[Record], bundle: Bundle, *, on_photo: Callable[[Verdict], object] = lambda _: None) -> Examination:
    """Ask a bundle about every record."""
    verdicts = []
    for verdict in identify_many([record.path for record in records], bundle=bundle):
        verdicts.append(verdict)
        on_photo(verdict)
    manifest = bundle.manifest
    return Examination(tuple(verdicts), tuple(record.camera for record in records), frozenset(manifest.labels), manifest.called)


def to_text(figures: dict[str, Any]) -> str:
    """Figures as a person wants to read them."""
    lines = [f"{figures['photos']} photos, {figures['not judged']} of them not judged\n"]
    for name, share in figures.items():
        if share is None or (isinstance(share, tuple) and len(share) == 3):
            lines.append(f"{name:<32} {'no such photos' if share is None else '{:.1%} ({:.1%} to {:.1%})'.format(*share)}")
    lines.append("\nbest camera right, camera by camera:")
    lines += [f"  {camera:<32} {right:>4} of {asked:>4}" for camera, (right, asked) in figures["cameras"].items()]
    wrong = [(camera, best, count) for camera, best, count in figures["confusion"] if camera != best]
    lines.append("\nconfusion: true camera, best camera, photos" if wrong else "\nno confusion")
    lines += [f"  {camera:<32} {best:<32} {count:>4}" for camera, best, count in sorted(wrong, key=lambda row: -row[2])]
    return "\n".join(lines)


def _votes_for(verdict: Verdict, camera: str) -> int:
    return next(line.votes for line in verdict.ranking if line.camera == camera)
