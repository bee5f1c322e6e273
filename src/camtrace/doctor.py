"""Whether all that camtrace needs is there and fits together, and whether the main path works on this machine.

`examine` looks, and answers with findings; `camtrace doctor` shows them. What is looked for comes from the package's own metadata, so
that no list has to be kept. Nothing is written, and nothing is asked of any network.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import io
import platform
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal

from camtrace import __version__
from camtrace.plugins import GROUPS, PluginError, find_plugins
from camtrace.runtime import cores
from camtrace.types import CamtraceError

State = Literal["ok", "absent", "problem"]

NAME = "camtrace"
_MODULES = {"pillow": "PIL", "pywavelets": "pywt", "scikit-learn": "sklearn"}
"""Where the module is not called as the package."""
_NOT_FOR_USERS = frozenset({"test", "docs"})
_REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)(?:\[[^]]*])?\s*\(?(?P<range>[^;)]*)\)?\s*(?:;.*?extra\s*==\s*['\"](?P<extra>[\w.-]+)['\"])?"
)
_LEAST = re.compile(r">=\s*([\d.]+)")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. Only a `problem` means that camtrace does not work as it should."""

    topic: str
    name: str
    state: State
    found: str
    advice: str = ""  # what to do next; "" where there is nothing to do


@dataclass(frozen=True)
class Requirement:
    """A package that camtrace, or one of its extras, takes."""

    package: str
    least: str  # version, "" = any
    extra: str | None


def examine() -> tuple[Finding, ...]:
    """Look at everything; takes a second or two, most of it for imports and the bundle."""
    return (*_system(), *_packages(), *_runtime(), *_bundle(), *_extras(), *_plugins())


def healthy(findings: tuple[Finding, ...]) -> bool:
    """Whether nothing is broken; an extra that is absent breaks nothing."""
    return all(finding.state != "problem" for finding in findings)


def to_dict(findings: tuple[Finding, ...]) -> dict[str, Any]:
    """What `camtrace doctor --to json` prints."""
    return {"camtrace": __version__, "healthy": healthy(findings), "findings": [asdict(finding) for finding in findings]}


def to_text(findings: tuple[Finding, ...]) -> str:
    """The findings as lines, by topic, and what to do."""
    lines = [f"camtrace {__version__}"]
    topic, width = "", max(len(finding.name) for finding in findings)
    for finding in findings:
        if finding.topic != topic:
            topic = finding.topic
            lines += ["", topic]
        lines.append(f"  {finding.state:<8} {finding.name:<{width}}  {finding.found}")
        if finding.advice:
            lines.append(f"  {'':<8} {'':<{width}}  -> {finding.advice}")
    problems = sum(finding.state == "problem" for finding in findings)
    lines += ["", f"Not all is well: {problems} of {len(findings)} lines tell of a problem." if problems else "camtrace works here."]
    if not problems:
        lines.append("The shell can complete commands and options: camtrace --install-completion")
    return "\n".join([*lines, ""])


def requirements(name: str = NAME) -> tuple[Requirement, ...]:
    """What the installed package says that it takes; PackageNotFoundError where it is not installed."""
    found = [_REQUIREMENT.match(line) for line in importlib.metadata.requires(name) or ()]
    return tuple(
        Requirement(one["name"], least[1] if (least := _LEAST.search(one["range"])) else "", one["extra"]) for one in found if one
    )


def is_at_least(version: str, least: str) -> bool:
    """Whether a version is not below another, by their numbers: 1.26.0rc1 counts as 1.26.0."""
    numbers = [[int(part) for part in re.findall(r"\d+", text.partition("+")[0])] for text in (version, least)]
    length = max(map(len, numbers))
    mine, wanted = ([*parts, *[0] * (length - len(parts))][: len(numbers[1])] for parts in numbers)
    return mine >= wanted


def _system() -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding("System", "Python", "ok", f"{version} ({platform.python_implementation()}), {sys.executable}")
    yield Finding("System", "platform", "ok", platform.platform())
    yield Finding("System", "processor", "ok", f"{platform.machine()}, {cores()} cores to use, {_instructions()}")


def _instructions() -> str:
    """What NumPy found of the instructions that make arithmetic fast; the names are NumPy's."""
    try:
        import numpy as np

        found: dict[str, Any] = np.show_config(mode="dicts") or {}  # type: ignore[assignment]
        extensions = found["SIMD Extensions"]
        names = [*extensions.get("baseline", ()), *extensions.get("found", ())]
    except Exception:  # a broken NumPy is told of below
        return "instructions unknown"
    return "instructions " + (", ".join(names[-3:]) or "plain")


def _packages() -> Iterator[Finding]:
    """Those that camtrace cannot do without: there, new enough, and to be imported."""
    topic = "Packages"
    try:
        wanted = [one for one in requirements() if one.extra is None]
    except importlib.metadata.PackageNotFoundError:
        yield Finding(
            topic,
            NAME,
            "problem",
            "runs from its source, it is not installed",
            "pip install camtrace, or pip install -e . in a checkout",
        )
        return
    for one in wanted:
        version = _version_of(one.package)
        advice = f"pip install --upgrade '{one.package}>={one.least}'" if one.least else f"pip install {one.package}"
        if version is None:
            yield Finding(topic, one.package, "problem", "not installed", advice)
        elif one.least and not is_at_least(version, one.least):
            yield Finding(topic, one.package, "problem", f"{version}, expected {one.least} or newer", advice)
        elif error := _fails(partial(importlib.import_module, _MODULES.get(one.package.lower(), one.package))):
            again = f"pip install --force-reinstall {one.package}"
            yield Finding(topic, one.package, "problem", f"{version}, cannot be imported: {error}", again)
        else:
            yield Finding(topic, one.package, "ok", version)


def _runtime() -> Iterator[Finding]:
    from camtrace.runtime import onnx_runtime

    topic, name, mine = "Bundle", "ONNX Runtime", "CPUExecutionProvider"
    try:
        providers = onnx_runtime().get_available_providers()
    except Exception as error:
        yield Finding(topic, name, "problem", _in_words(error), "pip install --force-reinstall onnxruntime")
        return
    advice = "" if mine in providers else "pip install --force-reinstall onnxruntime"
    yield Finding(topic, name, "problem" if advice else "ok", f"camtrace uses {mine}; there are {', '.join(providers)}", advice)


def _bundle() -> Iterator[Finding]:
    """The bundle that ships: its files against their hashes, its nets on a patch, and the whole way of a photo."""
    topic, advice = "Bundle", "pip install --force-reinstall --no-deps camtrace"
    try:
        from camtrace.bundle import load_bundle

        bundle = load_bundle()
        found = f"{bundle.id.name} {bundle.id.version}: {len(bundle.manifest.cameras)} cameras, all files as their hashes say"
        yield Finding(topic, "files", "ok", found)
    except Exception as error:
        yield Finding(topic, "files", "problem", _in_words(error), advice)
        return
    wrong = _fails(partial(_judge, bundle))
    yield Finding(topic, "a made photo", "problem" if wrong else "ok", wrong or "judged", advice if wrong else "")


def _judge(bundle: Any) -> None:
    """A photo of noise through decoder, patches, nets and vote; whoever is named, it must be judged."""
    import numpy as np
    from PIL import Image

    from camtrace.identification import identify

    pixels = np.random.default_rng(1).integers(60, 190, (128, 192, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=95)
    verdict = identify(stream.getvalue(), bundle=bundle)
    if verdict.status != "ok":
        raise CamtraceError(f"not judged: {verdict.reason}; see what is said of packages and bundle above")


def _extras() -> Iterator[Finding]:
    """What is optional, by the extras of the package's metadata: there as a whole, or what is missing of it."""
    try:
        wanted = [one for one in requirements() if one.extra is not None and one.extra not in _NOT_FOR_USERS]
    except importlib.metadata.PackageNotFoundError:
        return
    for extra in sorted({one.extra or "" for one in wanted}):
        parts = [(one, _version_of(one.package)) for one in wanted if one.extra == extra]
        missing = [one.package for one, version in parts if version is None]
        old = [
            f"{one.package} {version}, expected {one.least}"
            for one, version in parts
            if version and one.least and not is_at_least(version, one.least)
        ]
        advice = f"pip install --upgrade 'camtrace[{extra}]'"
        if missing:
            yield Finding("Extras", extra, "absent", f"without {', '.join(missing)}", f"pip install 'camtrace[{extra}]'")
        elif old:
            yield Finding("Extras", extra, "problem", f"too old: {', '.join(old)}", advice)
        else:
            yield Finding("Extras", extra, "ok", ", ".join(f"{one.package} {version}" for one, version in parts))


def _plugins() -> Iterator[Finding]:
    """Each plug-in that is installed, whether it can be loaded, and whether its name is taken."""
    taken: set[tuple[str, str]] = set()
    for plugin in (plugin for group in GROUPS for plugin in find_plugins(group)):
        name = f"{plugin.name} of {plugin.group}"
        if (plugin.group, plugin.name) in taken:
            yield Finding("Plug-ins", name, "problem", f"{plugin.package} offers it too", "uninstall one of the two packages")
            continue
        taken.add((plugin.group, plugin.name))
        try:
            plugin.load()
            yield Finding("Plug-ins", name, "ok", f"{plugin.package}, {plugin.target}")
        except PluginError as error:
            yield Finding("Plug-ins", name, "problem", str(error), "update or uninstall this package")


def _version_of(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _fails(action: Callable[[], object]) -> str | None:
    """What goes wrong when something is tried; None where it works."""
    try:
        action()
    except Exception as error:
        return _in_words(error)
    return None


def _in_words(error: Exception) -> str:
    """An error of camtrace speaks for itself; of others the kind says more than the message."""
    return str(error) if isinstance(error, CamtraceError) else f"{type(error).__name__}: {error}"
