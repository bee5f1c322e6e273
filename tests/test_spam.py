"""SPAM features against a slow reference, one residual at a time in whole numbers; what they must not notice; their ONNX."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from camtrace.photo import decode_photo
from camtrace.types import CamtraceError
from made import different_cameras, made_photo, noise

pytest.importorskip("torch", reason="the lab needs PyTorch: pip install 'camtrace[lab]'")
pytestmark = pytest.mark.lab

import torch  # noqa: E402

from camtrace.lab.export import export_onnx  # noqa: E402
from camtrace.lab.methods.spam import Spam, count, kinds, quantise  # noqa: E402

Pixels = NDArray[np.uint8]
Pattern = tuple[int, ...]


def features_of(*patches: Pixels) -> NDArray[np.float32]:
    with torch.no_grad():
        features = Spam()(torch.from_numpy(np.stack(patches)).permute(0, 3, 1, 2).float())
    assert features.dtype == torch.float32
    return np.asarray(features.numpy())


def round_half_away(value: int, step: int) -> int:
    """Whole numbers only: value / step to the nearest whole number."""
    return (1 if value > 0 else -1) * ((2 * abs(value) + step) // (2 * step))


def plain_residuals(line: list[int]) -> list[int]:
    """Third-order residuals of a line of greys in thousandths, in steps of 3 grey levels, cut off at 2."""
    raw = [line[x - 1] - 3 * line[x] + 3 * line[x + 1] - line[x + 2] for x in range(1, len(line) - 2)]
    return [min(max(round_half_away(value, 3000), -2), 2) for value in raw]


def plain_kind(pattern: Pattern) -> Pattern:
    negative = tuple(-level for level in pattern)
    return min(pattern, pattern[::-1], negative, negative[::-1])


def plain_spam(patch: Pixels) -> list[float]:
    """The definition of METHOD section 2, with loops."""
    grey = [[299 * int(r) + 587 * int(g) + 114 * int(b) for r, g, b in row] for row in patch]
    turned = [list(column) for column in zip(*grey, strict=True)]
    across = [plain_residuals(row) for row in grey]  # rows of horizontal residuals
    down = [plain_residuals(column) for column in turned]  # columns of vertical residuals
    athwart = [list(line) for residuals in (across, down) for line in zip(*residuals, strict=True)]
    every = [tuple(p) for p in np.stack(np.meshgrid(*[range(-2, 3)] * 4, indexing="ij"), -1).reshape(-1, 4).tolist()]
    order = sorted({plain_kind(pattern) for pattern in every})
    values: list[float] = []
    for lines in (across + down, athwart):
        counts = Counter(plain_kind(tuple(line[x : x + 4])) for line in lines for x in range(len(line) - 3))
        values += [counts[kind] / counts.total() for kind in order]
    return values


def real_like(size: int = 64) -> list[Pixels]:
    """A patch from the middle of a photo of each made camera."""
    photos = [decode_photo(made_photo(camera, 900), "made").pixels for camera in different_cameras()]
    return [photo[128 : 128 + size, 64 : 64 + size] for photo in photos]


def ramp(height: int, width: int) -> Pixels:
    """Steep in one direction, so that residuals are large and regular."""
    values = (np.arange(width)[None, :] ** 2 // 3 + 7 * np.arange(height)[:, None]) % 256
    return np.repeat(values[..., None], 3, axis=2).astype(np.uint8)


def test_features_are_those_of_the_slow_reference() -> None:
    faint, flat = noise(64, 64, seed=2, low=100, high=104), np.full((64, 64, 3), 200, np.uint8)
    patches = [noise(64, 64, seed=1), faint, flat, ramp(64, 64), *real_like()]
    for patch, given in zip(patches, features_of(*patches), strict=True):
        np.testing.assert_allclose(given, plain_spam(patch), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("shape", [(7, 7), (7, 40), (33, 18)])
def test_patches_of_any_shape(shape: tuple[int, int]) -> None:
    patch = noise(*shape, low=90, high=110)
    np.testing.assert_allclose(features_of(patch)[0], plain_spam(patch), rtol=1e-6, atol=1e-9)


def test_patches_do_not_touch_each_other() -> None:
    patches = [noise(64, 64, seed=3), *real_like()]
    np.testing.assert_array_equal(features_of(*patches), np.concatenate([features_of(patch) for patch in patches]))


def test_338_values_and_each_half_sums_to_one() -> None:
    features = features_of(*real_like())
    assert features.shape == (4, Spam.dimension) == (4, 338)
    np.testing.assert_allclose(features.reshape(4, 2, 169).sum(axis=2), 1, atol=1e-6)


def test_halves_are_rounded_away_from_zero() -> None:
    values = torch.tensor([-9e5, -4500, -4499, -1501, -1500, -1499, 0, 1499, 1500, 1501, 4499, 4500, 9e5])
    assert (quantise(values, step=3000, limit=2) - 2).tolist() == [-2, -2, -1, -1, -1, 0, 0, 0, 1, 1, 1, 2, 2]


def test_patterns_are_one_kind_up_to_sign_and_order() -> None:
    table = kinds().reshape(5, 5, 5, 5)
    assert sorted(set(table.flatten().tolist())) == list(range(169))
    assert torch.equal(table, table.permute(3, 2, 1, 0))
    assert torch.equal(table, table.flip(0, 1, 2, 3))
    assert table[2, 2, 2, 3] != table[2, 2, 3, 2]  # (0, 0, 0, 1) is not (0, 0, 1, 0)
    assert table[3, 2, 2, 3] != table[3, 2, 2, 1]


@pytest.mark.parametrize(
    "change",
    [lambda p: p.transpose(1, 0, 2), lambda p: p[::-1], lambda p: p[:, ::-1], lambda p: 255 - p],
    ids=["transposed", "upside down", "mirrored", "negative"],
)
def test_what_leaves_the_features_alone(change: Callable[[Pixels], Pixels]) -> None:
    for patch in (noise(40, 64, low=100, high=120), real_like()[2]):
        np.testing.assert_array_equal(features_of(np.ascontiguousarray(change(patch))), features_of(patch))


def test_along_is_not_across() -> None:
    """Stripes: all residuals are across them; along their own direction they alternate, across it they stay."""
    stripes = np.zeros((32, 32, 3), np.uint8)
    stripes[:, ::2] = 10
    along, athwart = features_of(stripes)[0].reshape(2, 169)
    assert sorted(np.flatnonzero(along)) != sorted(np.flatnonzero(athwart))
    assert athwart.max() == pytest.approx(0.5)  # half of all patterns are (2, 2, 2, 2) or its negative, half are flat


def test_counts_go_beyond_what_a_float_can_count() -> None:
    """A float32 stops at 2^24; a flat photo of more pixels must not."""
    flat = torch.zeros((1, 1), dtype=torch.int64).expand(1, 2**24)
    assert count([flat, flat, flat + 1], 2).tolist() == [[2**25, 2**24]]


def test_a_patch_too_small_is_refused() -> None:
    with pytest.raises(CamtraceError, match="6x64 pixels: SPAM needs at least 7x7"):
        Spam()(torch.zeros(1, 3, 64, 6))


def test_onnx_gives_the_same_features() -> None:
    session = onnxruntime.InferenceSession(export_onnx(Spam()), providers=["CPUExecutionProvider"])
    for patches in ([noise(64, 64)], [*real_like(), noise(64, 64, low=80, high=90)]):
        (given,) = session.run(["features"], {"patches": np.stack(patches)})
        assert given.dtype == np.float32
        np.testing.assert_array_equal(given, features_of(*patches))
