"""A data set by its name -> its photos on disk, where its authors publish a list or a plain folder of files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from camtrace.lab.datasets import LAYOUTS, Layout
from camtrace.lab.download.archive import unpack
from camtrace.lab.download.batch import POLITE, Downloaded, Step, download
from camtrace.lab.download.session import Manners
from camtrace.photo import SUFFIXES
from camtrace.types import CamtraceError

LISTINGS = {"fodb": "https://faui1-files.cs.fau.de/public/mmsec/datasets/fodb/"}
"""Folders of zips whose listing a web server draws; a layout's `index` is for sets with a list of their files."""


def downloadable() -> tuple[str, ...]:
    """Names of the data sets that `fetch` can download."""
    return tuple(sorted(name for name, layout in LAYOUTS.items() if layout.index or name in LISTINGS))


def fetch(
    name: str,
    folder: Path,
    *,
    agree: Callable[[int, int], bool],
    only: Callable[[str], bool] | None = None,
    sha256sums: Mapping[str, str] | Path | None = None,
    on_file: Callable[[Step], object] = lambda _: None,
    on_bytes: Callable[[int], object] = lambda _: None,
    manners: Manners = POLITE,
) -> Downloaded:
    """Download the photos of a data set of LAYOUTS, or those of them that `only` names, and unpack the zips they come in.

    The arguments are those of `download`. Videos, and photos that the layout ignores, are left out. A zip is kept beside what it
    held; one that cannot be unpacked is among the failures, under its path.

    Raises
    ------
    CamtraceError
        As `download`; or the set is not one that camtrace can download: the message says how to get it.
    """
    if name not in LAYOUTS:
        raise CamtraceError(f"{name!r} is not a data set that camtrace knows; expected one of {', '.join(sorted(LAYOUTS))}")
    layout, listing = LAYOUTS[name], LISTINGS.get(name)
    index = layout.index or listing
    if index is None:
        raise CamtraceError(f"{name}: camtrace cannot download this data set. {layout.how_to_get}")
    result = download(
        index,
        folder,
        only=lambda address: _is_wanted(address, layout) and (only is None or only(address)),
        agree=agree,
        sha256sums=sha256sums,
        on_file=on_file,
        on_bytes=on_bytes,
        manners=manners,
        share=2.0 if listing else 1.0,  # what the zips hold needs its own room
        instead=layout.how_to_get,
    )
    zips = [path for path in (*result.fetched, *result.already_there) if path.suffix.lower() == ".zip"]
    return Downloaded(result.fetched, result.already_there, result.failures | _unpack_all(zips, folder), result.bytes)


def _is_wanted(address: str, layout: Layout) -> bool:
    path = Path(address.partition("?")[0])
    return path.suffix.lower() in {*SUFFIXES, ".zip"} and not layout.ignores(path)


def _unpack_all(zips: list[Path], folder: Path) -> dict[str, str]:
    """Unpack what can be; path -> why not."""
    failures = {}
    for zipped in zips:
        try:
            unpack(zipped, folder)
        except CamtraceError as error:
            failures[str(zipped)] = str(error)
    return failures
