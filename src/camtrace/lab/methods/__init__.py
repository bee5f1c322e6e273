"""The methods of both papers and camtrace's own: one file each, which defines `METHOD`; being here is its registration."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import replace

from camtrace.lab.methods.method import Features, HeadKind, Method
from camtrace.types import CamtraceError

__all__ = ["METHODS", "Features", "Method", "find_method"]

METHODS: dict[str, Method] = {
    module.METHOD.name: module.METHOD
    for module in (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    if hasattr(module, "METHOD")
}


def find_method(name: str) -> Method:
    """A method by name, or with another of its heads: `demosaicing:svm`.

    Raises
    ------
    CamtraceError
        There is no such method, or no such head for it.
    """
    base, _, head = name.partition(":")
    if base not in METHODS:
        raise CamtraceError(f"{base!r} is not a method; expected one of {', '.join(METHODS)}")
    method = METHODS[base]
    heads: dict[str, HeadKind] = {one: one for one in method.heads}
    if head and head not in heads:
        raise CamtraceError(f"{head!r} is not a head of {base}; expected one of {', '.join(heads)}")
    return replace(method, name=name.replace(":", "-"), head=heads[head]) if head else method
