"""Model cards, written from a bundle's manifest alone: no figure in them is typed by hand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from camtrace.calibration import CAREFUL_RATE, Calibration
from camtrace.manifest import Camera, Manifest
from camtrace.types import BundleId


def built_card(manifest: Manifest) -> str:
    """Markdown card of a bundle that the lab built, with the figures of its folds."""
    sections = [
        f"# {manifest.name} {manifest.version}",
        f"Names one of {len(manifest.cameras)} camera models from the pixels of a photo: {manifest.patch_count} patches of "
        f"{manifest.patch_size}x{manifest.patch_size} pixels, a small network, three linear classifiers (for untouched photos, for "
        "those saved again, and for all) behind a gate. It says how probable its answer is, and answers with a family of sister "
        "models, a maker or `unknown` where it cannot tell more. Most photos in the world come from none of these cameras: `unknown` "
        "should be the common answer. "
        "`camtrace enroll` adds cameras.",
        *_protocol(manifest),
        *_closed_set(manifest),
        *_degraded(manifest),
        *_few_shot(manifest),
        *(_modes(manifest) if manifest.calibration else ["Too few photos were held out to calibrate it: it gives no probability."]),
        *(_probabilities(manifest, manifest.calibration) if manifest.calibration else ()),
        *_comparison(manifest),
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
        markdown_table(
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
    copies = (
        f"; then, as `{plan['mishap_net']}`, {plan['mishap_steps']} steps of {plan['mishap_real']} and {plan['mishap_made']}, half of "
        "them degraded copies"
        if plan["mishap_steps"]
        else ""
    )
    bits = " It counts in 8 bits, in the folds as in the bundle." if plan["quantised"] else ""
    yield (
        f"Net `{plan['net']}`: {plan['steps']} steps of {plan['batch_real']} real patches{' ' + made if plan['batch_made'] else ''}"
        f"{copies}.{bits} The classifiers on its features are taught on the photos and on degraded copies of them (half only saved "
        "again as JPEG 60 to 98; half resized 0.5 to 2, cropped, gamma, noise, one step or two). Patches are cut on the JPEG grid "
        "found in the pixels."
    )


def _closed_set(manifest: Manifest) -> Iterable[str]:
    columns = ("all", "unseen device", "unseen scene")
    figures = manifest.accuracy
    yield "## Which camera, among those it knows"
    yield markdown_table(
        ["vote", *columns], ([way, *(_share(row[column]) for column in columns)] for way, row in figures["photos"].items())
    )
    yield (
        f"The maker is right in {_share(figures['maker'])}, a single patch in {_share(figures['patches'])}. These are shares of "
        f"photos whose best camera was the true one, whatever its probability. `{manifest.vote}` evidence is the "
        "default and what is calibrated."
    )
    if manifest.families:
        yield "Families of sister models, as the folds mistook them for each other: " + "; ".join(manifest.families) + "."


def _degraded(manifest: Manifest) -> Iterable[str]:
    figures = manifest.accuracy
    yield "## After a second saving, a resizing, a crop"
    yield markdown_table(
        ["what happened to the photo", "named rightly", "of the share for untouched photos"],
        ([state, _share(row["right"]), f"{row['of_native']:.0%}"] for state, row in figures["degraded"].items()),
    )


def _few_shot(manifest: Manifest) -> Iterable[str]:
    figures = manifest.accuracy
    yield "## Cameras it was never trained on, enrolled from a few photos"
    yield markdown_table(["photos each", "other photos named rightly"], ([n, _share(row)] for n, row in figures["few_shot"].items()))
    if "few_degraded" in figures:
        most = list(figures["few_shot"])[-1]
        rows = ([state, _share(row)] for state, row in figures["few_degraded"].items())
        yield markdown_table([f"after {most} untouched photos each, asked", "named rightly"], rows)
        yield f"With 7 photos each, all photos saved again at JPEG 90, references too: {_share(figures['few_saved_again'])}."
    yield (
        f"{len(figures['left_out'])} cameras, {manifest.training['left_out']} at a time, only the head fitted. They are those "
        "with the fewest devices (or scenes, where there is one device) in the data, and their reference and "
        "questioned photos may share these: "
        f"{', '.join(figures['left_out'])}."
    )


def _modes(manifest: Manifest) -> Iterable[str]:
    yield "## Modes, and unknown cameras"
    said = ("model right", "family right", "maker right", "model wrong", "family wrong", "maker wrong", "unknown")
    yield markdown_table(
        ["mode", "photos of", *said],
        (
            [mode, f"cameras it {'knows' if side == 'known' else 'does not know'}", *(f"{shares[what]:.1%}" for what in said)]
            for mode, row in manifest.accuracy["modes"].items()
            for side, shares in row.items()
        ),
    )
    yield (
        f"Each fold judged by what the others set. `careful` is set so that {CAREFUL_RATE:.2%} of shots of unknown cameras (most of "
        "them degraded) would be named; `balanced` "
        "names what is more likely than not; `guess` always names a model. Of a camera it does not know every name counts as wrong "
        "here, though the maker may be right."
    )


def _probabilities(manifest: Manifest, calibration: Calibration) -> Iterable[str]:
    figures = manifest.accuracy["calibration"]
    yield "## Probabilities and likelihood ratios"
    yield (
        f"Calibrated on {calibration.photos} held-out photos of known cameras and {calibration.foreign} of cameras left out, each "
        "also degraded and with fewer patches. A probability holds where half of the photos asked about come from cameras it "
        "knows; "
        "a likelihood ratio is of this camera against any other, known or not, and is cut off at "
        f"10^{calibration.limit:.1f}."
    )
    yield markdown_table(
        ["photos", "expected calibration error", "Cllr", "known against unknown, AUROC", "unknown let through at 95 % of known"],
        ([state, *(f"{row[what]:.3f}" for what in ("ece", "cllr", "auroc", "fpr_at_95_tpr"))] for state, row in figures.items()),
    )
    yield "![reliability](reliability.svg) ![Tippett plot](tippett.svg)"
    yield "Each fold judged by the calibration of the others; photos of known and of unknown cameras count the same."


def _comparison(manifest: Manifest) -> Iterable[str]:
    figures = manifest.accuracy["comparison"]
    yield "## Two photos: one camera model or two (`camtrace compare`)"
    yield markdown_table(
        ["photos", "pairs", "of one model", "AUROC", "equal error", "Cllr"],
        (
            [name, row["pairs"], row["same"], f"{row['auroc']:.3f}", f"{row['equal_error']:.1%}", f"{row['cllr']:.3f}"]
            for name, row in figures.items()
        ),
    )
    yield (
        "Pairs of photos of cameras left out of each fold, `degraded` where at least one of the two is; pairs of one model may share "
        "device or scene. The line that turns scores into likelihood ratios comes from the folds, the scores from the net that ships."
    )


def _limits(manifest: Manifest) -> Iterable[str]:
    yield "## What it cannot do"
    yield (
        "- A name is no proof: see the shares of wrong names above.\n"
        "- Photos that were re-saved strongly, resized, filtered or sent through a messenger lose the traces it reads.\n"
        "- It tells models apart, not two devices of one model. Sister models of one maker are its commonest mistakes:"
    )
    yield markdown_table(["true camera", "named", "photos"], manifest.accuracy["confusions"])


def _camera_table(cameras: Iterable[Camera]) -> str:
    return markdown_table(
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


def markdown_table(head: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """A table in Markdown, without a line break at its end."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
