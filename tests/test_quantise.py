"""Nets that count in 8 bits: nearly the same features, half the time, and nothing in the file that a bundle may not hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="the lab needs PyTorch: pip install 'camtrace[lab]'")
pytestmark = pytest.mark.lab

import onnx  # noqa: E402
import torch  # noqa: E402

from camtrace.bundle import FEATURES, load_bundle, run_net  # noqa: E402
from camtrace.bundle_check import check_model  # noqa: E402
from camtrace.history import cut_patches  # noqa: E402
from camtrace.lab.export import export_onnx  # noqa: E402
from camtrace.lab.methods.trace_net import TraceNet  # noqa: E402
from camtrace.lab.quantise import quantise  # noqa: E402
from camtrace.lab.sources import to_tensor  # noqa: E402
from camtrace.photo import read_photo  # noqa: E402
from camtrace.runtime import open_session  # noqa: E402
from camtrace.simulator import MadeCamera  # noqa: E402
from made import made_photo  # noqa: E402


@pytest.fixture(scope="module")
def patches(cameras: tuple[MadeCamera, ...]) -> NDArray[np.uint8]:
    """Patches of photos by made cameras."""
    photos = [read_photo(made_photo(camera, number)) for camera in cameras for number in (950, 951)]
    return np.concatenate([cut_patches(photo).pixels for photo in photos])


@pytest.fixture(scope="module")
def exact(patches: NDArray[np.uint8]) -> bytes:
    """A small net as if trained: its running statistics are those of some patches."""
    torch.manual_seed(0)
    net = TraceNet((8, 8, 16))
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.momentum = None  # the plain mean
    with torch.no_grad():
        net.train()(to_tensor(patches[::2].copy()))
    return export_onnx(net.eval())


@pytest.fixture(scope="module")
def rounded(exact: bytes, patches: NDArray[np.uint8]) -> bytes:
    return quantise(exact, patches[::2])


def test_features_hardly_change(exact: bytes, rounded: bytes, patches: NDArray[np.uint8]) -> None:
    before, after = (run_net(open_session(model), patches[1::2]) for model in (exact, rounded))
    lost = ((after - before) ** 2).mean(axis=0).sum() / before.var(axis=0).sum()
    assert 0 < lost < 0.03, "other patches than those it was shown"


def test_all_convolutions_but_the_first_two_count_in_8_bits(rounded: bytes) -> None:
    graph = onnx.load_from_string(rounded).graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    assert [makers.get(node.input[1]) == "DequantizeLinear" for node in convolutions] == [False, False, True, True, True]


def test_sums_cannot_overflow_where_there_is_no_vnni(rounded: bytes) -> None:
    """There two products of a byte and a weight are added in 16 bits: 2 x 255 x 64 still fits, 2 x 255 x 127 does not."""
    weights = [onnx.numpy_helper.to_array(one) for one in onnx.load_from_string(rounded).graph.initializer if len(one.dims) == 4]
    largest = [int(np.abs(one.astype(int)).max()) for one in weights if one.dtype == np.int8]
    assert len(largest) == 3
    assert max(largest) <= 64


def test_maps_are_unsigned(rounded: bytes) -> None:
    """ONNX Runtime has kernels for unsigned times signed on every processor; signed times signed takes twice as long on most."""
    graph = onnx.load_from_string(rounded).graph
    held = {one.name: onnx.numpy_helper.to_array(one) for one in graph.initializer}
    points = [held[node.input[2]] for node in graph.node if node.op_type == "QuantizeLinear"]
    assert points
    assert {str(point.dtype) for point in points} == {"uint8"}


def test_a_bundle_may_hold_it(rounded: bytes) -> None:
    check_model(rounded, {"patches": ("UINT8", None, 64, 64, 3)}, {"features": ("FLOAT", None, 128)})


def test_the_same_patches_give_the_same_net(exact: bytes, rounded: bytes, patches: NDArray[np.uint8]) -> None:
    assert quantise(exact, patches[::2]) == rounded


def test_it_says_nothing_and_leaves_nothing(
    exact: bytes, patches: NDArray[np.uint8], capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    quantise(exact, patches[:16])
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_the_default_bundle_counts_in_8_bits() -> None:
    graph = onnx.load_from_string(load_bundle().files[FEATURES]).graph
    assert sum(node.op_type == "QuantizeLinear" for node in graph.node) >= 3
