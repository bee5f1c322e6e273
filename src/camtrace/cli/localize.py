"""`camtrace localize`: where in a photo something comes from another camera or another processing history.

Heavy imports wait until the command needs them. Exit status: 0 judged, with alarm or without; 1 not judged; 2 wrong usage.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from camtrace.cli.parts import choose, progress, write_output
from camtrace.types import CamtraceError

if TYPE_CHECKING:
    from camtrace.tampering.localization import Localization
    from camtrace.types import Photo

FORMATS = ("text", "json", "png", "html")


def _check_format(value: str) -> str:
    return choose(value, FORMATS)


def _check_stride(value: int | None) -> int | None:
    from camtrace.tampering.blocks import STRIDES

    if value is not None and value not in STRIDES:
        raise typer.BadParameter(f"{value} is not one of {', '.join(map(str, STRIDES))}")
    return value


def localize(
    photo: Annotated[str, typer.Argument(metavar="PHOTO", help="A photo, or - for standard input.")],
    to: Annotated[str, typer.Option("--to", callback=_check_format, help="text, json, png or html, on standard output.")] = "text",
    heatmap: Annotated[Path | None, typer.Option("--heatmap", help="Write the heat map over the photo to this PNG file.")] = None,
    mask: Annotated[Path | None, typer.Option("--mask", help="Write the mask to this PNG file, in the size of the photo.")] = None,
    heatmap_raw: Annotated[
        Path | None, typer.Option("--heatmap-raw", help="Write the map to this NPY file: float32, height x width, NaN = no data.")
    ] = None,
    camera_map: Annotated[
        Path | None, typer.Option("--camera-map", help="Write which known camera each place is closest to, drawn, to this PNG file.")
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option("--bundle", help="Bundle folder to judge with; the one that ships if not given.")
    ] = None,
    stride: Annotated[
        int | None, typer.Option(callback=_check_stride, help="16, 32, 48 or 64 pixels from block to block. [default: by the size]")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over files that exist.")] = False,
) -> None:
    """Show where in a photo something comes from another camera or another processing history, and how sure that is.

    Regions are named only where the photo alarms. An alarm is no proof of forgery, and no alarm no proof that a photo is genuine.
    """
    from camtrace.tampering.localization import localize as run

    check_targets([path for path in (heatmap, mask, heatmap_raw, camera_map) if path is not None], photo, force=force)
    if to == "png" and sys.stdout.isatty():
        raise typer.BadParameter("a PNG is no text for a terminal; send it to a file, or use --heatmap FILE.png")
    name = "<stdin>" if photo == "-" else photo
    source = sys.stdin.buffer.read() if photo == "-" else photo  # kept: pictures are drawn over the photo
    with progress("localizing") as show:
        found = run(source, bundle=bundle, stride=stride, name=name, on_step=show)
    if found.status == "ok":
        _write_files(found, source, heatmap=heatmap, mask=mask, raw=heatmap_raw, camera_map=camera_map, force=force)
    _show(found, source, to)
    raise typer.Exit(0 if found.status == "ok" else 1)


def check_targets(targets: Iterable[Path], photo: str, *, force: bool) -> None:
    """Refuse, before any work is done, what must not be written over: never the photo, and nothing that exists unless forced.

    Raises
    ------
    CamtraceError
        A target is the photo or given twice, exists without `force`, or its folder does not exist.
    """
    seen: set[Path] = set()
    for target in targets:
        where = target.resolve()
        if photo != "-" and (where == Path(photo).resolve() or _is_same(target, Path(photo))):
            raise CamtraceError(f"{target}: is the photo itself; choose another file to write to")
        if where in seen:
            raise CamtraceError(f"{target}: given for two outputs; choose a file for each")
        if target.exists() and not force:
            raise CamtraceError(f"{target}: exists; --force writes over it")
        if not where.parent.is_dir():
            raise CamtraceError(f"{target}: there is no folder {where.parent} to write to; make it first")
        seen.add(where)


def _is_same(target: Path, photo: Path) -> bool:
    """One file by two names: links, and disks that do not tell a.JPG from a.jpg."""
    return target.exists() and photo.exists() and target.samefile(photo)


def to_text(found: Localization) -> str:
    """The result in words: never an alarm without its numbers."""
    lines = [found.source]
    if found.status != "ok":
        return "\n".join([*lines, f"  not judged ({found.status}): {found.reason}"])
    lines.append(f"  {'ALARM' if found.alarm else 'No alarm'}: {found.reason}")
    width, height = found.size or (1, 1)
    for number, region in enumerate(found.regions, 1):
        left, top, right, bottom = region.box
        sure = "not calibrated into a probability" if region.probability is None else f"probability {region.probability:.0%}"
        lines.append(
            f"  Region {number}:  x {left} to {right}, y {top} to {bottom}, {region.area / (width * height):.1%} of the photo; {sure}"
        )
        lines.append(f"             {region.reason}")
    lines += [f"  Note:      {remark}" for remark in found.remarks]
    lines.append(f"  Bundle:    {found.bundle.name} {found.bundle.version}")
    return "\n".join(lines)


def _show(found: Localization, source: bytes | str, to: str) -> None:
    if to == "json":
        typer.echo(json.dumps(found.to_dict(), indent=2))
    elif to == "text" or found.status != "ok":
        typer.echo(to_text(found), err=to != "text")
    elif to == "html":
        from camtrace.tampering.heatmap import draw_page

        typer.echo(draw_page(_photo(found, source), found))
    else:
        from camtrace.tampering.heatmap import draw_heat

        sys.stdout.buffer.write(draw_heat(_photo(found, source), found))
        sys.stdout.buffer.flush()


def _photo(found: Localization, source: bytes | str) -> Photo:
    from camtrace.photo import read_photo

    return read_photo(source, name=found.source)


def _write_files(
    found: Localization,
    source: bytes | str,
    *,
    heatmap: Path | None,
    mask: Path | None,
    raw: Path | None,
    camera_map: Path | None,
    force: bool,
) -> None:
    import numpy as np

    from camtrace.tampering.heatmap import draw_heat, draw_mask
    from camtrace.tampering.labelmap import draw_labels

    if heatmap is not None:
        picture = draw_heat(_photo(found, source), found)
        write_output(heatmap, picture, force=force)
    if mask is not None:
        black_and_white = draw_mask(found)
        write_output(mask, black_and_white, force=force)
    if raw is not None:
        stream = io.BytesIO()
        np.save(stream, found.heat(), allow_pickle=False)
        write_output(raw, stream.getvalue(), force=force)
    if camera_map is not None:
        stream = io.BytesIO()
        draw_labels(_photo(found, source), found).save(stream, "PNG")
        write_output(camera_map, stream.getvalue(), force=force)
