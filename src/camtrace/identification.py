"""The main path: photo -> patches -> features -> votes -> verdict.

Follows Bondi et al., "First Steps Toward Camera Model Identification with Convolutional Neural Networks" (IEEE SPL 2017): a
photo is cut into 64x64 patches, a small network turns each into features, linear SVMs turn features into votes, and the votes of
all patches name the camera. What the paper lacks is the last step: saying "unknown" where the evidence does not suffice.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from camtrace.bundle import Bundle, load_bundle
from camtrace.claim import agrees
from camtrace.history import History, cut_patches, examine
from camtrace.photo import Source, describe, read_photo
from camtrace.types import UNKNOWN, Claim, Mode, Patches, Photo, PhotoError, Verdict, Votes, VotingWay
from camtrace.vote import Decision, decide

BundleLike = Bundle | str | os.PathLike[str] | None


@dataclass(frozen=True)
class Evidence:
    """A verdict and what it rests on; the rest is None where the photo could not be judged."""

    verdict: Verdict
    photo: Photo | None = None
    history: History | None = None
    patches: Patches | None = None
    votes: Votes | None = None  # of the patches, in their order


def identify(
    source: Source,
    *,
    bundle: BundleLike = None,
    patches: int | None = None,
    vote: VotingWay | None = None,
    mode: Mode = "balanced",
    name: str | None = None,
) -> Verdict:
    """Say which camera model took a photo.

    Parameters
    ----------
    source
        Path, bytes of a file, or binary stream.
    bundle
        A loaded bundle or its folder; the one that ships with camtrace if not given.
    patches
        How many patches are asked at most; the bundle's own number (64 for the default) if not given.
    vote
        `majority` or `summed`; the bundle's better one if not given, which is the one that is calibrated.
    mode
        What it takes to be named: `careful` hardly ever names a camera that the bundle does not know, `balanced` names what is more
        likely than not, `guess` always names a model.
    name
        What to call the photo in the verdict; its path by default.

    Returns
    -------
    Verdict
        Always: a photo that cannot be judged is reported in `status` and `reason`, not raised.

    Raises
    ------
    BundleError
        The bundle itself cannot be used.
    """
    return gather(source, bundle=bundle, patches=patches, vote=vote, mode=mode, name=name).verdict


def gather(
    source: Source,
    *,
    bundle: BundleLike = None,
    patches: int | None = None,
    vote: VotingWay | None = None,
    mode: Mode = "balanced",
    name: str | None = None,
) -> Evidence:
    """The verdict of `identify`, which has the same options, with the pixels, patches and votes that led to it."""
    bundle = ready(bundle)
    manifest = bundle.manifest
    photo = None
    try:
        photo = read_photo(source, name=name)
        history = examine(photo)
        chosen = cut_patches(photo, history, rule=manifest.rule, count=patches or manifest.patch_count, size=manifest.patch_size)
    except PhotoError as error:
        return Evidence(_not_judged(error, photo, name or describe(source), bundle))
    features = bundle.extract(chosen)
    votes = bundle.cast_votes(features)
    decision = _decide(bundle, votes, vote or manifest.vote, mode, bundle.nearness(features))
    return Evidence(_verdict(photo, history, decision, len(chosen), bundle), photo, history, chosen, votes)


def _decide(bundle: Bundle, votes: Votes, way: VotingWay, mode: Mode, nearness: float | None) -> Decision:
    """The decision by what the bundle knows of itself; only its own way of voting is calibrated."""
    manifest = bundle.manifest
    calibration = manifest.calibration if way == manifest.vote else None
    threshold = manifest.thresholds[way]
    return decide(votes, manifest.groups, way=way, threshold=threshold, mode=mode, calibration=calibration, nearness=nearness)


def _verdict(photo: Photo, history: History, decision: Decision, n_patches: int, bundle: Bundle) -> Verdict:
    named = bundle.manifest.called(decision.answer, decision.answer_level)
    return Verdict(
        source=photo.source,
        sha256=photo.sha256,
        status="ok",
        answer=decision.answer,
        answer_level=decision.answer_level,
        best=decision.best,
        reason="; ".join((decision.reason, *history.words())),
        ranking=decision.ranking,
        n_patches=n_patches,
        log10_lr=decision.log10_lr,
        claim=photo.claim,
        claim_agrees=agrees(photo.claim, decision.answer, level=decision.answer_level, cameras=named),
        bundle=bundle.id,
    )


def identify_many(
    sources: Iterable[Source],
    *,
    bundle: BundleLike = None,
    patches: int | None = None,
    vote: VotingWay | None = None,
    mode: Mode = "balanced",
) -> Iterator[Verdict]:
    """One verdict for each source, in the order given; a bad file never stops the others."""
    bundle = ready(bundle)
    for source in sources:
        yield identify(source, bundle=bundle, patches=patches, vote=vote, mode=mode)


def ready(bundle: BundleLike) -> Bundle:
    """A loaded bundle as it is, a folder loaded, nothing = the default bundle, loaded once."""
    if isinstance(bundle, Bundle):
        return bundle
    return _default_bundle() if bundle is None else load_bundle(bundle)


@cache
def _default_bundle() -> Bundle:
    return load_bundle()


def _not_judged(error: PhotoError, photo: Photo | None, name: str, bundle: Bundle) -> Verdict:
    return Verdict(
        source=name,
        sha256=photo.sha256 if photo else error.sha256,
        status=error.status,
        answer=UNKNOWN,
        answer_level="unknown",
        best=None,
        reason=str(error),
        ranking=(),
        n_patches=0,
        log10_lr=None,
        claim=photo.claim if photo else Claim(),
        claim_agrees=None,
        bundle=bundle.id,
    )
