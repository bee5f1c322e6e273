"""Model cards, written from a bundle's manifest alone: no figure in them is typed by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from camtrace.bundle import Camera, Manifest
from camtrace.types import BundleId


def built_card(manifest: Manifest) -> str:
    """Markdown card of a bundle that the lab trained, with the figures of its folds."""
    sections = [
        f"# {manifest.name} {manifest.version}",
        f"Names one of {len(manifest.cameras)} camera models from the pixels of a photo: {manifest.patch_count} patches of "
        f"{manifest.patch_size}x{manifest.patch_size} pixels, a small network, one-vs-one linear SVMs, a vote. Most photos in the "
        "world come from none of these cameras: the answer is then meant to be `unknown`. `camtrace enroll` adds cameras.",
        *_protocol(manifest),
        *_closed_set(manifest),
        *_few_shot(manifest),
        *_unknown(manifest),
        *_limits(manifest),
        "## Camera by camera",
        _camera_table(manifest.cameras),
    ]
    return "\n\n".join(sections) + "\n"


def trained_card(manifest: Manifest) -> str:
    """Markdown card of a bundle that one run of the lab left, measured on the one split that it was trained on."""
    figures, training = manifest.accuracy, manifest.training
    refused = any(manifest.thresholds.values())
    sections = [
        f"# {manifest.name} {manifest.version}",
        f"`{training['method']}` ({training['source']}), taught on {training['photos']} photos of {len(manifest.cameras)} cameras, "
        f"seed {training['seed']}, {training['date']}. One run of `camtrace lab train`, not a released bundle.",
        f"Measured on {figures['tested']} test photos, protocol `{figures['protocol']}`, split {figures['split']}; "
        "95 % intervals over photos.",
        _table(
            ["photos right by majority", "photos right by summed evidence", "single patches right"],
            [[_share(figures["photos"]["majority"]), _share(figures["photos"]["summed"]), _share(figures["patches"])]],
        ),
        "The threshold for `unknown` lies where as many test photos are refused as would be named had their camera never been taught."
        if refused
        else "No threshold for `unknown` was measured: it always names a camera.",
        _camera_table(manifest.cameras),
    ]
    return "\n\n".join(sections) + "\n"


def enrolled_card(manifest: Manifest, base: BundleId, warnings: Sequence[str]) -> str:
    """Markdown card of a bundle that `enroll` wrote."""
    sections = [
        f"# {manifest.name}",
        f"Enrolled on the features of {base.name} {base.version}; {len(manifest.cameras)} cameras. A photo from any other camera "
        "should be answered `unknown`, and sometimes is not: see `thresholds` in the manifest. Figures of cameras that came with the "
        "base are those measured there.",
        "\n".join(f"- Warning: {warning}" for warning in warnings),
        _camera_table(manifest.cameras),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _protocol(manifest: Manifest) -> Iterable[str]:
    figures, plan = manifest.accuracy, manifest.training
    yield "## How it was measured"
    yield (
        f"Trained on {plan['data']}, seed {plan['seed']}, {plan['date']}. The figures come from {plan['folds']} folds; each trained "
        f"a net from nothing, without the photos it was then asked about: {figures['tested']} photos of devices (where a camera had "
        f"several) or scenes (where it had one) never seen in training, and {figures['foreign']} photos "
        f"of {len(figures['left_out'])} cameras left out whole. No photo, no scene, and no device of a camera with several was on both "
        "sides. The net that ships was then trained by the same recipe on all photos. Intervals are 95 %, bootstrapped over photos."
    )
    made = (
        f"and {plan['batch_made']} patches by {plan['made_cameras']} made cameras, each of which shot {plan['made_photos']} of the "
        "training scenes (the real photos, averaged 2x down in linear light), so that content cannot explain the label"
    )
    yield (
        f"Net `{plan['net']}`, recipe `{plan['recipe']}`: {plan['steps']} steps of {plan['batch_real']} real patches"
        f"{' ' + made if plan['batch_made'] else ''}. SVMs: C = {plan['c']}."
    )


def _closed_set(manifest: Manifest) -> Iterable[str]:
    columns = ("all", "unseen device", "unseen scene", "maker")
    figures = manifest.accuracy
    yield "## Which camera, among those it knows"
    yield _table(
        ["vote", "all", "unseen device", "unseen scene", "maker right"],
        ([way, *(_share(row[column]) for column in columns)] for way, row in figures["photos"].items()),
    )
    yield (
        f"A single patch votes rightly in {_share(figures['patches'])}. These are shares of photos whose best camera was the true "
        f"one, before the threshold for unknown. `{manifest.vote}` is the default way of voting."
    )


def _few_shot(manifest: Manifest) -> Iterable[str]:
    figures = manifest.accuracy
    yield "## Cameras it was never trained on, enrolled from a few photos"
    yield _table(["photos each", "other photos named rightly"], ([n, _share(row)] for n, row in figures["few_shot"].items()))
    yield (
        f"{len(figures['left_out'])} cameras, {manifest.training['left_out']} at a time, only the SVMs fitted. They are those "
        "with the fewest devices (or scenes, where there is one device) in the data, and their reference and "
        "questioned photos may share these: "
        f"{', '.join(figures['left_out'])}."
    )


def _unknown(manifest: Manifest) -> Iterable[str]:
    unknown = manifest.accuracy["unknown"][manifest.vote]
    yield "## Unknown cameras"
    yield (
        "An answer is given where the evidence reaches a threshold, set where as many known photos are refused as unknown ones named; "
        "here each fold is judged by the threshold that the others set."
    )
    yield _table(
        ["photos of", "named rightly", "named wrongly", "answered `unknown`"],
        [
            ["cameras it knows", *(f"{unknown[f'known {what}']:.0%}" for what in ("named rightly", "named wrongly", "refused"))],
            ["cameras it does not know", "-", f"{unknown['unknown named']:.0%}", f"{1 - unknown['unknown named']:.0%}"],
        ],
    )
    yield f"AUROC of known against unknown: {unknown['auroc']:.2f}. Do not read a name as proof."


def _limits(manifest: Manifest) -> Iterable[str]:
    yield "## What it cannot do"
    yield (
        "- It gives no probability and no likelihood ratio yet: it is not calibrated.\n"
        "- Photos that were re-saved, resized, filtered or sent through a messenger lose the traces it reads; the figures above do "
        "not hold for them.\n"
        "- It tells models apart, not two devices of one model. Sister models of one maker are its commonest mistakes:"
    )
    yield _table(["true camera", "named", "photos"], manifest.accuracy["confusions"])


def _camera_table(cameras: Iterable[Camera]) -> str:
    return _table(
        ["camera", "photos taught", "named rightly", "tested on"],
        ([camera.name, camera.photos, measured(camera), camera.protocol] for camera in cameras),
    )


def measured(camera: Camera) -> str:
    """The accuracy of one camera in words."""
    return "not tested" if camera.accuracy is None else f"{camera.accuracy:.0%} of {camera.tested}"


def _share(interval: Sequence[float] | None) -> str:
    if interval is None:
        return "not tested"
    value, low, high = interval
    return f"{value:.1%} ({low:.1%} to {high:.1%})"


def _table(head: list[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
