"""Reading Caffe's files: every allowed way of writing them gives the same numbers, and no file does worse than be refused."""

from __future__ import annotations

import importlib
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from camtrace.types import CamtraceError
from made_caffe import (
    LEARNED,
    MEAN,
    Array,
    blob,
    half_packed,
    layer,
    legacy_shape,
    number,
    packed,
    part,
    plain_net,
    shape,
    varint,
    write_files,
)

pytest.importorskip("torch", reason="the lab needs PyTorch: pip install 'camtrace[lab]'")
pytestmark = pytest.mark.lab

from camtrace.lab import caffe  # noqa: E402
from camtrace.lab.caffe import read_blob, read_layers  # noqa: E402
from camtrace.lab.import_caffe import import_caffe, read_labels, read_weights  # noqa: E402


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_files(tmp_path_factory.mktemp("caffe"))


def write(folder: Path, data: bytes, name: str = "some.caffemodel") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def check_learned(path: Path, mean: Path) -> None:
    found = read_weights(path, mean, n_cameras=18)
    for (weights, biases), wanted in zip(found.layers, LEARNED.values(), strict=True):
        np.testing.assert_array_equal(weights, wanted[0])
        np.testing.assert_array_equal(biases, wanted[1])
    np.testing.assert_array_equal(found.mean, MEAN[0])


def test_every_way_of_writing_gives_the_same_numbers(tmp_path: Path, files: dict[str, Path]) -> None:
    check_learned(files["weights"], files["mean"])
    check_learned(write(tmp_path, plain_net(LEARNED)), files["mean"])


def test_layers_are_found_by_name_or_else_by_order(tmp_path: Path, files: dict[str, Path]) -> None:
    backwards = dict(reversed(LEARNED.items()))
    check_learned(write(tmp_path, plain_net(backwards)), files["mean"])
    others = {f"layer {place}": pair for place, pair in enumerate(LEARNED.values())}
    check_learned(write(tmp_path, plain_net(others)), files["mean"])
    with pytest.raises(CamtraceError, match=r"conv1 \(called 'layer 5'\): weights: found shape \(18, 128\), expected \(32, 3, 4, 4\)"):
        check_learned(write(tmp_path, plain_net(dict(reversed(others.items())))), files["mean"])


def test_files_by_protobuf_itself_are_read(tmp_path: Path) -> None:
    """An independent writer: Google's library with the fields of METHOD section 1, old ways of writing them too."""
    arrays = (np.arange(6, dtype=np.float32).reshape(1, 1, 2, 3), np.array([-1.5, 2**-130], np.float32))
    for old in (False, True):
        net = protobuf_class("NetParameter", pack=not old)()
        learned = net.layer.add(name="été")
        for array in arrays:
            one = learned.blobs.add(data=array.ravel().tolist())
            if old and array.ndim == 4:
                one.num, one.channels, one.height, one.width = array.shape
            else:
                one.shape.dim.extend(array.shape)
        found = read_layers(write(tmp_path, net.SerializeToString()))
        assert [layer.name for layer in found] == ["été"]
        for array, wanted in zip(found[0].blobs, arrays, strict=True):
            assert array.dtype == np.float32
            np.testing.assert_array_equal(array, wanted)
    twice = protobuf_class("BlobProto", pack=False)(double_data=[0.1, 1e300])
    twice.shape.dim.append(2)
    np.testing.assert_array_equal(read_blob(write(tmp_path, twice.SerializeToString())), np.array([0.1, np.inf], np.float32))


def protobuf_class(name: str, *, pack: bool) -> Any:
    """A message class of Caffe's, made here from field names, numbers and types."""
    schema, pools, factory = (
        importlib.import_module(f"google.protobuf.{module}") for module in ("descriptor_pb2", "descriptor_pool", "message_factory")
    )
    file = schema.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    messages = {
        "BlobShape": [("dim", 1, "INT64", True)],
        "BlobProto": [
            *((dim, place, "INT32", False) for place, dim in enumerate(("num", "channels", "height", "width"), 1)),
            *(("data", 5, "FLOAT", True), ("double_data", 8, "DOUBLE", True), ("shape", 7, "BlobShape", False)),
        ],
        "LayerParameter": [("name", 1, "STRING", False), ("blobs", 7, "BlobProto", True)],
        "NetParameter": [("layer", 100, "LayerParameter", True)],
    }
    kinds = schema.FieldDescriptorProto
    for message, fields in messages.items():
        made = file.message_type.add(name=message)
        for field, place, kind, repeated in fields:
            label = kinds.LABEL_REPEATED if repeated else kinds.LABEL_OPTIONAL
            entry = made.field.add(name=field, number=place, label=label)
            if kind in messages:
                entry.type, entry.type_name = kinds.TYPE_MESSAGE, f".caffe.{kind}"
            else:
                entry.type = getattr(kinds, f"TYPE_{kind}")
                if repeated:
                    entry.options.packed = pack
    pool = pools.DescriptorPool()
    pool.Add(file)
    return factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}"))


# What is refused


CONV2, IP2 = LEARNED["conv2"], LEARNED["ip2"]
ANY = np.ones(2, np.float32)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"conv2": (CONV2[0][:, :, :3, :3], CONV2[1])},
            r"conv2: weights: found shape \(48, 32, 3, 3\), expected \(48, 32, 5, 5\)",
        ),
        ({"conv2": (CONV2[0], CONV2[1][:47])}, r"conv2: biases: found shape \(47,\), expected \(48,\)"),
        ({"conv2": (CONV2[0].reshape(32, 48, 5, 5), CONV2[1])}, r"conv2: weights: found shape \(32, 48, 5, 5\)"),
        ({"conv2": (CONV2[0].reshape(48, 800), CONV2[1])}, r"conv2: weights: found shape \(48, 800\)"),
        ({"conv2": (CONV2[0],)}, r"conv2: 1 arrays, expected 2: weights \(48, 32, 5, 5\) and biases \(48,\)"),
        ({"conv2": (*CONV2, CONV2[1])}, r"conv2: 3 arrays, expected 2"),
        ({"conv2": (CONV2[0], np.where(CONV2[1] > 0, np.nan, 0))}, r"conv2: biases: holds values that are not finite numbers"),
        ({"ip2": (IP2[0][:17], IP2[1][:17])}, r"ip2: weights: found shape \(17, 128\), expected \(18, 128\)"),
        ({"ip3": IP2}, r"7 layers with weights \('conv1', .*, 'ip3'\), expected 6: conv1, "),
    ],
)
def test_other_nets_are_refused_by_layer_and_shape(
    tmp_path: Path, files: dict[str, Path], other: dict[str, tuple[Array, ...]], message: str
) -> None:
    path = write(tmp_path, plain_net({**LEARNED, **other}))
    with pytest.raises(CamtraceError, match=rf"some\.caffemodel: {message}"):
        read_weights(path, files["mean"], n_cameras=18)


NO_NETS = {
    "old layers": (part(2, part(6, blob(ANY))), r"layers of the old kind \(V1\).*upgrade_net_proto_binary"),
    "no weights": (layer("relu"), "no layer with weights in it"),
    "empty": (b"", "no layer with weights in it"),
    "text": (b'name: "net"\nlayer {}', "field 13 is of type 6, which Caffe does not write"),
    "group": (varint(100 << 3 | 3), "field 100 is of type 3"),
    "field 0": (b"\x02\x01", "field 0 is of type 2"),
    "endless number": (b"\xff" * 40, "a number that does not end"),
    "number cut short": (varint(100 << 3 | 2) + b"\x80", "a number that does not end"),
    "endless length": (varint(100 << 3 | 2) + varint(2**62) + b"abc", f"field 100 wants {2**62} bytes, 3 are left"),
    "double cut short": (varint(9 << 3 | 1) + b"1234567", "field 9 wants 8 bytes, 7 are left"),
    "float cut short": (varint(9 << 3 | 5) + b"123", "field 9 wants 4 bytes, 3 are left"),
    "no shape": (layer("a", packed(ANY)), "2 numbers for an array of no shape"),
    "too few": (layer("a", packed(ANY) + part(7, part(1, varint(3)))), "2 numbers for an array of 3;"),
    "huge old shape": (layer("a", packed(ANY) + number(1, 2**60) + number(2, 2**60)), f"array of {2**60}x{2**60}x0x0"),
    "negative": (layer("a", packed(ANY) + part(7, part(1, varint(2**64 - 1) + varint(0)))), "array of 18446744073709551615x0"),
    "many dimensions": (layer("a", packed(ANY) + part(7, part(1, b"\1" * 65))), "more than 64 dimensions of an array"),
    "torn floats": (layer("a", part(5, b"12345") + shape(ANY)), "5 bytes where numbers of 4 bytes should be"),
    "torn doubles": (layer("a", part(8, b"1234") + shape(ANY)), "4 bytes where numbers of 8 bytes should be"),
    "no numbers": (layer("a", shape(ANY)), "0 bytes where numbers of 4 bytes should be"),
    "many arrays": (layer("a", *[blob(ANY)] * 65), "more than 64 arrays in a layer"),
    "many layers": (layer("a", blob(ANY)) * 65, "more than 64 layers with weights"),
}


@pytest.mark.parametrize(("data", "message"), NO_NETS.values(), ids=NO_NETS)
def test_files_that_are_no_nets_are_refused_with_the_reason(tmp_path: Path, data: bytes, message: str) -> None:
    with pytest.raises(CamtraceError, match=rf"some\.caffemodel: .*{message}"):
        read_layers(write(tmp_path, data))


MEANS = {
    "half": (blob(MEAN[:, :, :32]), r"the mean patch: found shape \(1, 3, 32, 64\), expected \(3, 64, 64\)"),
    "grey": (blob(MEAN[0, 0]), r"found shape \(64, 64\)"),
    "colours last": (blob(MEAN.transpose(0, 2, 3, 1)), r"found shape \(1, 64, 64, 3\)"),
    "negative": (blob(MEAN - 100), r"values from -\d.* to \d.*, expected a mean of pixels, 0 to 255"),
    "too bright": (blob(MEAN + 100), "expected a mean of pixels, 0 to 255"),
    "infinite": (blob(np.full_like(MEAN, np.inf)), "not finite"),
    "a net": (plain_net({"ip2": IP2}), "expected one array as Caffe saves it"),
    "empty": (b"", "0 bytes where numbers"),
}


@pytest.mark.parametrize(("mean", "message"), MEANS.values(), ids=MEANS)
def test_other_means_are_refused_with_the_reason(tmp_path: Path, files: dict[str, Path], mean: bytes, message: str) -> None:
    path = write(tmp_path, mean, "mean.binaryproto")
    with pytest.raises(CamtraceError, match=rf"mean\.binaryproto: .*{message}"):
        read_weights(files["weights"], path, n_cameras=18)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (b"", "names 0 camera, expected at least 2"),
        (b"Nikon_D90\n\n", "names 1 camera, expected at least 2"),
        (b"Nikon_D90\nSony_X\nnikon d-90\n", "'Nikon D90' and 'nikon d-90' are one camera, expected each once"),
        (b"Nikon_D90\n---\n", "'---' is not the name of a camera"),
        (b"Nikon_D90\nSony\x1b[2J\n", r"'Sony\\x1b\[2J' is not the name"),
        (b"\xff\xfeN\x00", "not text in UTF-8"),
    ],
)
def test_other_labels_are_refused_with_the_reason(tmp_path: Path, labels: bytes, message: str) -> None:
    with pytest.raises(CamtraceError, match=rf"labels\.txt: .*{message}"):
        read_labels(write(tmp_path, labels, "labels.txt"))


def test_labels_may_come_with_a_byte_order_mark(tmp_path: Path) -> None:
    assert read_labels(write(tmp_path, "\ufeffNikon_D90\n Sony_X \n".encode())) == ("Nikon D90", "Sony X")


def test_files_that_cannot_be_read(tmp_path: Path, files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    for path, message in ((tmp_path / "gone", "gone: cannot be read: No such file"), (tmp_path, "not a file")):
        for what in files:
            given = {**files, what: path}
            with pytest.raises(CamtraceError, match=message):
                import_caffe(given["weights"], mean=given["mean"], labels=given["labels"], out=tmp_path / "out")
    monkeypatch.setattr(caffe, "MAX_BYTES", 1000)
    with pytest.raises(CamtraceError, match=r"best\.caffemodel: \d+ bytes, expected at most 1000"):
        read_layers(files["weights"])
    assert not (tmp_path / "out").exists()


def test_sizes_that_a_file_claims_cost_nothing(tmp_path: Path) -> None:
    claims = [
        layer("a", packed(ANY) + part(7, part(1, varint(2**40)))),
        layer("a", packed(ANY) + number(1, 2**31 - 1) + number(2, 2**31 - 1)),
        varint(100 << 3 | 2) + varint(2**40),
    ]
    for claim in claims:
        path = write(tmp_path, claim)
        tracemalloc.start()
        with pytest.raises(CamtraceError):
            read_layers(path)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 100_000


# Files that are no files


READERS = (read_layers, read_blob, read_labels)


def read_anyway(folder: Path, data: bytes) -> None:
    """Whatever the bytes, they are read or refused."""
    path = write(folder, data, "fuzz")
    for read in READERS:
        try:
            read(path)
        except CamtraceError as error:
            assert "fuzz" in str(error)  # noqa: PT017 - both ends are allowed


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


SMALL_NET = layer("conv1", blob(np.ones((2, 3))), blob(ANY, dims=legacy_shape)) + layer("ip1", blob(ANY, values=half_packed))
FIELDS = st.recursive(
    st.binary(max_size=20),
    lambda inner: st.lists(st.tuples(st.sampled_from([1, 2, 3, 4, 5, 7, 8, 9, 100]), st.integers(0, 7), inner), max_size=4).map(
        lambda fields: b"".join(
            varint(place << 3 | wire) + (varint(len(body)) if wire == 2 else b"") + body for place, wire, body in fields
        )
    ),
    max_leaves=20,
)


@given(data=st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(folder: Path, data: bytes) -> None:
    read_anyway(folder, data)


@given(data=FIELDS)
def test_random_messages_are_read_or_refused(folder: Path, data: bytes) -> None:
    read_anyway(folder, data)


@given(start=st.integers(0, len(SMALL_NET)), length=st.integers(0, 8), new=st.binary(max_size=8))
def test_damaged_nets_are_read_or_refused(folder: Path, start: int, length: int, new: bytes) -> None:
    read_anyway(folder, SMALL_NET[:start] + new + SMALL_NET[start + length :])


def test_a_net_cut_short_anywhere_holds_fewer_layers_or_is_refused(folder: Path) -> None:
    whole = read_layers(write(folder, SMALL_NET))
    assert [len(layer.blobs) for layer in whole] == [2, 1]
    for length in range(len(SMALL_NET)):
        path = write(folder, SMALL_NET[:length])
        try:
            assert len(read_layers(path)) < 2
        except CamtraceError:
            continue


@given(data=st.binary(max_size=100), what=st.sampled_from(["weights", "mean", "labels"]))
def test_an_import_of_random_bytes_is_refused(files: dict[str, Path], folder: Path, data: bytes, what: str) -> None:
    given = {**files, what: write(folder, data, "random")}
    with pytest.raises(CamtraceError):
        import_caffe(given["weights"], mean=given["mean"], labels=given["labels"], out=folder / "out")
