"""Is a bundle from a stranger what it must be, and nothing else? Looked at before ONNX Runtime, or anything, runs on it.

A model may use the operators of OPERATORS in the standard domains, hold its weights itself, and take and give what a bundle's must;
it has no functions, no branches or loops, and nothing in it may become larger than MAX_ELEMENTS for MANY patches. That keeps memory
within bounds, not time: a net may be slow. Who runs bundles of strangers runs them in a process that can be ended.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from camtrace.screening import visible

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

MAX_MANIFEST, MAX_MODEL, MAX_REFERENCES, MAX_CARD = 1 << 25, 1 << 30, 1 << 30, 1 << 23
"""Bytes of a bundle's files, at most: 32 MB, 1 GB, 1 GB and 8 MB. The bundle that ships has 20 KB, 0.5 MB, 7 MB and 10 KB."""

MAX_CAMERAS, MAX_PATCH, MAX_PATCHES, MAX_DIMENSION, LONGEST_NAME = 10_000, 1024, 100_000, 1 << 16, 200
MAX_NODES, MAX_ELEMENTS, MANY = 20_000, 1 << 28, 32
_LARGE = 4096
STANDARD = frozenset({"", "ai.onnx", "ai.onnx.ml"})
_UNUSED = frozenset({"pkg.onnxscript.torch_lib", "pkg.onnxscript.torch_lib.common"})  # torch.onnx may declare these, and not use them
OPERATORS = frozenset(
    """Abs Acos Add And ArgMax ArgMin ArrayFeatureExtractor Asin Atan AveragePool BatchNormalization Binarizer BitwiseAnd BitwiseNot
    BitwiseOr BitwiseXor BitShift Cast CastLike Ceil Celu Clip Concat Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos CumSum
    DepthToSpace DequantizeLinear DynamicQuantizeLinear Div Dropout Einsum Elu Equal Erf Exp Expand FeatureVectorizer Flatten Floor
    Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GroupNormalization
    HardSigmoid HardSwish Hardmax Identity Imputer InstanceNormalization IsInf IsNaN LRN LayerNormalization LeakyRelu Less LessOrEqual
    LinearClassifier LinearRegressor Log LogSoftmax LpNormalization LpPool MatMul MatMulInteger Max MaxPool Mean
    MeanVarianceNormalization Min Mish Mod Mul Neg Normalizer Not OneHot Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear
    RMSNormalization Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare Relu Reshape Resize Round SVMClassifier SVMRegressor Scaler ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign
    Sin Sinh Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile TopK
    Transpose TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor Trilu Unsqueeze Where Xor Cosh Asinh Acosh
    Atanh""".split()  # noqa: SIM905 - a list of words reads best as words
)
"""All that nets and classifiers on patches need. Not in it: branches and loops, sequences, text, random numbers."""

Tensors = Mapping[str, NDArray[Any]]


def parse_json(data: bytes) -> Any:
    """JSON of a stranger. Raises ValueError where it is none: also for NaN, which is no JSON, and for nesting without end."""
    try:
        return json.loads(data, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is no number of JSON")


def check_name(what: str, name: object, *, longest: int = LONGEST_NAME) -> None:
    """Names are shown to people: text of a line, not endless, without what steers a terminal or turns the reading direction."""
    if not isinstance(name, str) or not name.strip() or len(name) > longest or visible(name) != name:
        raise ValueError(f"{what} {visible(str(name), longest=60)!r} is not a name of up to {longest} visible characters")


def check_whole(what: str, value: object, *, least: int = 0, most: int) -> None:
    """A whole number within limits, else ValueError."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{what} is {visible(str(value), longest=60)}, expected a whole number from {least} to {most}")


def check_finite(what: str, values: Iterable[object]) -> None:
    """Numbers that are numbers: neither NaN nor without end, else ValueError."""
    for value in values:
        if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > 1e300 or math.isnan(value):
            raise ValueError(f"{what} is {visible(str(value), longest=60)}, expected a finite number")


def check_camera(camera: Any) -> None:
    """A camera of a manifest: fit to be shown, and numbers that are numbers, else ValueError."""
    check_name("camera", camera.name)
    check_name("make", camera.make)
    check_whole("photos", camera.photos, most=1 << 40)
    check_whole("tested", camera.tested, most=1 << 40)
    check_finite("accuracy", () if camera.accuracy is None else (camera.accuracy,))
    if not isinstance(camera.protocol, str) or visible(camera.protocol) != camera.protocol:
        raise ValueError(f"protocol {visible(str(camera.protocol), longest=60)!r}")


def check_model(data: bytes, inputs: Mapping[str, Sequence[Any]], outputs: Mapping[str, Sequence[Any]]) -> None:
    """Whether ONNX Runtime may load a model: see the module's docstring.

    `inputs` and `outputs` are the names that there must be, each with its type (of `onnx.TensorProto`, by name) and its sides, None
    for the patches.

    Raises
    ------
    ValueError
        It is no ONNX, or it is not allowed; the message says what was found.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # protobuf's own errors
        raise ValueError(f"not an ONNX model: {error}") from error
    try:
        _check_operators(model)
        _check_weights(model)
        _check_interface("input", model.graph.input, inputs, model)
        _check_interface("output", model.graph.output, outputs, model)
        _check_sizes(model)
    except ValueError:
        raise
    except Exception as error:  # names that are no text, kinds of numbers that there are not: onnx's helpers raise many kinds
        raise ValueError(f"not an ONNX model: {type(error).__name__}: {error}") from error


def _check_operators(model: ModelProto) -> None:
    from onnx import AttributeProto

    domains = {entry.domain for entry in model.opset_import} | {node.domain for node in model.graph.node}
    if strange := domains - STANDARD - _UNUSED:
        raise ValueError(f"operators of {visible(', '.join(sorted(strange)), longest=60)!r}, expected standard ones only")
    if len(model.functions) or len(model.training_info):
        raise ValueError("functions or training information of its own, expected neither")
    if len(model.graph.node) > MAX_NODES:
        raise ValueError(f"{len(model.graph.node)} operators, expected at most {MAX_NODES}")
    for node in model.graph.node:
        if node.op_type not in OPERATORS or node.domain not in STANDARD:
            raise ValueError(f"the operator {visible(node.op_type, longest=60)!r}, which is not one of those that bundles may use")
        if any(one.type not in _plain(AttributeProto) for one in node.attribute):
            raise ValueError(f"a graph within {visible(node.op_type)!r}, expected plain attributes")


def _plain(proto: Any) -> tuple[int, ...]:
    return proto.FLOAT, proto.INT, proto.STRING, proto.TENSOR, proto.FLOATS, proto.INTS, proto.STRINGS


def _check_weights(model: ModelProto) -> None:
    """No weights in other files, which would be read from wherever the model says."""
    from onnx import TensorProto

    if len(model.graph.sparse_initializer):
        raise ValueError("sparse weights, expected plain ones")
    for tensor in (*model.graph.initializer, *_constants(model.graph.node)):
        if tensor.data_location == TensorProto.EXTERNAL or len(tensor.external_data):
            raise ValueError(f"weights in another file ({visible(tensor.name, longest=60)!r}), expected all within the model")
        if any(side < 0 for side in tensor.dims) or math.prod(tensor.dims) > MAX_ELEMENTS:
            raise ValueError(f"weights of {list(tensor.dims)[:8]}, expected at most {MAX_ELEMENTS} numbers")


def _constants(nodes: Iterable[NodeProto]) -> Iterator[Any]:
    return (one.t for node in nodes for one in node.attribute if one.HasField("t"))


def _check_interface(what: str, found: Any, wanted: Mapping[str, Sequence[Any]], model: ModelProto) -> None:
    from onnx import TensorProto

    held = {tensor.name for tensor in model.graph.initializer}
    values = {value.name: value.type.tensor_type for value in found if value.name not in held}
    if sorted(values) != sorted(wanted):
        raise ValueError(f"{what}s {visible(', '.join(sorted(values)), longest=100)}, expected {', '.join(sorted(wanted))}")
    for name, (kind, *sides) in wanted.items():
        type_, shape = TensorProto.DataType.Name(values[name].elem_type), values[name].shape.dim
        free = (
            len(shape)
            and len(shape) == len(sides)
            and all(
                not side.HasField("dim_value") or expected is None or side.dim_value == expected
                for side, expected in zip(shape, sides, strict=True)
            )
        )
        if type_ != kind or not free:
            got = [side.dim_value or side.dim_param for side in shape]
            raise ValueError(f"the {what} {name} is {type_} {visible(str(got), longest=100)}, expected {kind} {['n', *sides[1:]]}")


def _check_sizes(model: ModelProto) -> None:
    """Every value's size must follow from the graph, for MANY patches, and be one that a computer has room for. Changes the model."""
    from onnx import shape_inference

    for value in (*model.graph.input, *model.graph.output):
        if value.type.tensor_type.shape.dim:
            value.type.tensor_type.shape.dim[0].dim_value = MANY
    del model.graph.value_info[:]  # what the file says of itself is not evidence
    _number_patches(model)
    _empty_large(model)
    try:
        inferred = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    except Exception as error:  # onnx's own errors
        raise ValueError(f"sizes that do not fit each other: {str(error)[:200]}") from error
    known = {value.name: _elements(value) for value in (*inferred.value_info, *inferred.output, *inferred.input)}
    for node in inferred.node:
        for name in filter(None, node.output):
            size = known.get(name)
            if size is None or size > MAX_ELEMENTS:
                much = "a size that cannot be told in advance" if size is None else f"{size:,} numbers, more than {MAX_ELEMENTS:,}"
                raise ValueError(f"{visible(node.op_type)} gives {much} for {MANY} patches")


def _number_patches(model: ModelProto) -> None:
    """Where PyTorch numbers the patches, `Range(0, number of patches, 1)`, write the numbers: onnx cannot tell how many there are."""
    from onnx import numpy_helper

    makers = {name: node for node in model.graph.node for name in node.output}
    scalars = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer if math.prod(tensor.dims) == 1}
    for node in [node for node in model.graph.node if node.op_type == "Range" and len(node.input) == 3]:
        squeeze = makers.get(node.input[1])
        shape = makers.get(squeeze.input[0]) if squeeze and squeeze.op_type == "Squeeze" else None
        sides = {one.name: one.i for one in shape.attribute} if shape and shape.op_type == "Shape" else {}
        of_patches = shape is not None and shape.input[0] == model.graph.input[0].name and sides == {"start": 0, "end": 1}
        if of_patches and [scalars.get(node.input[place]) for place in (0, 2)] == [0, 1]:
            model.graph.initializer.append(numpy_helper.from_array(np.arange(MANY), node.output[0]))
            model.graph.node.remove(node)


def _empty_large(model: ModelProto) -> None:
    """Large weights become inputs of their shape: sizes never follow from their values, which take seconds to hand over."""
    from onnx import helper

    held = {value.name for value in model.graph.input}
    for tensor in [tensor for tensor in model.graph.initializer if math.prod(tensor.dims) > _LARGE]:
        if tensor.name not in held:
            model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
        model.graph.initializer.remove(tensor)


def _elements(value: Any) -> int | None:
    sides = value.type.tensor_type.shape.dim
    if not value.type.tensor_type.HasField("shape") or not all(side.HasField("dim_value") for side in sides):
        return None
    return math.prod(int(side.dim_value) for side in sides)


def check_tensors(tensors: Tensors, *, dimension: int, n_cameras: int) -> None:
    """Whether the references of a bundle fit it: shapes, kinds, numbers that are numbers. Raises ValueError or KeyError."""
    features, _, _ = (tensors[name] for name in ("features", "cameras", "photos"))
    if features.ndim != 2 or features.shape[1] not in (dimension, 0):
        raise ValueError(f"features of {features.shape}, expected (n, {dimension})")
    for name, most in (("cameras", n_cameras - 1), ("photos", 1 << 40), ("copies", 1 << 20)):
        if name in tensors:
            _check_indices(name, tensors[name], len(features), most)
    if "gate" in tensors and tensors["gate"].shape not in ((dimension + 1,), (2, dimension + 1), (3, dimension + 1)):
        raise ValueError(f"a gate of {tensors['gate'].shape}, expected (3, {dimension + 1})")
    if "centres" in tensors and tensors["centres"].shape != (n_cameras, dimension):
        raise ValueError(f"centres of {tensors['centres'].shape}, expected ({n_cameras}, {dimension})")
    for prefix in ("comparison_", "nearness_"):
        _check_comparison({name: value for name, value in tensors.items() if name.startswith(prefix)}, prefix, dimension)
    for name, value in tensors.items():
        may_lack = name == "centres"  # NaN there stands for a camera without an untouched photo
        if value.dtype.kind not in "iuf" or (value.dtype.kind == "f" and not (np.isfinite(value) | (may_lack & np.isnan(value))).all()):
            raise ValueError(f"{visible(name, longest=60)}: not all finite numbers ({value.dtype})")


def _check_indices(name: str, values: NDArray[Any], count: int, most: int) -> None:
    if values.shape != (count,) or values.dtype.kind not in "iu":
        raise ValueError(f"{name} of {values.shape} {values.dtype}, expected ({count},) whole numbers")
    if count and not 0 <= int(values.min()) <= int(values.max()) <= most:
        raise ValueError(f"{name} from {values.min()} to {values.max()}, expected 0 to {most}")


def _check_comparison(tensors: Tensors, prefix: str, dimension: int) -> None:
    if not tensors:
        return
    mean, directions, between, line = (tensors[prefix + name] for name in ("mean", "directions", "between", "line"))
    kept = directions.shape[-1]
    shapes = (mean.shape, directions.shape, between.shape, line.shape)
    if shapes != ((dimension,), (dimension, kept), (kept,), (4,)) or not (between > 0).all():
        raise ValueError(f"{prefix}* of {shapes}, expected ({dimension},), ({dimension}, k), (k,) above 0, (4,)")
