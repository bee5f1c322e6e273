"""A published index -> which addresses to fetch, and where each file goes beneath the user's folder.

An index is a plain list of addresses, one a line, or the listing of a folder as a web server draws it. It comes from outside, so
nothing in it is trusted: every name is checked, and none can leave the folder, on any system.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import PurePosixPath
from urllib.parse import unquote, urljoin, urlsplit

from camtrace.types import CamtraceError

OWN_ENDINGS = (".partial", ".partial.json")  # names that a download needs for itself
_BAD_CHARACTERS = re.compile(r'[\x00-\x1f\x7f<>:"|?*\\]')  # drive letters, streams, and what Windows cannot store
_BAD_NAMES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # devices of Windows, whatever they end in


@dataclass(frozen=True)
class Place:
    """A file to fetch: its address as the index has it, and its path beneath the folder."""

    address: str
    path: PurePosixPath


def lines_of(text: str) -> list[str]:
    """Addresses of an index that is a plain list, each once, in its order; empty lines and comments (#) are left out."""
    lines = (line.strip() for line in text.removeprefix("\ufeff").splitlines())
    return list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


def links_of(page: str, address: str) -> list[str]:
    """Addresses of the files that a folder's listing shows, each once; links to other places and to subfolders are left out."""
    reader = _Links()
    reader.feed(page)
    found = dict.fromkeys(link for href in reader.hrefs if (link := _join(address, href)))
    base = urlsplit(address)
    return [link for link in found if _is_file_of(link, base.netloc, base.path)]


def place_of(address: str, *, index: str) -> Place:
    """Where a file goes: its path beneath the folder of the index, or its whole path when it lies elsewhere.

    Raises
    ------
    CamtraceError
        It is no address of the web, or its path would leave the folder or cannot be a file name everywhere.
    """
    try:
        found, base = urlsplit(address), urlsplit(index)
    except ValueError as error:
        raise CamtraceError(f"not an address: {error}; fetch this file by hand") from error
    if found.scheme not in ("http", "https") or not found.netloc:
        raise CamtraceError("not an address that begins with http:// or https://; fetch this file by hand")
    path, folder = unquote(found.path), unquote(base.path).rpartition("/")[0] + "/"
    if found.netloc == base.netloc:
        path = path.removeprefix(folder)
    return Place(address, beneath(path.lstrip("/")))


def beneath(name: str) -> PurePosixPath:
    """A relative path that stays beneath whatever folder it is joined to, on any system.

    Raises
    ------
    CamtraceError
        The name is absolute, climbs out, or holds a part that some system cannot store.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts:
        raise CamtraceError(f"the path {name!r} would leave the folder; fetch this file by hand")
    for part in parts:
        if _BAD_CHARACTERS.search(part) or _BAD_NAMES.fullmatch(part) or part.endswith((".", " ")):
            raise CamtraceError(
                f"the path {name!r} holds {part!r}, which cannot be a file name on every system; fetch this file by hand"
            )
    if not parts or name.endswith("/"):
        raise CamtraceError(f"the path {name!r} names no file; fetch this file by hand")
    if parts[-1].lower().endswith(OWN_ENDINGS):
        raise CamtraceError(f"the path {name!r} ends as the files of an unfinished download do; fetch this file by hand")
    return PurePosixPath(*parts)


class _Links(HTMLParser):
    """Collects where the links of a page lead."""

    def __init__(self) -> None:
        super().__init__()
        self.hrefs: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hrefs += [value for name, value in attrs if tag == "a" and name == "href" and value]


def _join(address: str, href: str) -> str | None:
    try:
        return urljoin(address, href.strip())
    except ValueError:
        return None  # not an address at all, "http://[": no file of this folder


def _is_file_of(link: str, host: str, folder: str) -> bool:
    found = urlsplit(link)
    name = found.path.removeprefix(folder)
    return found.netloc == host and found.path.startswith(folder) and not found.query and bool(name) and "/" not in name
