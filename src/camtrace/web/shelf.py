"""The bundles that a service judges with, by name: those it was started with, and those that users had enrolled.

Enrolled ones live in memory, so many at most, or in the folder given by `--keep`, where a restarted service finds them again.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from camtrace.bundle import Bundle, load_bundle
from camtrace.manifest import MANIFEST, Manifest, read_manifest
from camtrace.safe_files import write_folder
from camtrace.types import BundleId, CamtraceError
from camtrace.web.enrolling import Files
from camtrace.web.settings import KEPT_BUNDLES, MEMORY_BUNDLES, SettingsError

Origin = Literal["started with", "memory", "kept"]

NAME = r"[A-Za-z0-9][A-Za-z0-9_-]{0,47}"
"""What an enrolled bundle may be called: its name becomes that of a folder, on any system."""
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)  # devices on Windows
_numbers = itertools.count()


class NameTakenError(CamtraceError):
    """There is a bundle of that name, or no room for one."""


@dataclass(frozen=True)
class Served:
    """One bundle. It lies in a folder, in `path` (None: the one that ships), or in memory, in `files`."""

    manifest: Manifest
    origin: Origin
    path: Path | None = None
    files: Files | None = field(default=None, repr=False)
    key: str = field(default_factory=lambda: str(next(_numbers)))  # of this very bundle; names may be used again

    @property
    def name(self) -> str:
        """What requests call it."""
        return self.manifest.name

    @property
    def id(self) -> BundleId:
        """What results call it."""
        return BundleId(self.manifest.name, self.manifest.version)

    def cameras(self) -> dict[str, Any]:
        """What `camtrace cameras --to json` prints."""
        return {"bundle": asdict(self.id), "cameras": [asdict(camera) for camera in self.manifest.cameras]}


class Shelf:
    """All bundles of a service; used from the event loop only, but for `write`."""

    def __init__(self, folders: tuple[Path | None, ...], *, keep: Path | None = None) -> None:
        self._keep = keep
        self._bundles: dict[str, Served] = {}
        self._coming: set[str] = set()  # names of bundles that are being taught
        for folder in folders:
            served = _serve(load_bundle(folder, threads=1), "started with", folder)
            if served.name in self._bundles:
                raise SettingsError(
                    f"{folder}: a second bundle called {served.name!r}; requests could not tell them apart; serve one of the two only"
                )
            self._bundles[served.name] = served
        self._default = next(iter(self._bundles.values()))
        for served in _find_kept(keep):
            self._bundles.setdefault(served.name, served)

    @property
    def default(self) -> Served:
        """The one that is used where none is named."""
        return self._default

    def find(self, name: str | None) -> Served | None:
        """The bundle of this name; the default where none is given, None where there is none."""
        return self._default if name is None else self._bundles.get(name)

    def __iter__(self) -> Iterator[Served]:
        return iter(self._bundles.values())

    def suggest(self) -> str:
        """A name that is free."""
        taken = {*self._bundles, *self._coming}
        return next(name for number in itertools.count(1) if (name := f"enrolled-{number}") not in taken)

    @contextmanager
    def reserved(self, name: str) -> Iterator[None]:
        """Hold a name while its bundle is taught.

        Raises
        ------
        CamtraceError
            No bundle can have this name. NameTakenError: another one has it, or there is no room.
        """
        self._check(name)
        self._coming.add(name)
        try:
            yield
        finally:
            self._coming.discard(name)

    def _check(self, name: str) -> None:
        if not re.fullmatch(NAME, name) or _RESERVED.fullmatch(name):
            raise CamtraceError(f"{name[:80]!r} is no name for a bundle, expected letters, digits, - and _, at most 48")
        if name.lower() in {one.lower() for one in (*self._bundles, *self._coming)}:  # some disks do not tell a from A
            raise NameTakenError(f"there is a bundle called {name}; choose another name")
        if self._keep is not None and sum(served.origin == "kept" for served in self) + len(self._coming) >= KEPT_BUNDLES:
            raise NameTakenError(f"{KEPT_BUNDLES} enrolled bundles are kept, the most there may be; delete one of them first")

    def write(self, files: Files) -> Served:
        """A bundle just taught, written to the folder where such are kept, if there is one; not yet on the shelf.

        Raises
        ------
        OSError
            It cannot be written; nothing is left of it.
        """
        manifest, _ = read_manifest(files[MANIFEST], Path(MANIFEST))
        if self._keep is None:
            return Served(manifest, "memory", files=files)
        folder = self._keep / manifest.name
        write_folder(folder, files, check=lambda: _check_free(folder))
        return Served(manifest, "kept", folder)

    def add(self, served: Served) -> list[str]:
        """Put a bundle on the shelf; gives the names of those in memory that made room, oldest first."""
        self._bundles[served.name] = served
        in_memory = [name for name, one in self._bundles.items() if one.origin == "memory"]
        dropped = in_memory[:-MEMORY_BUNDLES]
        for name in dropped:
            del self._bundles[name]
        return dropped


def _serve(bundle: Bundle, origin: Origin, path: Path | None) -> Served:
    return Served(bundle.manifest, origin, path)


def _find_kept(keep: Path | None) -> Iterator[Served]:
    """The bundles that an earlier service kept. One that was changed since stops the start: somebody should know."""
    if keep is None:
        return
    keep.mkdir(parents=True, exist_ok=True)
    for folder in sorted(keep.iterdir()):
        if re.fullmatch(NAME, folder.name) and (folder / MANIFEST).is_file():
            served = _serve(load_bundle(folder, threads=1), "kept", folder)
            if served.name != folder.name:
                raise SettingsError(f"{folder}: holds a bundle called {json.dumps(served.name)}; rename the folder or take it away")
            yield served


def _check_free(folder: Path) -> None:
    if folder.exists():
        raise FileExistsError(f"{folder.name} exists")
