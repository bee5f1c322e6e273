"""Bundles from strangers: refused with a reason, before anything in them runs or is followed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from safetensors.numpy import load, save

from camtrace import bundle_check
from camtrace.bundle import _MODELS, DEFAULT, FEATURES, HEAD, REFERENCES, load_bundle
from camtrace.manifest import MANIFEST, BundleError
from camtrace.safe_files import is_plain_name

Nodes = list[Any]
INPUT, OUTPUT = {"x": ("FLOAT", None, 4)}, {"y": ("FLOAT", None, 4)}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the bundle that ships, which is then a stranger's."""
    return Path(shutil.copytree(_MODELS / DEFAULT, tmp_path / "copy"))


def put(folder: Path, name: str, data: bytes) -> None:
    """Change a file of a bundle, and its hash with it, as a stranger can."""
    (folder / name).write_bytes(data)
    document = json.loads((folder / MANIFEST).read_text("utf-8"))
    document["files"][name] = hashlib.sha256(data).hexdigest()
    (folder / MANIFEST).write_text(json.dumps(document))


def refusal(folder: Path) -> str:
    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    return str(caught.value)


def model(nodes: Nodes, weights: dict[str, Any] | None = None, *, domain: str = "", version: int = 17) -> ModelProto:
    """A net from x (n, 4) to y (n, 4)."""
    held = [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()]
    one = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])
    other = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])
    opsets = [helper.make_opsetid("", version), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(helper.make_graph(nodes, "net", [one], [other], held), opset_imports=opsets, ir_version=8)


def node(kind: str, *names: str, **more: Any) -> Any:
    """An operator: its inputs, then its one output."""
    return helper.make_node(kind, list(names[:-1]), [names[-1]], **more)


def check(net: ModelProto) -> None:
    bundle_check.check_model(net.SerializeToString(), INPUT, OUTPUT)


def test_a_sound_model_passes() -> None:
    check(model([node("Relu", "x", "y")]))
    check(model([node("MatMul", "x", "w", "y")], {"w": np.eye(4, dtype=np.float32)}))


def branch() -> Any:
    empty = helper.make_graph([node("Identity", "x", "z")], "b", [], [helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n", 4])])
    return helper.make_node("If", ["c"], ["y"], then_branch=empty, else_branch=empty)


WIDE = np.ones((1, 1 << 15), np.float32)
STRANGE: dict[str, tuple[ModelProto, str]] = {
    "own domain": (model([node("Relu", "x", "y", domain="com.evil")], domain="com.evil"), "operators of 'com.evil'"),
    "own operator": (model([node("EvilRelu", "x", "y")]), "the operator 'EvilRelu', which is not one"),
    "branch": (model([branch()], {"c": np.array(True)}), "the operator 'If', which is not one"),
    "random numbers": (model([node("RandomNormalLike", "x", "y")]), "the operator 'RandomNormalLike'"),
    "file reader": (model([node("StringNormalizer", "x", "y")]), "the operator 'StringNormalizer'"),
    "expanded": (
        model([node("Expand", "x", "s", "big"), node("ReduceMax", "big", "m", keepdims=0, axes=[0, 1]), node("Add", "x", "m", "y")],
              {"s": np.array([1 << 20, 1 << 12, 32, 4])}),
        "Expand gives 549,755,813,888 numbers, more than 268,435,456 for 32 patches",
    ),
    "multiplied out": (
        model([node("MatMul", "t", "w", "big"), node("ReduceMax", "big", "m", keepdims=0), node("Add", "x", "m", "y")],
              {"t": WIDE.T, "w": WIDE}),
        "MatMul gives 1,073,741,824 numbers",
    ),
    "padded": (
        model([node("Pad", "x", "p", "big"), node("ReduceMax", "big", "m", keepdims=0), node("Add", "x", "m", "y")],
              {"p": np.array([0, 0, 0, 1 << 40])}),
        "Pad gives 35,184,372,088,960 numbers",
    ),
    "size told by the pixels": (
        model([node("ReduceMax", "x", "m", keepdims=0), node("Cast", "m", "i", to=7), node("Reshape", "i", "one", "s"),
               node("ConstantOfShape", "s", "big"), node("ReduceMax", "big", "r", keepdims=0), node("Add", "x", "r", "y")],
              {"one": np.array([1])}),
        "ConstantOfShape gives a size that cannot be told in advance",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STRANGE)
def test_strange_models_are_refused(name: str) -> None:
    net, reason = STRANGE[name]
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the reason is compared below
        check(net)
    assert reason in str(caught.value)


@pytest.mark.parametrize("name", [b"Relu", b"net", b"x", b"y"])
def test_names_that_are_no_text_are_refused(name: bytes) -> None:
    """Found by atheris: protobuf gives them as bytes."""
    data = model([node("Relu", "x", "y")]).SerializeToString().replace(name, b"\xff" * len(name))
    with pytest.raises(ValueError):  # noqa: PT011 - protobuf's versions differ in who notices
        bundle_check.check_model(data, INPUT, {"z": ("FLOAT", None, 4)})


@pytest.mark.parametrize("kind", [40, 0, -1])
def test_weights_of_a_kind_that_there_is_not_are_refused(kind: int) -> None:
    """Found by atheris: a KeyError of onnx's own."""
    net = model([node("Mul", "x", "w", "y")], {"w": np.float32(1)})
    net.graph.initializer[0].data_type = kind
    with pytest.raises(ValueError, match=r"not an ONNX model|data type|sizes that do not fit"):
        check(net)


def test_weights_in_other_files_are_refused() -> None:
    net = model([node("MatMul", "x", "w", "y")], {"w": np.eye(4, dtype=np.float32)})
    weights = net.graph.initializer[0]
    weights.ClearField("raw_data")
    weights.data_location = TensorProto.EXTERNAL
    weights.external_data.add(key="location", value="../../etc/passwd")
    with pytest.raises(ValueError, match=r"weights in another file \('w'\)"):
        check(net)
    constant = helper.make_node("Constant", [], ["w"], value=weights)
    net = model([constant, node("MatMul", "x", "w", "y")])
    with pytest.raises(ValueError, match="weights in another file"):
        check(net)


def test_functions_graphs_in_attributes_and_impossible_sizes_are_refused() -> None:
    net = model([node("Relu", "x", "y")])
    net.functions.add(name="f", domain="")
    with pytest.raises(ValueError, match="functions or training information"):
        check(net)
    net = model([node("Relu", "x", "y")])
    net.graph.node[0].attribute.add(name="body", type=5).g.name = "g"
    with pytest.raises(ValueError, match="a graph within 'Relu'"):
        check(net)
    net = model([node("MatMul", "x", "w", "y")], {"w": np.eye(4, dtype=np.float32)})
    net.graph.initializer[0].dims[0] = 1 << 60
    with pytest.raises(ValueError, match="weights of \\[1152921504606846976, 4\\], expected at most"):
        check(net)
    with pytest.raises(ValueError, match="sizes that do not fit each other"):
        check(model([node("MatMul", "x", "w", "y")], {"w": np.eye(5, dtype=np.float32)}))


@pytest.mark.parametrize(
    ("inputs", "outputs", "reason"),
    [
        ({"z": ("FLOAT", None, 4)}, OUTPUT, "inputs x, expected z"),
        (INPUT, {"z": ("FLOAT", None, 4)}, "outputs y, expected z"),
        ({"x": ("UINT8", None, 4)}, OUTPUT, "the input x is FLOAT ['n', 4], expected UINT8 ['n', 4]"),
        ({"x": ("FLOAT", None, 5)}, OUTPUT, "the input x is FLOAT ['n', 4], expected FLOAT ['n', 5]"),
        ({"x": ("FLOAT", None, 4, 1)}, OUTPUT, "expected FLOAT ['n', 4, 1]"),
    ],
)
def test_models_that_take_or_give_something_else_are_refused(inputs: Any, outputs: Any, reason: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the reason is compared below
        bundle_check.check_model(model([node("Relu", "x", "y")]).SerializeToString(), inputs, outputs)
    assert reason in str(caught.value)


def test_a_bundle_with_such_a_model_is_refused_and_the_file_named(copy: Path) -> None:
    put(copy, HEAD, model([node("EvilRelu", "x", "y")]).SerializeToString())
    assert refusal(copy).startswith(f"{copy / HEAD}: not a model that a bundle may hold: the operator 'EvilRelu'")


def test_a_net_that_gives_no_numbers_is_found_out(copy: Path) -> None:
    size, dimension = 64, load_bundle(copy).manifest.dimension
    net = helper.make_graph(
        [node("Cast", "patches", "f", to=1), node("ReduceSum", "f", "axes", "s", keepdims=0), node("Log", "s", "l"),
         node("Unsqueeze", "l", "one", "u"), node("Mul", "u", "row", "features")],
        "net",
        [helper.make_tensor_value_info("patches", TensorProto.UINT8, ["n", size, size, 3])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", dimension])],
        [numpy_helper.from_array(value, name) for name, value in
         (("axes", np.array([1, 2, 3])), ("one", np.array([1])), ("row", np.ones((1, dimension), np.float32)))],
    )  # fmt: skip
    data = helper.make_model(net, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    put(copy, FEATURES, data)
    assert "finite numbers" in refusal(copy)  # the logarithm of a black patch


@pytest.mark.skipif(os.name == "nt", reason="links and FIFOs need rights on Windows; run this on Linux or macOS")
@pytest.mark.parametrize("name", [FEATURES, MANIFEST])
def test_links_out_of_the_folder_devices_and_fifos_are_refused(copy: Path, name: str) -> None:
    outside = copy.parent / "outside"
    shutil.move(copy / name, outside)
    (copy / name).symlink_to(outside)
    assert "out of its folder" in refusal(copy)
    (copy / name).unlink()
    (copy / name).symlink_to("/dev/zero")
    assert "out of its folder" in refusal(copy)
    (copy / name).unlink()
    os.mkfifo(copy / name)
    assert "a FIFO, expected a file" in refusal(copy)
    (copy / name).unlink()
    shutil.move(outside, copy / "real")
    (copy / name).symlink_to("real")
    assert load_bundle(copy).manifest.name == "default", "a link within the folder is none of these"


def test_files_too_large_are_refused_unread(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (copy / MANIFEST).open("r+b") as stream:
        stream.truncate(bundle_check.MAX_MANIFEST + 1)
    assert "33,554,433 bytes, more than the 33,554,432 bytes that are read at most" in refusal(copy)


def edited(folder: Path, change: Callable[[dict[str, Any]], object]) -> str:
    document = json.loads((folder / MANIFEST).read_text("utf-8"))
    change(document)
    (folder / MANIFEST).write_text(json.dumps(document))
    return refusal(folder)


CAMERA = "cameras"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d["files"].update({"../../evil": "0"}), "'../../evil' is not a plain name"),
        (lambda d: d["files"].update({"C:evil": "0"}), "'C:evil' is not a plain name"),
        (lambda d: d.update(patch_size=10**9), "patch_size is 1000000000, expected a whole number from 8 to 1024"),
        (lambda d: d.update(patch_size="64"), "patch_size is 64"),
        (lambda d: d.update(patch_count=True), "patch_count is True"),
        (lambda d: d.update(dimension=-1), "dimension is -1"),
        (lambda d: d.update(name="\x1b[2J"), "name '\\\\x1b[2J' is not a name"),
        (lambda d: d.update(name=""), "name '' is not a name"),
        (lambda d: d.update(version="1\n2"), "is not a name of up to 200 visible characters"),
        (lambda d: d[CAMERA][0].update(name="Evil\u202eCanon"), "camera 'Evil\\\\u202eCanon'"),
        (lambda d: d[CAMERA][0].update(name="x" * 201), "is not a name of up to 200"),
        (lambda d: d[CAMERA][0].update(name=d[CAMERA][1]["name"]), "two cameras of one name"),
        (lambda d: d[CAMERA][0].update(make=7), "make '7'"),
        (lambda d: d[CAMERA][0].update(photos=-1), "photos is -1"),
        (lambda d: d[CAMERA][0].update(accuracy="good"), "accuracy is good"),
        (lambda d: d[CAMERA][0].update(protocol="\r"), "protocol"),
        (lambda d: d.update(cameras=[]), "the number of cameras is 0"),
        (lambda d: d.update(families={"twins": ["nobody", "no one"]}), "a family with cameras that the bundle does not know"),
        (lambda d: d["thresholds"].update(summed=None), "threshold is None"),
        (lambda d: d["thresholds"].update(summed=float("nan")), "NaN is no number of JSON"),
        (lambda d: d["thresholds"].update(summed=float("-inf")), "-Infinity is no number of JSON"),
        (lambda d: d["calibration"].update(scale=10**400), "not a valid manifest"),
        (lambda d: d["calibration"].update(half=-5), "a calibration of less than two cameras"),
        (lambda d: d["calibration"].update(lapse=1), "a lapse that is no share"),
        (lambda d: d["calibration"].update(lapse=-0.1), "a lapse that is no share"),
        (lambda d: d["calibration"].update(lapse=float("nan")), "NaN is no number of JSON"),
        (lambda d: d.update(training=[]), "training or accuracy that is no object"),
    ],
)  # fmt: skip
def test_harmful_manifests_are_refused_at_once(copy: Path, change: Callable[[dict[str, Any]], object], reason: str) -> None:
    message = edited(copy, change)
    assert reason in message
    assert message.isprintable()


@pytest.mark.parametrize("text", ["[" * 200_000, '{"a":' * 100_000, '{"format": ' + "9" * 5000 + "}"])
def test_json_made_to_do_harm_is_refused(copy: Path, text: str) -> None:
    (copy / MANIFEST).write_text(text)
    assert "not JSON" in refusal(copy)


def bare(tensors: dict[str, Any]) -> dict[str, Any]:
    """Without what else the bundle that ships knows, so that each change is found for itself."""
    return {name: value for name, value in tensors.items() if name in ("features", "cameras", "photos", "copies", "gate")}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda t: t.pop("photos"), "photos"),
        (lambda t: t["features"].__setitem__((5, 7), np.nan), "features: not all finite numbers (float16)"),
        (lambda t: t["features"].__setitem__((5, 7), np.inf), "features: not all finite numbers (float16)"),
        (lambda t: t.update(features=t["features"][:, :-1].copy()), "expected (n, "),
        (lambda t: t.update(features=t["features"][0].copy()), "expected (n, "),
        (lambda t: t.update(cameras=t["cameras"][:-1].copy()), "cameras of "),
        (lambda t: t["cameras"].__setitem__(0, -1), "cameras from -1 to"),
        (lambda t: t["cameras"].__setitem__(0, 10_000), "to 10000, expected 0 to"),
        (lambda t: t.update(cameras=t["cameras"].astype(np.float32)), "float32, expected"),
        (lambda t: t["photos"].__setitem__(0, -5), "photos from -5"),
        (lambda t: t.update(gate=t["gate"][:, :-1].copy()), "a gate of "),
        (lambda t: t.update(gate=t["gate"][:1].copy()), "a gate of "),
        (lambda t: t["gate"].__setitem__(0, np.nan), "gate: not all finite numbers"),
        (lambda t: t.update(comparison_mean=np.ones(3, np.float32)), "comparison_directions"),
        (lambda t: t.update(centres=np.ones((1, 3), np.float32)), "centres of (1, 3)"),
        (lambda t: t.update(odd=np.array([True])), "odd: not all finite numbers (bool)"),
    ],
)
def test_references_that_do_not_fit_are_refused(copy: Path, change: Callable[[dict[str, Any]], object], reason: str) -> None:
    tensors = bare({name: value.copy() for name, value in load((copy / REFERENCES).read_bytes()).items()})
    change(tensors)
    put(copy, REFERENCES, save(tensors))
    message = refusal(copy)
    assert message.startswith(f"{copy / REFERENCES}: not the references of this bundle")
    assert reason in message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        struct.pack("<Q", 1 << 60) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 66) + b'{"features":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}',
        struct.pack("<Q", 63) + b'{"features":{"dtype":"BF16","shape":[1,1],"data_offsets":[0,2]}}  ' + b"\0\0",
        struct.pack("<Q", 20) + b'{"features":' + b"[" * 2000,
    ],
)
def test_broken_safetensors_are_refused(copy: Path, data: bytes) -> None:
    put(copy, REFERENCES, data)
    assert "not the references of this bundle" in refusal(copy)


@pytest.mark.parametrize("name", ["a", "Größe.onnx", "a b", "..a", "-a"])
def test_plain_names(name: str) -> None:
    assert is_plain_name(name)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "/a", "C:a", "a\0", "a" * 256, None, " ", 3])
def test_names_that_are_not_plain(name: object) -> None:
    assert not is_plain_name(name)
