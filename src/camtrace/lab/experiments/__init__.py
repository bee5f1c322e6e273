"""The experiments of both papers and two of camtrace's own, each from one command: `camtrace lab reproduce NAME`.

One file each, which defines `reproduce(settings) -> Experiment`; being here is its registration.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

from camtrace.lab.experiments.settings import Settings
from camtrace.lab.page import Experiment, write_page

__all__ = ["EXPERIMENTS", "Settings", "run_experiment"]

EXPERIMENTS: dict[str, Callable[[Settings], Experiment]] = {
    found.name: module.reproduce
    for found in pkgutil.iter_modules(__path__)
    if hasattr(module := importlib.import_module(f"{__name__}.{found.name}"), "reproduce")
}


def run_experiment(name: str, settings: Settings) -> Experiment:
    """Run an experiment, or go on with one that was cut short, and write its page into `settings.out`."""
    settings.out.mkdir(parents=True, exist_ok=True)
    experiment = EXPERIMENTS[name](settings)
    write_page(experiment, settings.out / f"{name}.html")
    return experiment
