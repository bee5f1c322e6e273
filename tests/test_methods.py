"""What every method promises, and the nets as the papers print them."""

from __future__ import annotations

import importlib
import pickle
import socket
import urllib.error
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="the lab needs PyTorch: pip install 'camtrace[lab]'")
pytestmark = pytest.mark.lab

import torch  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from camtrace.lab import methods  # noqa: E402
from camtrace.lab.export import export_onnx  # noqa: E402
from camtrace.lab.methods import METHODS, Features, Method  # noqa: E402
from camtrace.lab.methods.camera_conv_net import CameraConvNet  # noqa: E402
from camtrace.lab.methods.efficient_net import EfficientNet  # noqa: E402
from camtrace.lab.methods.patch_cnn import PatchCNN  # noqa: E402
from camtrace.lab.methods.trace_net import TraceNet  # noqa: E402
from camtrace.lab.sources import to_tensor  # noqa: E402
from camtrace.lab.train import Trainee  # noqa: E402
from camtrace.patches import RESIZED, RULES  # noqa: E402
from camtrace.types import CamtraceError  # noqa: E402
from lab_runs import one_thread  # noqa: E402, F401

FILES = sorted(path.stem for path in Path(methods.__file__).parent.glob("*.py") if path.stem not in ("__init__", "method"))
DIMENSIONS = {
    "patch-cnn": 128,
    "trace-net": 128,
    "trace-net-wide": 128,
    "camera-conv-net": 2048,
    "efficient-net": 256,
    "spam": 338,
    "demosaicing": 1372,
}
SMALL = {"efficient-net": 64}  # its features take any size; at its own the test would take minutes


def patches(size: int, count: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without network whose torch has no weights in its cache, which is the folder returned."""

    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network here")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tmp_path / "hub" / "checkpoints"


# ---- the contract


def test_the_file_name_is_the_registration() -> None:
    found = {file: importlib.import_module(f"camtrace.lab.methods.{file}").METHOD for file in FILES}
    assert {file: method.name for file, method in found.items()} == {file: file.replace("_", "-") for file in FILES}
    assert {method.name: method for method in found.values()} == METHODS
    assert set(DIMENSIONS) <= set(METHODS)


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_every_method_says_what_it_needs(method: Method) -> None:
    assert method.source
    assert method.head in method.heads
    assert method.rule in {*RULES, RESIZED}
    assert method.size > 0
    assert method.count > 0
    if method.recipe is None:
        assert "softmax" not in method.heads, "that classifier comes out of training"
        assert not method.pretrained


@pytest.mark.parametrize("name", DIMENSIONS)
def test_onnx_gives_the_same_features(name: str, nowhere: Path) -> None:
    """From raw bytes, for any number of patches; EfficientNetV2-M is the slow one."""
    method, size = METHODS[name], SMALL.get(name, METHODS[name].size)
    net = lively(method, size)
    asked = patches(size, 5)
    with torch.no_grad():
        expected = net(to_tensor(asked)).numpy()
        alone = net(to_tensor(asked[2:3])).numpy()
    assert expected.shape == (5, net.dimension) == (5, DIMENSIONS[name])
    assert expected.dtype == np.float32
    assert expected.std(axis=0).max() > 1e-3, "features that tell nothing apart would agree too"
    near = float(np.abs(expected).max()) * 1e-4
    np.testing.assert_allclose(alone, expected[2:3], atol=near, rtol=0, err_msg="a patch does not see the others")
    session = onnxruntime.InferenceSession(export_onnx(net, size=size), providers=["CPUExecutionProvider"])
    for some in (asked, asked[:1]):
        (given,) = session.run(None, {"patches": some})
        np.testing.assert_allclose(given, expected[: len(some)], atol=near, rtol=0)


def lively(method: Method, size: int) -> Features:
    """A net as if trained: its running statistics are those of some patches. Without, signals die out in a deep net.

    With fewer patches than 16, the statistics of its last maps would be so poor that rounding errors grow to 1 %.
    """
    torch.manual_seed(3)
    net = method.make()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.momentum = None  # the plain mean
    if any(isinstance(module, nn.BatchNorm2d) for module in net.modules()):
        with torch.no_grad():
            net.train()(to_tensor(patches(size, 16, seed=1)))
    return net.eval()


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.whole_photos])
def test_methods_for_whole_photos_take_any_size(name: str) -> None:
    net = METHODS[name].make().eval()
    with torch.no_grad():
        features = net(torch.randint(0, 256, (1, 3, 100, 75)).float())
    assert features.shape == (1, net.dimension)
    assert bool(features.isfinite().all())


# ---- the paper's net


def test_patch_cnn_is_the_papers() -> None:
    net = PatchCNN()
    assert sum(parameter.numel() for parameter in Trainee(net, [18]).parameters()) == 340_642
    layers = list(net.layers.children())
    assert sides(layers[:7], 3, 64) == [61, 31, 27, 14, 10, 5, 1]
    assert [layer.out_channels for layer in layers if isinstance(layer, nn.Conv2d)] == [32, 48, 64, 128]
    activations = [type(layer).__name__ for layer in layers]
    assert activations.count("ReLU") == 1, "the paper has no non-linearity between the convolutions"
    assert activations[-1] == "ReLU"
    assert all(not bias.any() for name, bias in net.named_parameters() if name.endswith("bias"))


def sides(layers: list[nn.Module], channels: int, size: int) -> list[int]:
    """Side of the maps after each layer."""
    maps, seen = torch.zeros(1, channels, size, size), []
    for layer in layers:
        maps = layer(maps)
        seen.append(maps.shape[-1])
    return seen


def test_patch_cnn_takes_the_mean_patch_away() -> None:
    sample = patches(64, 40)
    net = PatchCNN()
    with torch.no_grad():
        before = net(torch.full((1, 3, 64, 64), 127.5))
        net.prepare(sample)
        mean = torch.from_numpy(sample.mean(axis=0).transpose(2, 0, 1)[None]).float()
        assert not before.any(), "half grey is what it takes away before it knows better"
        assert net(mean).abs().max() < 1e-5
        assert net(mean + 1).abs().max() > 1e-3
    assert (net.mean - 127.5).abs().max() > 10


def test_trace_net_does_not_see_content() -> None:
    net = TraceNet().eval()
    grain = torch.randint(-3, 4, (1, 3, 64, 64)).float()
    ramp = torch.arange(64.0).expand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(net(grain + 60), net(grain + ramp + 90), atol=1e-3, rtol=0)


def test_a_trace_net_that_grows_gives_the_same_features_and_can_learn_with_all_of_it() -> None:
    net = cast("TraceNet", lively(METHODS["trace-net"], 64))
    wide = net.widened(256)
    METHODS["trace-net-wide"].make().load_state_dict(wide.state_dict())
    asked = to_tensor(patches(64, 8))
    with torch.no_grad():
        torch.testing.assert_close(wide.eval()(asked), net(asked), atol=0, rtol=0)
    optimiser = torch.optim.SGD(wide.parameters(), 1e-3)
    for _ in range(2):  # the first step lets the new maps be heard, the second teaches them
        optimiser.zero_grad()
        wide.train()(asked).pow(2).sum().backward()
        optimiser.step()
    new = wide.maps[3][0].weight.grad[128:]  # type: ignore[index]
    assert (new.abs().amax(dim=(1, 2, 3)) > 0).all()


# ---- the second paper's nets


def test_camera_conv_net_is_the_second_papers() -> None:
    net = CameraConvNet()
    layers = list(net.layers.children())
    assert [type(layer).__name__ for layer in layers] == [
        *("Conv2d", "ReLU", "MaxPool2d") * 2,
        *("Conv2d", "ReLU", "Flatten", "Linear", "Dropout", "ReLU"),
    ]
    scaled = [layer for layer in layers if isinstance(layer, nn.Conv2d | nn.MaxPool2d)]
    assert sides([layer for layer in layers[:8] if layer in scaled], 3, 48) == [42, 20, 14, 6, 1]
    assert [tuple(layer.weight.shape) for layer in layers if isinstance(layer, nn.Conv2d | nn.Linear)] == [
        *((128, 3, 7, 7), (512, 128, 7, 7), (2048, 512, 6, 6)),
        (2048, 2048),
    ]
    assert [layer.p for layer in layers if isinstance(layer, nn.Dropout)] == [0.5]
    assert (METHODS["camera-conv-net"].size, METHODS["camera-conv-net"].count) == (48, 20)


@pytest.fixture(scope="module")
def efficient_net() -> EfficientNet:
    """Without weights; building it takes seconds."""
    return cast("EfficientNet", METHODS["efficient-net"].pretrained["none"]())


def test_efficient_net_has_the_second_papers_head(efficient_net: EfficientNet) -> None:
    trainee = Trainee(efficient_net, [27])
    head = list(cast("nn.Sequential", efficient_net.trunk.classifier).children())
    assert [type(layer).__name__ for layer in head] == ["Linear", "ReLU", "Linear", "ReLU"]
    linear = [layer for layer in (*head, trainee.classifiers[0]) if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == [(1280, 512), (512, 256), (256, 27)]
    assert all(parameter.requires_grad for parameter in trainee.parameters()), "everything is trained"
    trunk = sum(parameter.numel() for name, parameter in efficient_net.trunk.named_parameters() if not name.startswith("classifier"))
    assert trunk == 54_139_356 - (1280 + 1) * 1000, "torchvision's EfficientNetV2-M less its 1,000 classes"


def test_efficient_net_scales_pixels_as_imagenet_was(efficient_net: EfficientNet, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import EfficientNet_V2_M_Weights
    from torchvision.transforms.functional import normalize

    published = EfficientNet_V2_M_Weights.IMAGENET1K_V1.transforms()
    monkeypatch.setattr(efficient_net, "trunk", nn.Identity())
    photo = torch.randint(0, 256, (2, 3, 8, 8)).float()
    expected = normalize(photo / 255, published.mean, published.std)
    torch.testing.assert_close(efficient_net(photo), expected)


def test_the_resized_method_is_the_same_net_on_the_whole_photo() -> None:
    crops, resized = METHODS["efficient-net"], METHODS["efficient-net-resized"]
    assert (resized.size, resized.rule, resized.count) == (512, RESIZED, 1)
    assert (crops.rule, crops.count > 1, crops.size % 8) == ("mid-tone", True, 0)
    assert (resized.make, resized.recipe, resized.head) == (crops.make, crops.recipe, crops.head)


# ---- ImageNet weights


def test_weights_that_cannot_be_fetched_are_a_clear_error(nowhere: Path) -> None:
    with pytest.raises(CamtraceError, match="no network here") as caught:
        METHODS["efficient-net"].pretrained["imagenet"]()
    message = str(caught.value)
    assert str(nowhere / "efficientnet_v2_m-dc08266a.pth") in message, "where the file would be found"
    assert "https://download.pytorch.org/models/" in message
    assert "--weights none" in message


class Plain(nn.Module):
    """Stands for the trunk: its one weight tells whose it is."""

    def __init__(self) -> None:
        super().__init__()
        self.whose = nn.Parameter(torch.zeros(1))

    def forward(self, patches: Tensor) -> Tensor:
        return patches


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torchvision.models.efficientnet_v2_m", lambda *, weights: Plain())


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("weights", ["cached", "imagenet", "none"])
@pytest.mark.usefixtures("plain")
def test_weights_are_taken_from_the_cache_and_fetched_only_where_asked(
    weights: Any, there: bool, nowhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched: list[tuple[str, str]] = []

    def download(url: str, path: str, *, hash_prefix: str, progress: bool) -> None:
        fetched.append((url.rpartition("/")[2], hash_prefix))
        torch.save({"whose": torch.ones(1)}, path)

    monkeypatch.setattr("torch.hub.download_url_to_file", download)
    if there:
        nowhere.mkdir(parents=True)
        torch.save({"whose": torch.ones(1)}, nowhere / "efficientnet_v2_m-dc08266a.pth")
    net = EfficientNet(weights)
    assert bool(net.trunk.whose) == (weights == "imagenet" or (weights == "cached" and there))
    assert fetched == ([("efficientnet_v2_m-dc08266a.pth", "dc08266a")] if weights == "imagenet" and not there else [])


@pytest.mark.parametrize("content", [b"", b"no such thing", pickle.dumps(print, protocol=2)])
@pytest.mark.usefixtures("plain")
def test_a_damaged_or_hostile_file_in_the_cache_is_refused(content: bytes, nowhere: Path) -> None:
    nowhere.mkdir(parents=True)
    (nowhere / "efficientnet_v2_m-dc08266a.pth").write_bytes(content)
    with pytest.raises(CamtraceError, match="not the ImageNet weights"):
        EfficientNet("cached")


def test_the_default_opens_no_connection(nowhere: Path) -> None:
    assert METHODS["efficient-net"].make().dimension == 256
    assert not nowhere.exists(), "nothing was fetched"


def test_weights_by_name() -> None:
    assert set(METHODS["efficient-net"].pretrained) == set(METHODS["efficient-net-resized"].pretrained) == {"imagenet", "none"}
    assert not any(method.pretrained for name, method in METHODS.items() if not name.startswith("efficient-net"))
