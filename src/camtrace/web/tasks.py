"""What a worker does: one function for each thing that the service is asked. Runs in the worker's process only.

A task takes a bundle, options (plain JSON values) and photos as bytes, and gives JSON values and byte strings. What the user did wrong
comes back as `error`, a photo that is too large for the quick lane as `heavy`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from camtrace.bundle import Bundle, load_bundle, open_bundle
from camtrace.identification import identify
from camtrace.inspection import inspect
from camtrace.likeness import compare
from camtrace.photo import promised_pixels, read_photo
from camtrace.tampering.heatmap import draw_heat
from camtrace.tampering.localization import localize
from camtrace.types import CamtraceError
from camtrace.web.enrolling import teach
from camtrace.web.unjudged import JUDGING, document

QUICK_PIXELS = 30_000_000
"""A request with more does not go through the quick lane."""
_BUNDLES = 4  # that a worker holds ready

Reply = tuple[dict[str, Any], Sequence[bytes]]
Options = dict[str, Any]


class Desk:
    """What a worker has before it: the bundles that it used last, and the limit of pixels."""

    def __init__(self, *, pixels: int) -> None:
        self._pixels = pixels
        self._bundles: OrderedDict[str, Bundle] = OrderedDict()

    def knows(self, key: str) -> bool:
        """Whether a bundle is at hand."""
        return key in self._bundles

    def learn(self, key: str, files: dict[str, bytes]) -> None:
        """Take a bundle from memory."""
        self._keep(key, open_bundle(files, threads=1))

    def answer(self, job: dict[str, Any], blobs: Sequence[bytes]) -> Reply:
        """Do one job; see the module for what comes back."""
        options = job["options"]
        try:
            bundle = self._bundle(job["bundle"])
            sizes = list(map(promised_pixels, blobs))
            if job["quick"] and sum(sizes) > QUICK_PIXELS:
                return {"heavy": True}, []
            if (largest := max(sizes)) > self._pixels:
                return self._too_large(job["task"], options["names"], blobs, largest, bundle)
            return _TASKS[job["task"]](bundle, options, blobs)
        except CamtraceError as error:
            return {"error": str(error)}, []

    def _too_large(self, task: str, names: Sequence[str], blobs: Sequence[bytes], found: int, bundle: Bundle) -> Reply:
        reason = f"{found / 1e6:.0f} megapixels, this service reads at most {self._pixels / 1e6:.0f}"
        if task not in JUDGING:
            return {"error": f"a photo of {reason}"}, []
        size = bundle.manifest.patch_size
        return {"document": document(task, names, blobs, reason=reason, bundle=bundle.id, size=size)}, []

    def _bundle(self, asked: dict[str, Any]) -> Bundle:
        key = asked["key"]
        if key not in self._bundles:
            self._keep(key, load_bundle(asked["path"], threads=1))
        self._bundles.move_to_end(key)
        return self._bundles[key]

    def _keep(self, key: str, bundle: Bundle) -> None:
        self._bundles[key] = bundle
        while len(self._bundles) > _BUNDLES:
            self._bundles.popitem(last=False)


def _identify(bundle: Bundle, options: Options, blobs: Sequence[bytes]) -> Reply:
    return {"document": identify(blobs[0], bundle=bundle, mode=options["mode"], name=options["names"][0]).to_dict()}, []


def _inspect(bundle: Bundle, options: Options, blobs: Sequence[bytes]) -> Reply:
    return {"document": inspect(blobs[0], bundle=bundle, mode=options["mode"], name=options["names"][0]).to_dict()}, []


def _compare(bundle: Bundle, options: Options, blobs: Sequence[bytes]) -> Reply:
    first, second = options["names"]
    return {"document": compare(blobs[0], blobs[1], bundle=bundle, names=(first, second)).to_dict()}, []


def _localize(bundle: Bundle, options: Options, blobs: Sequence[bytes]) -> Reply:
    return {"document": localize(blobs[0], bundle=bundle, name=options["names"][0]).to_dict()}, []


def _heatmap(bundle: Bundle, options: Options, blobs: Sequence[bytes]) -> Reply:
    """The picture; a photo that cannot be judged has none."""
    name = options["names"][0]
    found = localize(blobs[0], bundle=bundle, name=name)
    if found.status != "ok":
        raise CamtraceError(f"no heat map ({found.status}): {found.reason}")
    return {"document": found.to_dict()}, [draw_heat(read_photo(blobs[0], name=name), found)]


def _enroll(bundle: Bundle, options: Options, blobs: Sequence[bytes]) -> Reply:
    photos = list(zip(options["cameras"], options["names"], blobs, strict=True))
    files, told = teach(photos, base=bundle, name=options["name"], only=options["only"])
    return {"document": told, "names": list(files)}, list(files.values())


def _report(bundle: Bundle, options: Options, blobs: Sequence[bytes]) -> Reply:
    """The report as a file. A bundle that lies in a folder is given as such: the report then records the hash of its manifest."""
    try:
        from camtrace.reports.report import MissingExtraError, make_report
    except ImportError as error:
        return {"missing": f"this service writes no reports: {error.name} cannot be loaded"}, []
    judge = bundle if options["loaded"] else options["path"]
    try:
        report = make_report(blobs[0], bundle=judge, mode=options["mode"], names=options["names"])
        return {"document": {}}, [report.to_pdf() if options["format"] == "pdf" else report.html.encode("utf-8", "replace")]
    except MissingExtraError as error:
        return {"missing": str(error)}, []


_TASKS: dict[str, Callable[[Bundle, Options, Sequence[bytes]], Reply]] = {
    "identify": _identify,
    "inspect": _inspect,
    "compare": _compare,
    "localize": _localize,
    "heatmap": _heatmap,
    "enroll": _enroll,
    "report": _report,
}
