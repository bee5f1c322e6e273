"""Data sets -> records: which photo was taken by which camera, device and in which scene (DATASETS).

One file a data set: each draws its folder tree in its docstring and defines `LAYOUT`; the file being here is its registration.
`check.py` compares a copy with what was published, `trees.py` is what the readers share.
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from camtrace import plugins
from camtrace.lab.datasets.layout import Layout, Published, Record
from camtrace.types import CamtraceError

__all__ = ["LAYOUTS", "Layout", "Published", "Record", "find_layout", "read_dataset", "recognise"]

LAYOUTS: dict[str, Layout] = {
    module.LAYOUT.name: module.LAYOUT
    for module in (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    if hasattr(module, "LAYOUT")
}
"""The layouts that ship; only these are recognised by their look, one of a plug-in is read where it is named."""


def _from_outside(found: object, label: str) -> Layout:
    if not isinstance(found, Layout):
        raise TypeError(f"found {type(found).__name__}, expected a camtrace.lab.datasets.Layout")
    return found


_ALL = plugins.extend(LAYOUTS, plugins.DATASETS, fit=_from_outside)


def find_layout(name: str) -> Layout:
    """A layout by name, of LAYOUTS or of a plug-in.

    Raises
    ------
    CamtraceError
        There is none of this name, or its package is broken.
    """
    if name not in _ALL:
        raise CamtraceError(f"{name!r} is not a layout that camtrace reads; expected one of {', '.join(sorted(_ALL))}")
    return _ALL[name]


def read_dataset(root: Path, *, layout: str | None = None) -> list[Record]:
    """Records of a data set, in a stable order; without the name of a `layout`, the one that recognises the folder.

    A folder that no published layout recognises is read as folders of cameras.

    Raises
    ------
    CamtraceError
        Nothing is there, no photo was found, or there is no `layout` of this name.
    """
    chosen = None if layout is None else find_layout(layout)
    if not root.exists():
        raise CamtraceError(f"{root}: no such file or folder; expected a manifest (CSV) or a folder of photos")
    return (chosen or find_layout(recognise(root))).read(root)


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
