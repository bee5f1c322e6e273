"""Data sets -> records: which photo was taken by which camera, device and in which scene (DATASETS).

One file a data set: each draws its folder tree in its docstring and defines `LAYOUT`; the file being here is its registration.
`check.py` compares a copy with what was published, `trees.py` is what the readers share.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from camtrace.lab.datasets.layout import Layout, Published, Record
from camtrace.types import CamtraceError

__all__ = ["LAYOUTS", "Layout", "Published", "Record", "read_dataset", "recognise"]

LAYOUTS: dict[str, Layout] = {
    module.LAYOUT.name: module.LAYOUT
    for module in (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    if hasattr(module, "LAYOUT")
}


def read_dataset(root: Path, *, layout: str | None = None) -> list[Record]:
    """Records of a data set, in a stable order; without a `layout` of LAYOUTS, the one that recognises the folder.

    A folder that no published layout recognises is read as folders of cameras.

    Raises
    ------
    CamtraceError
        Nothing is there, no photo was found, or `layout` is not one of LAYOUTS.
    """
    if layout is not None and layout not in LAYOUTS:
        raise CamtraceError(f"{layout!r} is not a layout that camtrace reads; expected one of {', '.join(sorted(LAYOUTS))}")
    if not root.exists():
        raise CamtraceError(f"{root}: no such file or folder; expected a manifest (CSV) or a folder of photos")
    return LAYOUTS[layout or recognise(root)].read(root)


def recognise(root: Path) -> str:
    """Name of the layout that a folder follows; "folders" where no published one fits.

    Raises
    ------
    CamtraceError
        It looks like several data sets at once.
    """
    if LAYOUTS["manifest"].recognises(root):
        return "manifest"  # the user's own word about the photos wins over the look of the folders
    found = [layout.name for layout in LAYOUTS.values() if layout.recognises(root)]
    if len(found) > 1:
        raise CamtraceError(f"{root}: looks like {' and like '.join(sorted(found))}; say which with --layout")
    return found[0] if found else "folders"
