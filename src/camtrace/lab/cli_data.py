"""Commands of `camtrace lab` about data: fetch and check data sets, draw splits, import weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from camtrace.lab.datasets import LAYOUTS, find_layout, read_dataset, recognise
from camtrace.lab.datasets.check import check_dataset, to_text
from camtrace.lab.download import downloadable, fetch
from camtrace.lab.protocols import PROTOCOLS, save_splits
from camtrace.types import VotingWay
from camtrace.vote import WAYS

app = typer.Typer(pretty_exceptions_enable=False)


@app.command("fetch")
def fetch_set(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(downloadable())}; of others it says how to get them.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to download into; what is there already is not fetched again.")],
    only: Annotated[str | None, typer.Option("--only", help="Only addresses that contain this text.")] = None,
    sha256sums: Annotated[Path | None, typer.Option("--sha256sums", help="File of SHA-256 sums to check against.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, even where the disk may be too small.")] = False,
) -> None:
    """Download a published data set from its authors; stop it at any time, start it again and it goes on."""

    def agree(needed: int, free: int) -> bool:
        return yes or typer.confirm(f"needs about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free: go on?", err=True)

    with tqdm(desc=name, unit="B", unit_scale=True, disable=None) as bar:
        result = fetch(
            name,
            out,
            agree=agree,
            only=(lambda address: only in address) if only else None,
            sha256sums=sha256sums,
            on_file=lambda step: bar.set_postfix_str(f"file {step.number} of {step.total}"),
            on_bytes=bar.update,
        )
    for address, reason in result.failures.items():
        typer.echo(f"camtrace: failed: {address}: {reason}", err=True)
    typer.echo(f"{out}: {len(result.fetched)} files fetched, {len(result.already_there)} already there, {len(result.failures)} failed")
    raise typer.Exit(1 if result.failures else 0)


@app.command()
def check(
    data: Annotated[Path, typer.Argument(help="Data set.")],
    layout: Annotated[str | None, typer.Option("--layout", help=f"One of {', '.join(sorted(LAYOUTS))}.")] = None,
    decode: Annotated[bool, typer.Option("--decode", help="Decode every photo too, to find damaged ones.")] = False,
) -> None:
    """Count what is there and compare with what was published."""
    records = read_dataset(data, layout=layout)
    with tqdm(total=len(records), desc="decoding", disable=None if decode else True) as bar:
        found = check_dataset(
            records, find_layout(layout or recognise(data)), root=data, decode=decode, on_photo=lambda _: bar.update() and None
        )
    typer.echo(to_text(found))


@app.command()
def split(
    data: Annotated[Path, typer.Argument(help="Data set.")],
    out: Annotated[Path, typer.Option("--out", help="JSON file to write.")],
    protocol: Annotated[str, typer.Option(help=f"One of {', '.join(PROTOCOLS)}.")] = "device-scene",
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 10,
    seed: int = 0,
    layout: Annotated[str | None, typer.Option("--layout", help=f"One of {', '.join(sorted(LAYOUTS))}.")] = None,
) -> None:
    """Draw splits and save them as a manifest, for use elsewhere."""
    if protocol not in PROTOCOLS:
        raise typer.BadParameter(f"--protocol {protocol!r} is not one of {', '.join(PROTOCOLS)}")
    records = read_dataset(data, layout=layout)
    drawn = PROTOCOLS[protocol](records, count=count, seed=seed)
    save_splits(out, records, drawn, data if data.is_dir() else data.parent)
    for one in drawn:
        typer.echo(f"split {one.number}: {len(one.train)} to train on, {len(one.validation)} to validate, {len(one.test)} to test")


@app.command("import-caffe")
def import_weights(
    weights: Annotated[Path, typer.Option("--weights", help="The .caffemodel.")],
    mean: Annotated[Path, typer.Option("--mean", help="The mean patch, a .binaryproto.")],
    labels: Annotated[Path, typer.Option("--labels", help="Camera names, one a line, in output order.")],
    out: Annotated[Path, typer.Option("--out", help="Bundle folder to write.")],
    vote: Annotated[str, typer.Option(help="summed, as the authors' code does, or majority, as their paper does.")] = "summed",
    force: Annotated[bool, typer.Option("--force", help="Replace the bundle that is at --out.")] = False,
) -> None:
    """Turn the weights that the authors of the paper released into a bundle, without Caffe."""
    from camtrace.lab.import_caffe import import_caffe

    way: dict[str, VotingWay] = {way: way for way in WAYS}
    if vote not in way:
        raise typer.BadParameter(f"--vote {vote!r} is not one of {', '.join(WAYS)}")
    import_caffe(weights, mean=mean, labels=labels, out=out, vote=way[vote], force=force)
    typer.echo(f"{out}: ready for camtrace identify --bundle {out}")


ALONE = tuple([command.name or getattr(command.callback, "__name__", "")] for command in app.registered_commands)
"""First words of a command line that need nothing of the rest of the lab, and so no PyTorch."""
