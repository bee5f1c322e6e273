"""Is a copy of a data set complete? Count what is there, and say where it differs from what was published."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from camtrace.lab.datasets.layout import Layout, Published, Record
from camtrace.photo import find_photos, read_photo
from camtrace.types import PhotoError

_NAMED = 5  # files that a text names before it counts


@dataclass(frozen=True)
class Check:
    """What a copy of a data set holds, beside what was published."""

    name: str
    photos: int
    cameras: int
    devices: int
    scenes: int
    per_camera: tuple[tuple[str, int], ...]  # photos of each camera, sorted by camera
    published: Published
    differences: tuple[str, ...]  # from what was published, a sentence each; empty where all that is known agrees
    left_out: tuple[Path, ...]  # photos below the root that are no records
    unreadable: tuple[tuple[Path, str], ...]  # records that cannot be decoded, and why; empty where this was not asked
    remarks: tuple[str, ...]  # what else the set tells of the copy


def check_dataset(
    records: Sequence[Record],
    layout: Layout,
    *,
    root: Path | None = None,
    decode: bool = False,
    on_photo: Callable[[Record], None] = lambda _: None,
) -> Check:
    """Count the records and compare with what the layout says was published.

    Parameters
    ----------
    records
        What the layout's reader made of a copy.
    layout
        The layout that it was read by, with what is published of the set.
    root
        Where the copy lies. With it, photos that the reader left out are found, and the layout's own remarks asked for.
    decode
        Decode every photo, to find damaged ones. Slow: some 60 ms each.
    on_photo
        Called for each record before it is decoded.
    """
    per_camera = Counter(record.camera for record in records)
    devices, scenes = {record.device for record in records}, {record.scene for record in records}
    found = Published(len(records), len(per_camera), len(devices), len(scenes), tuple(sorted(per_camera.items())))
    return Check(
        name=layout.name,
        photos=len(records),
        cameras=len(per_camera),
        devices=len(devices),
        scenes=len(scenes),
        per_camera=found.per_camera,
        published=layout.published,
        differences=tuple(_differences(found, layout.published)),
        left_out=tuple(_left_out(records, layout, root)) if root else (),
        unreadable=tuple(_unreadable(records, on_photo)) if decode else (),
        remarks=tuple(layout.remarks(root, records)) if root else (),
    )


def _differences(found: Published, published: Published) -> Iterator[str]:
    counts = dict(found.per_camera)
    pairs = [(what, getattr(found, what), getattr(published, what)) for what in ("photos", "cameras", "devices", "scenes")]
    pairs += [(f"photos by {camera}", counts.get(camera, 0), count) for camera, count in published.per_camera]
    for what, here, there in pairs:
        if there is not None and here != there:
            yield f"{what}: {here:,} found, {there:,} published, {abs(here - there):,} {'fewer' if here < there else 'more'}"


def _left_out(records: Sequence[Record], layout: Layout, root: Path) -> Iterator[Path]:
    read = {record.path for record in records}
    folder = root if root.is_dir() else root.parent
    for photo in find_photos(folder):
        if photo not in read and not layout.ignores(photo.relative_to(folder)):
            yield photo


def _unreadable(records: Sequence[Record], on_photo: Callable[[Record], None]) -> Iterator[tuple[Path, str]]:
    for record in records:
        on_photo(record)
        try:
            read_photo(record.path)
        except PhotoError as error:
            yield record.path, str(error)


def to_text(check: Check) -> str:
    """A check as lines of text, what is wrong first."""
    head = f"{check.name}: {check.photos:,} photos by {check.cameras} cameras, {check.devices} devices, {check.scenes} scenes"
    lines = [head, *_agreement(check), *_section("also", check.remarks)]
    lines += _files(f"left out, {len(check.left_out):,} photos whose names or places are not the set's", map(str, check.left_out))
    lines += _files(f"unreadable, {len(check.unreadable):,} photos", (why for _, why in check.unreadable))
    width = max((len(camera) for camera, _ in check.per_camera), default=0)
    expected = dict(check.published.per_camera)
    rows = [
        f"{camera:<{width}}  {count:>7,}" + (f"  of {expected[camera]:,} published" if camera in expected else "")
        for camera, count in check.per_camera
    ]
    return "\n".join([*lines, *_section("photos by camera", rows)]) + "\n"


def _agreement(check: Check) -> list[str]:
    if check.published == Published():
        return ["nothing is published to compare it with"]
    if not check.differences:
        return ["agrees with all that is published of it"]
    return _section("differs from what is published", check.differences)


def _files(title: str, names: Iterator[str]) -> list[str]:
    listed = list(names)
    more = [f"and {len(listed) - _NAMED:,} more"] if len(listed) > _NAMED else []
    return _section(title, listed[:_NAMED] + more)


def _section(title: str, lines: Sequence[str]) -> list[str]:
    return [f"{title}:", *(f"  {line}" for line in lines)] if lines else []
