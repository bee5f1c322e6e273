"""Compare what the EXIF claims with the camera that the pixels speak for.

Makers write their names in many ways (NIKON CORPORATION, NIKON D90); names are compared by what is left after company words,
the repeated maker, case and punctuation are gone.
"""

from __future__ import annotations

import re

from camtrace.types import Claim

_COMPANY_WORDS = frozenset(
    """ag camera cameras co company corp corporation electric electronics gmbh imaging inc international limited ltd
    mobile optical technologies""".split()  # noqa: SIM905 - a list of words reads best as words
)


def agrees(claim: Claim, camera: str) -> bool | None:
    """Whether the claim names `camera`; None where the EXIF names no model."""
    if claim.model is None:
        return None
    return canonical(f"{claim.make or ''} {claim.model}") == canonical(camera) or canonical(claim.model) == canonical(camera)


def camera_of(folder: str) -> str:
    """The camera whose photos a folder of this name holds: underscores stand for spaces."""
    return " ".join(folder.replace("_", " ").split()) or folder


def canonical(name: str) -> str:
    """A camera's name reduced to what tells it apart: `NIKON CORPORATION NIKON D90` and `Nikon_D90` become `nikond90`."""
    plain = name.casefold().replace("+", " plus ")  # HERO3+ is another camera than HERO3
    words = [word for word in re.split(r"[\W_]+", plain) if word and word not in _COMPANY_WORDS]
    return "".join(dict.fromkeys(words))
