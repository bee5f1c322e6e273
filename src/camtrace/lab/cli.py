"""`camtrace lab`: get data sets, train, measure, reproduce the papers, and build bundles."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, cast, get_args

import torch
import typer
from tqdm import tqdm

from camtrace.identification import ready
from camtrace.lab.baselines import run_baselines
from camtrace.lab.build import Plan, build, measure
from camtrace.lab.cli_data import app as data_commands
from camtrace.lab.datasets import LAYOUTS, read_dataset
from camtrace.lab.examine import examine, to_text
from camtrace.lab.experiments import EXPERIMENTS, Settings, run_experiment
from camtrace.lab.methods import METHODS, Method
from camtrace.lab.methods.method import HeadKind
from camtrace.lab.protocols import LEAKY, PROTOCOLS, Split
from camtrace.lab.recipe import RECIPES, Precision
from camtrace.lab.runs import list_runs, to_table
from camtrace.lab.single import make_fabric, run_method
from camtrace.lab.store import PER_PHOTO
from camtrace.lab.trial import Budget, Material, Trial
from camtrace.types import CamtraceError

app = typer.Typer(
    help="Get data sets, train, measure, and reproduce the published experiments.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.add_typer(data_commands)

Data = Annotated[Path, typer.Argument(help="Data set: a published one, a manifest (photos.csv), or folders CAMERA/[DEVICE/]PHOTO.")]
LayoutOption = Annotated[
    str | None, typer.Option("--layout", help=f"How it lies on disk, if not as it looks: {', '.join(sorted(LAYOUTS))}.")
]
WorkOption = Annotated[Path | None, typer.Option("--work", help="Folder for caches, shared by all that use it; OUT/work if not given.")]
StepsOption = Annotated[int | None, typer.Option(min=1, help="Batches to train for; the recipe's own number if not given.")]
PrecisionOption = Annotated[str | None, typer.Option("--precision", help="32-true or bf16-mixed; the recipe's own if not given.")]
DEFAULT = Plan()


@app.callback()
def _options(threads: Annotated[int, typer.Option(min=0, help="Threads for PyTorch; 0 = its own choice.")] = 0) -> None:
    if threads:
        torch.set_num_threads(threads)


@app.command()
def train(
    data: Data,
    out: Annotated[Path, typer.Option("--out", help="Folder of the run; a run that was cut short goes on there.")],
    method: Annotated[str, typer.Option(help=f"One of {', '.join(METHODS)}.")] = "patch-cnn",
    layout: LayoutOption = None,
    protocol: Annotated[str, typer.Option(help=f"How to split: one of {', '.join(PROTOCOLS)}.")] = "device-scene",
    split: Annotated[int, typer.Option(min=0, help="Which of the random splits.")] = 0,
    recipe: Annotated[str | None, typer.Option(help=f"One of {', '.join(RECIPES)}; the method's own if not given.")] = None,
    head: Annotated[str | None, typer.Option(help="svm, fisher or softmax; the method's own if not given.")] = None,
    weights: Annotated[str | None, typer.Option(help="Pretrained start: imagenet (fetched if need be) or none.")] = None,
    begin: Annotated[Path | None, typer.Option(help="Run folder of a net to fine-tune.")] = None,
    frozen: Annotated[bool, typer.Option("--frozen", help="With --begin: train only the classifier.")] = False,
    steps: StepsOption = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Patches in a batch, over all processes.")] = None,
    validate_every: Annotated[int, typer.Option(min=1, help="Batches between validations, each of which keeps a checkpoint.")] = 500,
    precision: PrecisionOption = None,
    patience: Annotated[int | None, typer.Option(min=1, help="Stop after so many validations without a smaller loss.")] = None,
    seed: int = 0,
    work: WorkOption = None,
    accelerator: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    devices: Annotated[int, typer.Option(min=1, help="Processes on each machine: GPUs, or CPU processes.")] = 1,
    nodes: Annotated[int, typer.Option(min=1, help="Machines; start the same command on each with torchrun.")] = 1,
    wandb: Annotated[bool, typer.Option("--wandb", help="Log to Weights & Biases too; WANDB_MODE=offline keeps it here.")] = False,
) -> None:
    """Train one method on one split, measure it on the test photos, and leave a run folder with a bundle."""
    if frozen and begin is None:
        raise typer.BadParameter("--frozen needs --begin: features that nobody trained are of no use")
    chosen = _choose(method, recipe=recipe, head=head, weights=weights, precision=precision)
    material = Material(read_dataset(data, layout=layout), work or out / "work")
    drawn = _draw(material, protocol, split, seed)
    fabric = make_fabric(chosen.recipe.precision, accelerator=accelerator, devices=devices, nodes=nodes) if chosen.recipe else None
    budget = Budget(steps, batch, validate_every, patience=patience, seed=seed)
    figures = run_method(Trial(material, chosen, drawn, budget, weights, begin, frozen, fabric, wandb, home=out), name=out.name)
    if figures is not None:
        typer.echo(json.dumps(figures, indent=1))


def _choose(name: str, *, recipe: str | None, head: str | None, weights: str | None, precision: str | None) -> Method:
    """The method with what the options change of it."""
    _check("method", name, METHODS)
    method = METHODS[name]
    choices: list[tuple[str, str | None, Iterable[str]]] = [("recipe", recipe, RECIPES), ("head", head, method.heads)]
    for option, value, allowed in [*choices, ("weights", weights, method.pretrained)]:
        _check(option, value, allowed)
    if method.recipe is None:
        if recipe:
            raise typer.BadParameter(f"--recipe: {name} has nothing to train")
        return replace(method, head=cast("HeadKind", head or method.head))
    chosen = RECIPES[recipe] if recipe else method.recipe
    chosen = replace(chosen, precision=_precision(precision) or chosen.precision)
    return replace(method, recipe=chosen, head=cast("HeadKind", head or method.head))


def _draw(material: Material, protocol: str, number: int, seed: int) -> Split:
    _check("protocol", protocol, PROTOCOLS)
    if protocol in LEAKY:
        typer.echo(f"{protocol} leaks: photos of one scene and device are on both sides, and figures flatter", err=True)
    return PROTOCOLS[protocol](material.records, count=number + 1, seed=seed)[number]


@app.command()
def runs(
    folder: Annotated[Path, typer.Argument(help="Folder that holds run folders, at any depth.")] = Path(),
    to: Annotated[str, typer.Option("--to", help="text or json.")] = "text",
) -> None:
    """List training runs and compare what they were given and what came out."""
    _check("to", to, ("text", "json"))
    found = list_runs(folder)
    if not found:
        raise CamtraceError(f"{folder}: no training run below it; give what `camtrace lab train --out` wrote, or a folder above")
    typer.echo(json.dumps(found, indent=1) if to == "json" else to_table(found))


@app.command()
def reproduce(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(EXPERIMENTS)}.")],
    data: Annotated[Path, typer.Option("--data", help="Data set, as for `train`.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for figures, numbers and page.")],
    target: Annotated[Path | None, typer.Option("--target", help="Second data set, for table2.")] = None,
    layout: LayoutOption = None,
    work: WorkOption = None,
    methods: Annotated[list[str] | None, typer.Option("--method", help="NAME or NAME:HEAD; may be repeated.")] = None,
    splits: Annotated[int, typer.Option(min=1, help="Random splits; the paper has 10.")] = 10,
    left_out: Annotated[int, typer.Option(min=2, help="Cameras that fig4 leaves out.")] = 10,
    steps: Annotated[list[str] | None, typer.Option("--steps", help="Batches to train for, N or METHOD=N; may be repeated.")] = None,
    batch: Annotated[list[str] | None, typer.Option("--batch", help="Patches in a batch, N or METHOD=N; may be repeated.")] = None,
    validate_every: Annotated[int, typer.Option(min=1, help="Batches between validations.")] = 500,
    precision: PrecisionOption = None,
    weights: Annotated[str | None, typer.Option(help="Start of EfficientNetV2-M: imagenet (fetched if need be) or none.")] = None,
    seed: int = 0,
) -> None:
    """Reproduce a published experiment: figures, numbers with intervals, and one page with the paper's beside them."""
    _check("NAME", name, EXPERIMENTS)
    _check_all("method", [method.partition(":")[0] for method in methods or []], METHODS)
    (all_steps, own_steps), (all_batches, own_batches) = _numbers("steps", steps or []), _numbers("batch", batch or [])
    budget = Budget(all_steps, all_batches, validate_every, precision=_precision(precision), seed=seed)
    own = {name: (own_steps.get(name), own_batches.get(name)) for name in {*own_steps, *own_batches}}
    work = work or out / "work"
    material, second = Material(read_dataset(data, layout=layout), work), None
    if target:
        second = Material(read_dataset(target), work / "target")
    typed, today = f"camtrace {' '.join(sys.argv[1:])}", datetime.now(UTC).date().isoformat()
    settings = Settings(material, out, second, splits, left_out, seed, tuple(methods or ()), budget, own, weights, typed, today)
    run_experiment(name, settings)
    typer.echo(f"{out / name}.html")


def _numbers(option: str, given: list[str]) -> tuple[int | None, dict[str, int]]:
    """`4000` for all methods, `METHOD=300` for one."""
    everywhere, of_method = None, {}
    for text in given:
        method, _, number = text.rpartition("=")
        if not number.isdigit() or not int(number) or (method and method not in METHODS):
            raise typer.BadParameter(f"--{option} {text!r} is not N or METHOD=N with a method of {', '.join(METHODS)}")
        if method:
            of_method[method] = int(number)
        else:
            everywhere = int(number)
    return everywhere, of_method


@app.command("build")
def build_bundle(
    data: Data,
    work: Annotated[Path, typer.Option("--work", help="Folder for caches and checkpoints; a build that was cut short goes on there.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Bundle folder to write; without it the folds are measured and that is all.")
    ] = None,
    name: Annotated[str, typer.Option(help="Name of the bundle.")] = "default",
    version: Annotated[str, typer.Option(help="Version of the bundle.")] = "1",
    net: Annotated[str, typer.Option(help="A method that is trained.")] = DEFAULT.net,
    recipe: Annotated[str, typer.Option(help=f"One of {', '.join(RECIPES)}.")] = DEFAULT.recipe,
    steps: int = DEFAULT.steps,
    batch_real: Annotated[int, typer.Option(help="Patches of real photos in a batch.")] = DEFAULT.batch_real,
    batch_made: Annotated[int, typer.Option(help="Patches of made cameras in a batch; 0 = real ones alone.")] = DEFAULT.batch_made,
    made_cameras: Annotated[int, typer.Option(help="How many made cameras.")] = DEFAULT.made_cameras,
    made_photos: Annotated[int, typer.Option(help="Photos by each made camera.")] = DEFAULT.made_photos,
    folds: Annotated[int, typer.Option(min=1, help="Folds to measure with.")] = DEFAULT.folds,
    left_out: Annotated[int, typer.Option(min=2, help="Cameras that a fold leaves out whole.")] = DEFAULT.left_out,
    copies: Annotated[int, typer.Option(min=1, help="Degraded copies of each real photo.")] = DEFAULT.copies,
    mishap_steps: Annotated[int, typer.Option(help="Steps on photos and their copies, after --steps.")] = DEFAULT.mishap_steps,
    mishap_net: Annotated[str, typer.Option(help="What the net becomes for these: the same, or a wider one.")] = DEFAULT.mishap_net,
    patches: Annotated[int, typer.Option(min=1, max=PER_PHOTO, help="Patches of a photo that are asked.")] = DEFAULT.patches,
    quantised: Annotated[bool, typer.Option(help="Whether the net counts in 8 bits, in folds and bundle.")] = DEFAULT.quantised,
    seed: int = DEFAULT.seed,
    baselines: Annotated[
        Path | None, typer.Option("--baselines", help="Also measure the published methods on the first fold; a folder for the table.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the bundle that is at --out.")] = False,
) -> None:
    """Build a bundle to release: honest folds first; with --out, then train on everything and write it with its card."""
    for option, value, allowed in (("net", net, METHODS), ("mishap-net", mishap_net, METHODS), ("recipe", recipe, RECIPES)):
        _check(option, value, allowed)
    first = (net, recipe, steps, batch_real, batch_made, made_cameras, made_photos, copies, mishap_steps, folds, left_out, seed)
    plan = Plan(*first, patches=patches, mishap_net=mishap_net, quantised=quantised)
    figures = measure(data, work, plan) if out is None else build(data, out, work, plan, name=name, version=version, force=force)
    if baselines is not None:  # after the folds, whose degraded photos it asks about
        run_baselines(data, work, plan, baselines)
    typer.echo(json.dumps(figures, indent=1))


@app.command()
def evaluate(
    data: Data,
    bundle: Annotated[Path | None, typer.Option("--bundle", help="Bundle folder; the one that ships if not given.")] = None,
    layout: LayoutOption = None,
    to: Annotated[str, typer.Option("--to", help="text or json.")] = "text",
) -> None:
    """Ask a bundle about photos whose cameras are known; photos that trained it flatter it."""
    _check("to", to, ("text", "json"))
    records = read_dataset(data, layout=layout)
    with tqdm(total=len(records), desc="asking", disable=None) as bar:
        examination = examine(records, ready(bundle), on_photo=lambda _: bar.update())
    figures = examination.figures()
    typer.echo(json.dumps(figures, indent=1) if to == "json" else to_text(figures))


def _precision(name: str | None) -> Precision | None:
    _check("precision", name, get_args(Precision))
    return cast("Precision | None", name)


def _check_all(option: str, values: Iterable[str], allowed: Iterable[str]) -> None:
    for value in values:
        _check(option, value, allowed)


def _check(option: str, value: str | None, allowed: Iterable[str]) -> None:
    """Wrong usage where a choice is none of those there are; None stands for no choice."""
    if value is not None and value not in allowed:
        raise typer.BadParameter(f"{'--' if option.islower() else ''}{option} {value!r} is not one of {', '.join(allowed) or 'none'}")
