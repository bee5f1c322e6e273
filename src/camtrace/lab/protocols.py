"""How splits are drawn: the protocols by name in PROTOCOLS (Bondi et al. 2017, section IV-A); what a split promises is in `splits`.

All protocols but "device-or-scene" and "random-patch" follow one rule. It fits sets where all devices shot the same scenes (Dresden,
FloreView, FODB) as well as photos from many owners, where each device has scenes of its own; nobody has to say which it is:

1. every device may be on some sides: a device held out on one, the only device of a camera on all that the protocol allows;
2. every scene is on one side, drawn by the SHARES of photos among the sides where its devices may be; a scene of one camera is
   drawn within that camera, the others all together, and what was asked about least comes first;
3. a photo is on the side of its scene if its device may be there, and on none otherwise;
4. photos of a camera that has none to train on are not asked about.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from camtrace import plugins
from camtrace.lab.datasets import Record
from camtrace.lab.device_or_scene import LEFT_OUT_PHOTOS, splits_by_device_and_scene
from camtrace.lab.splits import (
    LEAKY,
    PROMISES,
    Side,
    Split,
    check_disjoint,
    check_split,
    device_or_scene_of,
    has_several_devices,
    load_splits,
    save_splits,
)
from camtrace.types import CamtraceError

__all__ = [
    "LEAKY",
    "PROTOCOLS",
    "SHARES",
    "Split",
    "check_disjoint",
    "check_split",
    "device_or_scene_of",
    "draw_device",
    "draw_device_scene",
    "draw_leave_cameras_out",
    "draw_random_patch",
    "draw_random_photo",
    "draw_scene",
    "has_several_devices",
    "load_splits",
    "patch_side",
    "save_splits",
    "splits_by_device_and_scene",
]

SHARES = (0.75, 0.12, 0.13)
"""Of the photos that may be on all sides: train, validation, test. As the paper's 62, 10 and 11 of 83 scenes."""

TRIES = 20
"""Draws before a split counts as impossible: in a small set a device may never have shot the scenes drawn."""

_MOST: dict[Side, float] = {"left_out": 0.6, "test": 0.6, "validation": 0.8}
"""Of the photos of a group, held out up to and with this side, so that something is left to learn from."""

_ORDER: tuple[Side, ...] = ("train", "left_out", "test", "validation")


def draw_device_scene(
    records: Sequence[Record],
    *,
    count: int,
    seed: int,
    shares: tuple[float, float, float] = SHARES,
    single_device: Literal["scenes", "train-only"] = "scenes",
    validation_device: bool = True,
) -> list[Split]:
    """Draw `count` splits as the paper does: asked are devices never seen, in scenes never seen.

    One device of every camera that has several is held out for the test and, where there are three, another one for validation
    (`validation_device=False`: validate on the devices that train, in other scenes). A camera with one device is asked about
    unseen scenes only, or not at all (`single_device`): report the two apart, `has_several_devices` tells them.

    Raises
    ------
    CamtraceError
        No such split is possible; the message says what is missing.
    """
    if single_device not in ("scenes", "train-only"):
        raise CamtraceError(f'single_device {single_device!r}; expected "scenes" or "train-only"')
    rule = _Rule(
        protocol="device-scene",
        scenes=[record.scene for record in records],
        shares=shares,
        one_device=("test", "validation") if validation_device else ("test",),
        free=("train", "validation", "test") if single_device == "scenes" else ("train", "validation"),
        wanted="a camera with several devices" + (" or several scenes" if single_device == "scenes" else ""),
    )
    return _draw_splits(records, rule, count=count, seed=seed)


def draw_device(
    records: Sequence[Record], *, count: int, seed: int, shares: tuple[float, float, float] = SHARES, validation_device: bool = True
) -> list[Split]:
    """Draw `count` splits that ask about devices never seen, in scenes that may have been seen; errors as `draw_device_scene`.

    A camera with one device only trains and validates. Validation takes scenes of the training devices where no device can be
    spared.
    """
    rule = _Rule(
        protocol="device",
        scenes=[f"{record.device}\n{record.scene}" for record in records],  # another device's photos of a scene are another scene
        shares=shares,
        one_device=("test", "validation") if validation_device else ("test",),
        free=("train", "validation"),
        wanted="a camera with several devices",
    )
    return _draw_splits(records, rule, count=count, seed=seed)


def draw_scene(records: Sequence[Record], *, count: int, seed: int, shares: tuple[float, float, float] = SHARES) -> list[Split]:
    """Draw `count` splits that ask about scenes never seen, by devices that may have been seen; errors as `draw_device_scene`."""
    scenes = [record.scene for record in records]
    rule = _Rule(protocol="scene", scenes=scenes, shares=shares, wanted="a camera with several scenes")
    return _draw_splits(records, rule, count=count, seed=seed)


def draw_random_photo(records: Sequence[Record], *, count: int, seed: int, shares: tuple[float, float, float] = SHARES) -> list[Split]:
    """Draw `count` LEAKY splits: photos at random within each camera, scenes and devices on all sides."""
    photos = [record.path.as_posix() for record in records]
    rule = _Rule(protocol="random-photo", scenes=photos, shares=shares, wanted="a camera with several photos")
    return _draw_splits(records, rule, count=count, seed=seed)


def draw_random_patch(records: Sequence[Record], *, count: int, seed: int) -> list[Split]:
    """`count` LEAKY splits with every photo on both sides, as the second paper's: its patches are dealt out by `patch_side`."""
    every = tuple(range(len(records)))
    return [Split(every, (), every, (), "random-patch", seed, number) for number in range(count)]


def patch_side(n_patches: int, *, seed: int, share: float, number: int = 0) -> NDArray[np.bool_]:
    """(n_patches,) which patches of a "random-patch" split are asked about: `share` of them at random, the others teach.

    One call deals out all patches of a store, with the split's `seed` and `number`. To validate, deal out the patches that teach
    once more with another seed.
    """
    if not 0 < share < 1:
        raise CamtraceError(f"a share of {share} of the patches leaves one side empty; expected a number between 0 and 1")
    asked = np.arange(n_patches) < round(share * n_patches)
    return np.random.default_rng([seed, number]).permutation(asked)


def draw_leave_cameras_out(
    records: Sequence[Record], *, count: int, seed: int, left_out: int = 10, shares: tuple[float, float, float] = SHARES
) -> list[Split]:
    """Draw `count` splits for transfer: `left_out` cameras stay unseen, the others train and validate; nothing is tested.

    Cameras with fewer than LEFT_OUT_PHOTOS photos always train. Scenes that cameras on both sides shot are dealt out too, the third
    of the `shares` to the cameras left out, so that no scene is on two sides; in a set where all cameras shot the same scenes they
    so keep that share of their photos. Errors as `draw_device_scene`.
    """
    if left_out < 1:
        raise CamtraceError(f"protocol leave-cameras-out: {left_out} cameras to leave out; expected 1 or more")
    rule = _Rule(
        protocol="leave-cameras-out",
        scenes=[record.scene for record in records],
        shares=shares,
        one_device=("validation",),
        free=("train", "validation"),
        left_out=left_out,
        wanted=f"{left_out} cameras to leave out, with {LEFT_OUT_PHOTOS} photos or more, and at least two others",
    )
    return _draw_splits(records, rule, count=count, seed=seed)


@dataclass(frozen=True)
class _Rule:
    """What a protocol holds together, and where its devices may be."""

    protocol: str
    scenes: Sequence[str]  # (n_records,) what is on one side as a whole
    shares: tuple[float, float, float]
    wanted: str  # what the set must have, for the message
    one_device: tuple[Side, ...] = ()  # each takes one device of every camera that can spare one
    free: tuple[Side, ...] = ("train", "validation", "test")  # for the other devices, but for sides that took one of this camera
    left_out: int = 0


def _draw_splits(records: Sequence[Record], rule: _Rule, *, count: int, seed: int) -> list[Split]:
    """Splits one after the other: the first of many are the same as few."""
    if min(rule.shares) < 0 or min(rule.shares[0], rule.shares[2]) <= 0 or not abs(sum(rule.shares) - 1) < 1e-6:
        raise CamtraceError(f"shares {rule.shares}; expected those of train, validation (may be 0) and test, with the sum 1")
    rng = np.random.default_rng(seed)
    splits: list[Split] = []
    for number in range(count):
        drawn = (_draw_sides(records, rule, splits, rng) for _ in range(TRIES))
        sides = next((sides for sides in drawn if _is_complete(records, rule, sides)), None)
        if sides is None:
            raise CamtraceError(
                f"protocol {rule.protocol}: no split has photos on all sides; {_missing(records, rule)}; "
                "take more photos, or another --protocol"
            )
        split = Split(**{side: tuple(sides[side]) for side in _ORDER}, protocol=rule.protocol, seed=seed, number=number)
        check_split(records, split)
        splits.append(split)
    return splits


def _is_complete(records: Sequence[Record], rule: _Rule, sides: Mapping[Side, list[int]]) -> bool:
    out = {records[index].camera for index in sides["left_out"]}
    return bool(sides["train"]) and len(out) == rule.left_out and bool(rule.left_out or sides["test"])


def _missing(records: Sequence[Record], rule: _Rule) -> str:
    cameras = {record.camera for record in records}
    devices, scenes = (
        Counter(camera for camera, _ in pairs)
        for pairs in ({(record.camera, record.device) for record in records}, {(record.camera, record.scene) for record in records})
    )
    return (
        f"wanted {rule.wanted}; found {len(records)} photos of {len(cameras)} cameras, {sum(n > 1 for n in devices.values())} of them "
        f"with several devices and {sum(n > 1 for n in scenes.values())} with several scenes"
    )


def _draw_sides(records: Sequence[Record], rule: _Rule, before: Sequence[Split], rng: np.random.Generator) -> dict[Side, list[int]]:
    """One draw: the records on each side. `before` are the splits drawn already."""
    may = _sides_of_devices(records, rule, before, rng)
    on = _sides_of_scenes(records, rule, may, _turns(before, rule.scenes), rng)
    sides: dict[Side, list[int]] = {side: [] for side in _ORDER}
    for index, (record, scene) in enumerate(zip(records, rule.scenes, strict=True)):
        if on[scene] in may[record.device]:
            sides[on[scene]].append(index)
    taught = {records[index].camera for index in sides["train"]}
    asked: tuple[Side, ...] = ("test", "validation")
    return sides | {side: [index for index in sides[side] if records[index].camera in taught] for side in asked}


def _sides_of_devices(
    records: Sequence[Record], rule: _Rule, before: Sequence[Split], rng: np.random.Generator
) -> dict[str, tuple[Side, ...]]:
    """The sides that each device may be on."""
    cameras: dict[str, Counter[str]] = defaultdict(Counter)
    for record in records:
        cameras[record.camera][record.device] += 1
    out = _cameras_out(cameras, rule, _turns(before, [record.camera for record in records]), rng)
    turns = _turns(before, [record.device for record in records])
    may: dict[str, tuple[Side, ...]] = {}
    for camera, devices in sorted(cameras.items()):
        if camera in out:
            may |= dict.fromkeys(devices, ("left_out",))
            continue
        held = _hold_out(devices, {side: 0.0 for side in rule.one_device if side != "validation" or rule.shares[1]}, turns, rng)
        rest = tuple(side for side in rule.free if side not in held.values())
        may |= {device: (held[device],) if device in held else rest for device in devices}
    return may


def _cameras_out(cameras: Mapping[str, Counter[str]], rule: _Rule, turns: Counter[str], rng: np.random.Generator) -> list[str]:
    if not rule.left_out:
        return []
    enough = [camera for camera, devices in cameras.items() if devices.total() >= LEFT_OUT_PHOTOS]
    if len(enough) < rule.left_out or len(cameras) < rule.left_out + 2:
        raise CamtraceError(
            f"protocol {rule.protocol}: wanted {rule.wanted}; found {len(cameras)} cameras, {len(enough)} of them with so many photos"
            "; take more photos, or another --protocol"
        )
    return _in_turn(enough, turns, rng)[: rule.left_out]


def _sides_of_scenes(
    records: Sequence[Record], rule: _Rule, may: Mapping[str, tuple[Side, ...]], turns: Counter[str], rng: np.random.Generator
) -> dict[str, Side]:
    """The side of each scene."""
    cameras: dict[str, set[str]] = defaultdict(set)
    possible: dict[str, set[Side]] = defaultdict(set)
    for record, scene in zip(records, rule.scenes, strict=True):
        cameras[scene].add(record.camera)
        possible[scene].update(may[record.device])
    photos = Counter(rule.scenes)
    groups: dict[tuple[str, tuple[Side, ...]], dict[str, int]] = defaultdict(dict)
    for scene, own in cameras.items():
        camera = next(iter(own)) if len(own) == 1 else ""
        groups[camera, tuple(side for side in _ORDER if side in possible[scene])][scene] = photos[scene]
    _, validation, asked = rule.shares
    share = {"validation": validation, "test": asked, "left_out": asked}
    on: dict[str, Side] = {}
    for (_, (rest, *held)), sizes in sorted(groups.items()):
        on |= dict.fromkeys(sizes, rest) | _hold_out(sizes, {side: share[side] for side in held if share[side]}, turns, rng)
    return on


def _hold_out(sizes: Mapping[str, int], shares: Mapping[Side, float], turns: Counter[str], rng: np.random.Generator) -> dict[str, Side]:
    """Some names to each side in turn, until it has its share of the photos; a share of 0 is one name."""
    order = _in_turn(list(sizes), turns, rng)
    total, used = sum(sizes.values()), 0
    held: dict[str, Side] = {}
    for side, share in shares.items():
        start = used
        for name in order:
            if name not in held and used + sizes[name] <= _MOST[side] * total:
                held[name] = side
                used += sizes[name]
                if used - start >= share * total:
                    break
    return held


def _in_turn(names: Sequence[str], turns: Counter[str], rng: np.random.Generator) -> list[str]:
    """Names in random order, those that had fewer turns first."""
    order: list[str] = rng.permutation(sorted(names)).tolist()
    return sorted(order, key=lambda name: turns[name])


def _turns(splits: Sequence[Split], names: Sequence[str]) -> Counter[str]:
    """In how many splits photos with each name were asked about; `names` is (n_records,)."""
    return Counter(name for split in splits for name in {names[index] for index in (*split.test, *split.left_out)})


def _from_outside(found: object, label: str) -> Callable[..., list[Split]]:
    """A protocol of a plug-in: its splits name the promise that they keep, one of PROMISES, and are held to it."""
    draw = plugins.a_function(found, label)

    def checked(records: Sequence[Record], *, count: int, seed: int, **options: Any) -> list[Split]:
        splits = list(cast("Iterable[Split]", draw(records, count=count, seed=seed, **options)))
        if len(splits) != count:
            raise plugins.PluginError(f"{label} drew {len(splits)} splits, asked for {count}; update or uninstall this package")
        for split in splits:
            if split.protocol not in PROMISES:
                raise plugins.PluginError(f"{label}: a split promises {split.protocol!r}, expected one of {', '.join(PROMISES)}")
            try:
                check_split(records, split)
            except CamtraceError as error:
                raise plugins.PluginError(
                    f"{label}: a split breaks its promise {split.protocol!r}: {error}; update or uninstall this package"
                ) from error
        return splits

    return checked


PROTOCOLS: plugins.Extended[Callable[..., list[Split]]] = plugins.extend(
    {
        "device-scene": draw_device_scene,
        "device": draw_device,
        "scene": draw_scene,
        "leave-cameras-out": draw_leave_cameras_out,
        "device-or-scene": splits_by_device_and_scene,
        "random-photo": draw_random_photo,
        "random-patch": draw_random_patch,
    },
    plugins.PROTOCOLS,
    fit=_from_outside,
)
"""Protocol -> function(records, *, count, seed, and options of its own) -> splits; those in LEAKY flatter."""
