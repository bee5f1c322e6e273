"""`camtrace lab`: train, measure and build bundles from photos whose cameras are known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import torch
import typer
from tqdm import tqdm

from camtrace.identification import ready
from camtrace.lab.build import Plan, build, measure
from camtrace.lab.datasets import read_dataset
from camtrace.lab.examine import examine, to_text
from camtrace.lab.nets import NETS
from camtrace.lab.train import RECIPES

app = typer.Typer(help="Train and evaluate on photos whose cameras are known.", no_args_is_help=True, pretty_exceptions_enable=False)

Data = Annotated[Path, typer.Argument(help="Manifest (photos.csv), or folder of CAMERA/[DEVICE/]PHOTO.")]
DEFAULT = Plan()


@app.callback()
def _options(threads: Annotated[int, typer.Option(min=0, help="Threads for PyTorch; 0 = its own choice.")] = 0) -> None:
    if threads:
        torch.set_num_threads(threads)


@app.command()
def train(
    data: Data,
    work: Annotated[Path, typer.Option("--work", help="Folder for caches and checkpoints; a run that was cut short goes on there.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Bundle folder to write; without it the folds are measured and that is all.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the bundle.")] = "default",
    version: Annotated[str, typer.Option(help="Version of the bundle.")] = "1",
    net: Annotated[str, typer.Option(help=f"One of {', '.join(NETS)}.")] = DEFAULT.net,
    recipe: Annotated[str, typer.Option(help=f"One of {', '.join(RECIPES)}.")] = DEFAULT.recipe,
    steps: int = DEFAULT.steps,
    batch_real: Annotated[int, typer.Option(help="Patches of real photos in a batch.")] = DEFAULT.batch_real,
    batch_made: Annotated[int, typer.Option(help="Patches of made cameras in a batch; 0 = real ones alone.")] = DEFAULT.batch_made,
    made_cameras: Annotated[int, typer.Option(help="How many made cameras.")] = DEFAULT.made_cameras,
    made_photos: Annotated[int, typer.Option(help="Photos by each made camera.")] = DEFAULT.made_photos,
    folds: Annotated[int, typer.Option(min=1, help="Folds to measure with.")] = DEFAULT.folds,
    left_out: Annotated[int, typer.Option(min=2, help="Cameras that a fold leaves out whole.")] = DEFAULT.left_out,
    c: Annotated[float, typer.Option(help="C of the SVMs.")] = DEFAULT.c,
    seed: int = DEFAULT.seed,
    force: Annotated[bool, typer.Option("--force", help="Replace the bundle that is at --out.")] = False,
) -> None:
    """Measure a way of training by folds that share neither device nor scene; with --out, train on everything and write a bundle."""
    for option, value, allowed in (("net", net, NETS), ("recipe", recipe, RECIPES)):
        if value not in allowed:
            raise typer.BadParameter(f"--{option} {value!r} is not one of {', '.join(allowed)}")
    plan = Plan(net, recipe, steps, batch_real, batch_made, made_cameras, made_photos, folds, left_out, c, seed)
    figures = measure(data, work, plan) if out is None else build(data, out, work, plan, name=name, version=version, force=force)
    typer.echo(json.dumps(figures, indent=1))


@app.command()
def evaluate(
    data: Data,
    bundle: Annotated[Path | None, typer.Option("--bundle", help="Bundle folder; the one that ships if not given.")] = None,
    to: Annotated[str, typer.Option("--to", help="text or json.")] = "text",
) -> None:
    """Ask a bundle about photos whose cameras are known; photos that trained it flatter it."""
    if to not in ("text", "json"):
        raise typer.BadParameter(f"--to {to!r} is not one of text, json")
    records = read_dataset(data)
    with tqdm(total=len(records), desc="asking", disable=None) as bar:
        examination = examine(records, ready(bundle), on_photo=lambda _: bar.update())
    figures = examination.figures()
    typer.echo(json.dumps(figures, indent=1) if to == "json" else to_text(figures))
