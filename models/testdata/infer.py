#!/usr/bin/env python3
"""Writes types.onnx and types-11.onnx: a node of each operator whose outputs' types models
follows, with the types and shapes that onnx.shape_inference gives them.

    .venv/bin/python models/testdata/infer.py

Needs onnx, as models/reference/requirements.txt has it.
"""

import pathlib

import onnx
from onnx import TensorProto, helper

HERE = pathlib.Path(__file__).parent
F, D, I, B, H = TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.INT64, TensorProto.BOOL, TensorProto.FLOAT16

INPUTS = {
    "x": (F, ["N", 3]), "y": (F, ["N", 3]), "column": (F, ["N", 1]), "wide": (D, ["N", 6]), "open": (F, ["N", "C"]), "half": (H, ["N", 4]),
    "ints": (I, ["N", 3]), "flags": (B, ["N", 3]), "cube": (F, ["N", 4, 5]), "vector": (F, ["N"]), "image": (F, ["N", 2, 8, 8]),
}
CONSTANTS = {
    "three": (F, [3], [1, 2, 3]), "one": (F, [], [1]), "ones": (F, [1], [1]), "two": (D, [1], [2]), "weights": (F, [3, 7], [1] * 21), "turned": (F, [7, 3], [1] * 21),
    "picks": (I, [2], [2, 0]), "pick": (I, [], [1]), "square": (I, [1, 2], [0, 1]), "axis": (I, [1], [1]), "zero": (I, [1], [0]), "end": (I, [1], [2]),
    "k": (I, [1], [2]), "sizes": (I, [2], [1, 2]), "rest": (I, [2], [-1, 9]), "kept": (I, [2], [0, 3]), "pads": (I, [4], [0, 1, 0, 2]),
    "tiles": (I, [2], [1, 2]), "grown": (I, [2], [1, 3]), "depth": (I, [1], [4]), "values": (F, [2], [0, 1]), "double": (D, [1, 6], [1] * 6),
    "kernel": (F, [3, 2, 3, 3], [1] * 54), "scale2": (F, [2], [1, 1]),
}

UNARY = [
    "Identity", "Relu", "LeakyRelu", "ThresholdedRelu", "Elu", "Selu", "Celu", "Gelu", "Mish", "Sigmoid", "HardSigmoid", "HardSwish",
    "Softplus", "Softsign", "Tanh", "Softmax", "LogSoftmax", "Hardmax", "Clip", "Shrink", "Abs", "Neg", "Sign", "Reciprocal", "Sqrt", "Exp",
    "Log", "Erf", "Floor", "Ceil", "Round", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Trilu",
    "Dropout", "LpNormalization", "IsNaN", "IsInf", "Flatten", "Shape", "Size", "NonZero", "ArgMax", "ArgMin", "Transpose",
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare",
]


class Graph:
    def __init__(self):
        self.nodes = []

    def add(self, op, inputs, outputs=1, domain="", **attributes):
        names = [f"{op}{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, domain=domain, **attributes))

    def save(self, path, opset):
        used = {name for n in self.nodes for name in n.input}
        graph = helper.make_graph(
            self.nodes, "types",
            [helper.make_tensor_value_info(n, t, s) for n, (t, s) in INPUTS.items() if n in used],
            [helper.make_empty_tensor_value_info(self.nodes[-1].output[0])],
            [helper.make_tensor(n, t, s, v) for n, (t, s, v) in CONSTANTS.items() if n in used])
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)], ir_version=10)
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        path.write_bytes(model.SerializeToString(deterministic=True))


def newest():
    g = Graph()
    for op in UNARY:
        g.add(op, ["x"])
    for op in ("Add", "Sub", "Mul", "Div", "Pow", "Mod", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"):
        extra = {"fmod": 1} if op == "Mod" else {}
        for inputs in (["x", "three"], ["three", "x"], ["column", "x"], ["open", "x"], ["one", "open"], ["vector", "x"], ["cube", "one"], ["wide", "two"]):
            if inputs[0] != "vector":
                g.add(op, inputs, **extra)
    for op in ("Min", "Max", "Sum", "Mean"):
        g.add(op, ["x", "y", "column"])
        g.add(op, ["x"])
    for op in ("And", "Or", "Xor"):
        g.add(op, ["flags", "flags"])
    g.add("Not", ["flags"])
    g.add("Where", ["flags", "column", "one"])
    g.add("Where", ["flags", "x", "three"])
    g.add("PRelu", ["x", "three"])
    g.add("CumSum", ["x", "axis"])
    g.add("Cast", ["half"], to=F)
    g.add("Cast", ["x"], to=D)
    g.add("CastLike", ["wide", "x"])
    g.add("MatMul", ["x", "weights"])
    g.add("MatMul", ["open", "weights"])
    g.add("Gemm", ["x", "turned"], transB=1)
    g.add("Gemm", ["x", "weights", "one"], alpha=2.0)
    g.add("Concat", ["x", "column", "y"], axis=1)
    g.add("Concat", ["x", "open"], axis=-1)
    g.add("Concat", ["x", "y"], axis=0)
    g.add("Reshape", ["cube", "rest"])
    g.add("Reshape", ["x", "kept"])
    g.add("Gather", ["x", "picks"], axis=1)
    g.add("Gather", ["x", "pick"], axis=1)
    g.add("Gather", ["cube", "square"], axis=-1)
    g.add("Gather", ["wide", "picks"], axis=0)
    g.add("GatherElements", ["x", "ints"], axis=1)
    g.add("GatherND", ["x", "square"])
    g.add("Split", ["wide"], 3, axis=1, num_outputs=3)
    g.add("Split", ["x", "sizes"], 2, axis=-1)
    g.add("Split", ["open"], 2, axis=1, num_outputs=2)
    g.add("Split", ["half"], 3, axis=1, num_outputs=3)
    g.add("TopK", ["wide", "k"], 2)
    g.add("Slice", ["x", "zero", "end", "axis"])
    g.add("Squeeze", ["column", "axis"])
    g.add("Unsqueeze", ["x", "axis"])
    g.add("Expand", ["column", "grown"])
    g.add("Tile", ["half", "tiles"])
    g.add("Pad", ["wide", "pads"])
    g.add("Compress", ["x", "flag"], axis=1)
    g.add("Einsum", ["x", "weights"], equation="nc,ck->nk")
    g.add("ScatterElements", ["x", "ints", "y"], axis=1)
    g.add("ScatterND", ["x", "square", "ones"])
    g.add("BatchNormalization", ["image", "scale2", "scale2", "scale2", "scale2"])
    g.add("InstanceNormalization", ["image", "scale2", "scale2"])
    g.add("LayerNormalization", ["x", "three"])
    g.add("MeanVarianceNormalization", ["image"], axes=[0, 2, 3])
    g.add("Conv", ["image", "kernel"])
    for op in ("MaxPool", "AveragePool"):
        g.add(op, ["image"], kernel_shape=[2, 2])
    for op in ("GlobalMaxPool", "GlobalAveragePool"):
        g.add(op, ["image"])
    g.add("Flatten", ["image"])
    g.add("Flatten", ["cube"], axis=2)
    g.add("ArgMax", ["wide"], axis=1, keepdims=0)
    g.add("ArgMin", ["cube"], axis=-1)
    ml = {"domain": "ai.onnx.ml"}
    g.add("OneHotEncoder", ["ints"], cats_int64s=[1, 2, 3, 4], **ml)
    g.add("ArrayFeatureExtractor", ["wide", "picks"], **ml)
    g.add("LabelEncoder", ["ints"], keys_int64s=[1], values_floats=[2.0], **ml)
    return g


def older():
    """Opset 11, where sizes and axes were attributes."""
    g = Graph()
    g.add("Split", ["x"], 2, axis=1, split=[1, 2])
    g.add("Split", ["wide"], 2, axis=-1)
    g.add("Squeeze", ["column"], axes=[1])
    g.add("ReduceSum", ["wide"], axes=[1])
    g.add("Softmax", ["half"])
    return g


CONSTANTS["flag"] = (B, [3], [True, False, True])

if __name__ == "__main__":
    newest().save(HERE / "types.onnx", 21)
    older().save(HERE / "types-11.onnx", 11)
