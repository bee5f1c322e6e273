"""The methods of both papers and camtrace's own: one file each, which defines `METHOD`; being here is its registration.

Outside packages add theirs by the group of entry points `camtrace.methods`.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Callable
from dataclasses import replace

from camtrace import plugins
from camtrace.lab.methods.method import Features, HeadKind, Method
from camtrace.patches import RESIZED, RULES
from camtrace.types import CamtraceError

__all__ = ["METHODS", "Features", "Method", "find_method"]


class _Methods(plugins.Extended[Method]):
    """Methods by name; work on one is kept under its name, so that one from outside is called as its entry point is."""

    def __getitem__(self, name: str) -> Method:
        method = super().__getitem__(name)
        if not re.fullmatch(r"[\w.-]+", name):
            raise plugins.PluginError(f"{plugins.METHODS}: {name!r} cannot name files; expected letters, digits, '.', '_' and '-' only")
        return method if method.name == name else replace(method, name=name)


def _from_outside(found: object, label: str) -> Method:
    """A method of a plug-in, held to what every method promises; TypeError or ValueError where it breaks it."""
    if not isinstance(found, Method):
        raise TypeError(f"found {type(found).__name__}, expected a camtrace.lab.methods.Method")
    if found.head not in found.heads:
        raise ValueError(f"its head {found.head!r} is not among its heads {', '.join(found.heads)}")
    if found.recipe is None and ("softmax" in found.heads or found.pretrained):
        raise ValueError("it has no recipe, so nothing is trained: it can have neither the head softmax nor pretrained weights")
    if found.rule not in RULES and found.rule != RESIZED:
        raise ValueError(f"its patch rule {found.rule!r} is not one of {', '.join((*RULES, RESIZED))}")
    if found.size < 1 or found.count < 1:
        raise ValueError(f"it asks {found.count} patches of {found.size} pixels, expected at least one of each")
    return replace(found, make=_checked(found.make, label))


def _checked(make: Callable[[], Features], label: str) -> Callable[[], Features]:
    """What makes the features, and PluginError where these are of another kind."""

    def checked() -> Features:
        made: object = make()
        if not isinstance(made, Features) or not isinstance(getattr(made, "dimension", None), int):
            kind = type(made).__name__
            raise plugins.PluginError(
                f"{label} made {kind}, expected camtrace.lab.methods.Features with a dimension; update this package"
            )
        return made

    return checked


METHODS = _Methods(
    {
        module.METHOD.name: module.METHOD
        for module in (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
        if hasattr(module, "METHOD")
    },
    plugins.METHODS,
    _from_outside,
)
"""Method by name: those that ship, then those of plug-ins."""


def find_method(name: str) -> Method:
    """A method by name, or with another of its heads: `demosaicing:svm`.

    Raises
    ------
    CamtraceError
        There is no such method, or no such head for it; or its package is broken.
    """
    base, _, head = name.partition(":")
    if base not in METHODS:
        raise CamtraceError(f"{base!r} is not a method; expected one of {', '.join(METHODS)}")
    method = METHODS[base]
    heads: dict[str, HeadKind] = {one: one for one in method.heads}
    if head and head not in heads:
        raise CamtraceError(f"{head!r} is not a head of {base}; expected one of {', '.join(heads)}")
    return replace(method, name=name.replace(":", "-"), head=heads[head]) if head else method
