"""The methods of both papers and camtrace's own: one file each, which defines `METHOD`; being here is its registration."""

from __future__ import annotations

import importlib
import pkgutil

from camtrace.lab.methods.method import Features, Method

__all__ = ["METHODS", "Features", "Method"]

METHODS: dict[str, Method] = {
    module.METHOD.name: module.METHOD
    for module in (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    if hasattr(module, "METHOD")
}
