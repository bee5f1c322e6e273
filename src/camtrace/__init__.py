"""camtrace: tell which camera model took a photo, from its pixels alone, and say honestly when it cannot be told.

>>> import camtrace
>>> verdict = camtrace.identify("photo.jpg")  # doctest: +SKIP
>>> verdict.answer  # doctest: +SKIP
'Nikon D90'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from camtrace.batches.enrolling import enroll
    from camtrace.bundle import Bundle, load_bundle
    from camtrace.enrolment import Enrolment
    from camtrace.identification import identify, identify_many
    from camtrace.inspection import Inspection, inspect
    from camtrace.likeness import Likeness, compare, compare_many
    from camtrace.manifest import BundleError
    from camtrace.tampering.localization import Localization, localize
    from camtrace.types import CamtraceError, Claim, PhotoError, Ranked, Verdict

__version__ = "0.1.0"

__all__ = [
    "Bundle",
    "BundleError",
    "CamtraceError",
    "Claim",
    "Enrolment",
    "Inspection",
    "Likeness",
    "Localization",
    "PhotoError",
    "Ranked",
    "Verdict",
    "__version__",
    "compare",
    "compare_many",
    "enroll",
    "identify",
    "identify_many",
    "inspect",
    "load_bundle",
    "localize",
]

# Public names by the module they live in, imported on first use so that `import camtrace` costs next to nothing.
_HOMES = {
    "bundle": ("Bundle", "load_bundle"),
    "batches.enrolling": ("enroll",),
    "enrolment": ("Enrolment",),
    "identification": ("identify", "identify_many"),
    "inspection": ("Inspection", "inspect"),
    "likeness": ("Likeness", "compare", "compare_many"),
    "tampering.localization": ("Localization", "localize"),
    "manifest": ("BundleError",),
    "types": ("CamtraceError", "Claim", "PhotoError", "Ranked", "Verdict"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
