"""Plug-ins: outside packages that add a patch rule, output, data set, protocol or method, found by their entry points.

    [project.entry-points."camtrace.rules"]
    corners = "corners:rule"            # the name that users type = where the object is

`extend` makes of the built-in things of one kind a mapping that knows those from outside too. A built-in never asks whether plug-ins
are there, so that nobody pays for them; a plug-in is imported when its name is asked for, not before; none replaces a built-in.
Source: PyPA entry points specification, https://packaging.python.org/specifications/entry-points/.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from camtrace.types import CamtraceError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")

RULES, OUTPUTS, DATASETS = "camtrace.rules", "camtrace.outputs", "camtrace.datasets"
PROTOCOLS, METHODS = "camtrace.protocols", "camtrace.methods"
GROUPS = {
    RULES: "which patches of a photo are asked: a function (pixels, size) -> scores",
    OUTPUTS: "how verdicts are written: a function (verdicts, text stream)",
    DATASETS: "how a data set is read: a camtrace.lab.datasets.Layout",
    PROTOCOLS: "how splits are drawn: a function (records, *, count, seed) -> splits",
    METHODS: "how cameras are told apart: a camtrace.lab.methods.Method, which needs camtrace[lab]",
}
"""Group of entry points -> what they must be."""


class PluginError(CamtraceError):
    """An outside package that does not keep to what camtrace asks of a plug-in; the message names the package."""


@dataclass(frozen=True)
class Plugin:
    """One entry point of an outside package, not imported yet."""

    group: str
    name: str
    package: str  # with its version
    target: str  # module:object
    _entry: EntryPoint = field(repr=False, compare=False)

    @property
    def label(self) -> str:
        """How messages call it."""
        return f"{self.package}: its plug-in {self.name!r} of {self.group} ({self.target})"

    def load(self) -> object:
        """Import it.

        Raises
        ------
        PluginError
            Its package cannot be imported, or does not hold it.
        """
        try:
            return cast("object", self._entry.load())
        except Exception as error:  # the import runs code of others, which may raise anything
            raise PluginError(f"{self.label} cannot be loaded: {type(error).__name__}: {error}; {_advice(error)}") from error


def _advice(error: Exception) -> str:
    """What to do about a package that cannot be imported; one that only lacks PyTorch is not broken."""
    if isinstance(error, ModuleNotFoundError) and error.name == "torch":
        return "pip install 'camtrace[lab]'"
    return "update or uninstall this package"


def find_plugins(group: str) -> tuple[Plugin, ...]:
    """All plug-ins of a group by name, those of one name by package; reads the metadata of what is installed, some 10 ms."""
    from importlib.metadata import entry_points

    found = [Plugin(group, entry.name, _package_of(entry), entry.value, entry) for entry in entry_points(group=group)]
    return tuple(sorted(found, key=lambda plugin: (plugin.name, plugin.package)))


def _package_of(entry: EntryPoint) -> str:
    return "a package without a name" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"


class Extended(Mapping[str, T], Generic[T]):
    """Things of one kind by name: built-in ones, then those of plug-ins. Names cost no import; values do, so ask for one by name."""

    def __init__(self, builtin: Mapping[str, T], group: str, fit: Callable[[object, str], T]) -> None:
        self.builtin = builtin
        self._group, self._fit = group, fit
        self._loaded: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        """What has this name; KeyError where nothing has, PluginError where its package is broken."""
        if name in self.builtin:
            return self.builtin[name]
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def __contains__(self, name: object) -> bool:
        return name in self.builtin or any(plugin.name == name for plugin in find_plugins(self._group))

    def __iter__(self) -> Iterator[str]:
        yield from self.builtin
        yield from sorted({plugin.name for plugin in find_plugins(self._group)} - set(self.builtin))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _load(self, name: str) -> T:
        named = [plugin for plugin in find_plugins(self._group) if plugin.name == name]
        if not named:
            raise KeyError(name)
        if len(named) > 1:
            packages = " and ".join(plugin.package for plugin in named)
            raise PluginError(f"{self._group}: {name!r} is offered by {packages}; uninstall all of these but one")
        [plugin] = named
        try:
            return self._fit(plugin.load(), plugin.label)
        except (TypeError, ValueError) as error:
            raise PluginError(f"{plugin.label} is not what it must be: {error}; see docs/plugins.md") from error


def extend(builtin: Mapping[str, T], group: str, *, fit: Callable[[object, str], T] | None = None) -> Extended[T]:
    """The built-in things of a kind, and those that plug-ins add under other names.

    `fit` takes what a plug-in gave and how messages call it, and gives what is used; it raises TypeError or ValueError where that is
    not what it must be. Without `fit` anything that can be called will do.
    """
    return Extended(builtin, group, fit or cast("Callable[[object, str], T]", a_function))


def a_function(found: object, label: str) -> Callable[..., object]:
    """What a plug-in gave, as something to call; TypeError where it is nothing of the kind."""
    if not callable(found):
        raise TypeError(f"found {type(found).__name__}, expected a function")
    return cast("Callable[..., object]", found)
