"""A data set's published index -> its files on disk, as far as the server gives them.

    folder/
      camtrace-downloads.jsonl        one line for each file that came whole, so that the next run need not ask for it
      Dataset/D01_.../D01_L1S1C1.jpg  the path of the address, beneath the folder of the index
      Dataset/D01_.../x.jpg.partial   the one file that was under way, if the run was cut short

A download may be stopped at any time and goes on when it is started again. One file that fails does not stop the others; a
server that has gone, or a full disk, does. Nothing is fetched unless one of these functions is called.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from camtrace.lab.download.addresses import Place, lines_of, links_of, place_of
from camtrace.lab.download.ledger import LEDGER, Ledger, is_noted, note, read_ledger, read_sums
from camtrace.lab.download.session import Manners, Session, TransferError, ask_size, fetch_text
from camtrace.lab.download.transfer import digest, fetch_file, partial_size
from camtrace.types import CamtraceError

POLITE = Manners()
_LONGEST_INDEX = 1 << 26  # bytes
_SIZES_ASKED = 64  # files whose size is asked for before the first; with more, their mean stands for the others
_GIVEN_UP_AFTER = 3  # files in a row for which the server was not there, or only had errors of its own
_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))

Outcome = Literal["fetched", "already there", "failed"]


@dataclass(frozen=True)
class Step:
    """One file is done with: the `number`-th of `total`."""

    address: str
    outcome: Outcome
    number: int
    total: int


@dataclass(frozen=True)
class Downloaded:
    """What a run did."""

    fetched: tuple[Path, ...]
    already_there: tuple[Path, ...]
    failures: dict[str, str]  # address -> why it did not come
    bytes: int  # that came over the network in this run


@dataclass
class _Run:
    """What the files of one run share, and what has come of them so far."""

    session: Session
    folder: Path
    sums: Mapping[str, str]
    on_bytes: Callable[[int], object]
    ledger: Ledger
    sizes: dict[str, int | None] = field(default_factory=dict)  # as asked before the start, by address
    failures: dict[str, str] = field(default_factory=dict)
    received: int = 0
    unserved: int = 0  # files in a row for which there was no server, or only its errors

    def count(self, received: int) -> None:
        """Hear of bytes that came."""
        self.received += received
        self.on_bytes(received)


def download(
    index: str,
    folder: Path,
    *,
    only: Callable[[str], bool] | None,
    agree: Callable[[int, int], bool],
    sha256sums: Mapping[str, str] | Path | None = None,
    on_file: Callable[[Step], object] = lambda _: None,
    on_bytes: Callable[[int], object] = lambda _: None,
    manners: Manners = POLITE,
    share: float = 1.0,
    instead: str = "",
) -> Downloaded:
    """Fetch the files of an index that are not there yet, in its order, through one connection at a time.

    `index` is the address of a list of addresses, one a line; or, if it ends in "/", of a folder whose listing a web server
    draws. `only` says whether an address is wanted; None takes all. `agree` is asked with (bytes needed, bytes free) before the
    start if the disk looks too small, and ends the run by False; of more than 64 files the need is estimated from 64 spread
    over the list. `sha256sums` are hashes by path beneath the folder, or a file as `sha256sum` writes it. `on_file` hears of
    every file, `on_bytes` how many bytes came. `share` is the bytes of disk that a byte takes in the end; `instead` says what
    the user can do when the index cannot be had.

    Raises
    ------
    CamtraceError
        The index cannot be had or holds nothing that is wanted, `agree` refused, or the disk is full.
    """
    session = Session(manners)
    lines = _read_index(session, index, instead)
    wanted = [line for line in lines if only is None or only(line)]
    if not wanted:
        raise CamtraceError(f"{index}: none of its {len(lines)} files is one that is asked for; see `camtrace lab fetch --help`")
    run = _Run(session, folder, read_sums(sha256sums), on_bytes, read_ledger(folder))
    places = _places(wanted, index, run.failures)
    if run.sums and not any(str(place.path) in run.sums for place in places):
        raise CamtraceError(f"{index}: the SHA-256 given are of none of its files; expected paths such as {places[0].path}")
    done = {place for place in places if is_noted(run.ledger, place, folder / place.path, run.sums.get(str(place.path)))}
    _ask_room(run, [place for place in places if place not in done], agree, share)
    fetched: list[Path] = []
    there: list[Path] = []
    for number, place in enumerate(places, 1):
        outcome: Outcome = "already there" if place in done else _one(run, place)
        if outcome != "failed":
            (fetched if outcome == "fetched" else there).append(folder / place.path)
        on_file(Step(place.address, outcome, number, len(places)))
    return Downloaded(tuple(fetched), tuple(there), run.failures, run.received)


def _read_index(session: Session, index: str, instead: str) -> list[str]:
    """The addresses of an index."""
    try:
        text, came_from = fetch_text(session, index, limit=_LONGEST_INDEX)
    except TransferError as error:
        raise CamtraceError(f"{index}: {error}; expected the data set's list of files. {instead}".rstrip()) from error
    listing = index.endswith("/")
    if not listing and text.lstrip("\ufeff \r\n\t").startswith("<"):
        raise CamtraceError(f"{index}: a web page; expected a list of addresses, one a line. {instead}".rstrip())
    lines = links_of(text, came_from) if listing else lines_of(text)
    if not lines:
        raise CamtraceError(f"{index}: lists no files. {instead}".rstrip())
    return lines


def _places(lines: Sequence[str], index: str, failures: dict[str, str]) -> list[Place]:
    """Where the files go; what cannot go anywhere, or would go where another goes, is a failure."""
    places: dict[str, Place] = {}
    for line in lines:
        try:
            place = place_of(line, index=index)
        except CamtraceError as error:
            failures[line] = str(error)
            continue
        other = places.setdefault(str(place.path).casefold(), place)  # some systems do not tell a.jpg from A.jpg
        if other is not place:
            failures[line] = f"would lie where {other.address} lies"
        elif str(place.path).casefold() == LEDGER:
            failures[line] = f"has the name of camtrace's own {LEDGER}"
            del places[LEDGER]
    return list(places.values())


def _ask_room(run: _Run, places: Sequence[Place], agree: Callable[[int, int], bool], share: float) -> None:
    """Ask the server for sizes and the disk for room; ask the user if there is too little."""
    step = max(1, -(-len(places) // _SIZES_ASKED))
    asked = places[::step]
    for place in asked:
        run.sizes[place.address] = ask_size(run.session, place.address)
        if len(run.sizes) == _GIVEN_UP_AFTER and not any(run.sizes.values()):
            return  # a server that does not tell sizes: each is checked against the disk when its file comes
    missing = sum(_missing(run, place) for place in asked)
    needed = int(missing * share * len(places) / max(1, len(asked)))
    free = shutil.disk_usage(run.folder).free
    if needed > free and not agree(needed, free):
        raise CamtraceError(
            f"{run.folder}: about {needed} bytes are needed and {free} are free; nothing was fetched; "
            "make room, or choose another folder with --out"
        )


def _missing(run: _Run, place: Place) -> int:
    """Bytes of a file that are still to come; 0 where its size is not known."""
    size, target = run.sizes[place.address], run.folder / place.path
    if size is None or (target.is_file() and target.stat().st_size == size):
        return 0
    return max(0, size - partial_size(target))


def _one(run: _Run, place: Place) -> Outcome:
    """See to one file; what goes wrong with it alone is noted and does not stop the others."""
    if run.unserved >= _GIVEN_UP_AFTER:
        run.failures[place.address] = f"not tried: no answer, or only errors, for the {_GIVEN_UP_AFTER} files before"
        return "failed"
    target, sha256 = run.folder / place.path, run.sums.get(str(place.path))
    try:
        there = target.is_file() and _is_whole(run, place, sha256)
        if not there:
            fetch_file(run.session, place.address, target, sha256=sha256, on_bytes=run.count)
        note(run.folder, place, target.stat().st_size, sha256)
    except TransferError as error:
        run.unserved = 0 if error.ready else run.unserved + 1
        run.failures[place.address] = str(error)
        return "failed"
    except OSError as error:
        if error.errno in _FULL:
            raise CamtraceError(f"{target}: the disk is full; make room and run the same command again") from error
        run.failures[place.address] = f"cannot be written: {error}"
        return "failed"
    run.unserved = 0
    return "already there" if there else "fetched"


def _is_whole(run: _Run, place: Place, sha256: str | None) -> bool:
    """Whether the file that is there is the server's, as far as its size and what is known of its hash tell."""
    target = run.folder / place.path
    size = run.sizes.get(place.address) or ask_size(run.session, place.address)
    return target.stat().st_size == size and (sha256 is None or digest(target) == sha256)
