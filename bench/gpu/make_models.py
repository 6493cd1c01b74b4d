"""Makes the models that the GPU is measured with, the same on every machine.

    python bench/gpu/make_models.py OUT_FOLDER

gbdt_500x8.onnx: 500 perfect trees of depth 8 over 32 features, random splits and
leaves, x [N,32] float32 to score [N,1]. wide_mlp.onnx: 256-1024-1024-1 with Relu,
x [N,256] float32 to score [N,1]. Neither has learnt anything: what they cost is
what counts. Needs the onnx and numpy of models/reference/requirements.txt.
"""

import json
import pathlib
import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SEED = 20240501
OPSET = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]


def model(nodes, features, initializers=()):
    graph = helper.make_graph(
        nodes,
        "made",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", features])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N", 1])],
        initializer=list(initializers),
    )
    made = helper.make_model(graph, producer_name="millrace-bench", opset_imports=OPSET, ir_version=8)
    helper.set_model_props(made, {"feature_names": json.dumps([f"f{i}" for i in range(features)])})
    onnx.checker.check_model(made)
    return made


def gbdt(trees=500, depth=8, features=32):
    """Perfect trees, node i above nodes 2i+1 (true) and 2i+2 (false). Features are
    meant to be standard normal; thresholds come from the same distribution, but
    within what is common, so that rows spread over the leaves."""
    random = np.random.default_rng(SEED)
    splits, leaves = 2**depth - 1, 2**depth
    count = splits + leaves
    ids = np.arange(count)
    is_split = ids < splits
    thresholds = np.clip(random.normal(size=(trees, splits)), -1.5, 1.5).astype(np.float32)
    columns = random.integers(0, features, size=(trees, splits))
    values = (random.normal(size=(trees, leaves)) * 0.1).astype(np.float32)

    def padded(part, kind):
        whole = np.zeros((trees, count), kind)
        whole[:, :splits] = part
        return whole.ravel().tolist()

    def per_tree(row):
        return np.tile(row, trees).tolist()

    leaf_ids = np.tile(np.arange(splits, count), trees).tolist()
    leaf_trees = np.repeat(np.arange(trees), leaves).tolist()
    node = helper.make_node(
        "TreeEnsembleRegressor",
        ["x"],
        ["score"],
        domain="ai.onnx.ml",
        n_targets=1,
        nodes_treeids=np.repeat(np.arange(trees), count).tolist(),
        nodes_nodeids=per_tree(ids),
        nodes_modes=per_tree(np.where(is_split, "BRANCH_LEQ", "LEAF")),
        nodes_featureids=padded(columns, np.int64),
        nodes_values=padded(thresholds, np.float32),
        nodes_truenodeids=per_tree(np.where(is_split, 2 * ids + 1, 0)),
        nodes_falsenodeids=per_tree(np.where(is_split, 2 * ids + 2, 0)),
        target_treeids=leaf_trees,
        target_nodeids=leaf_ids,
        target_ids=[0] * len(leaf_ids),
        target_weights=values.ravel().tolist(),
    )
    return model([node], features)


def mlp(widths=(256, 1024, 1024, 1)):
    random = np.random.default_rng(SEED)
    nodes, initializers, last = [], [], "x"
    for i, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
        weights = (random.normal(size=(inputs, outputs)) * np.sqrt(2 / inputs)).astype(np.float32)
        bias = (random.normal(size=outputs) * 0.1).astype(np.float32)
        initializers += [numpy_helper.from_array(weights, f"w{i}"), numpy_helper.from_array(bias, f"b{i}")]
        final = i == len(widths) - 2
        nodes.append(helper.make_node("Gemm", [last, f"w{i}", f"b{i}"], ["score" if final else f"h{i}"]))
        last = f"h{i}"
        if not final:
            nodes.append(helper.make_node("Relu", [last], [f"r{i}"]))
            last = f"r{i}"
    return model(nodes, widths[0], initializers)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, made in (("gbdt_500x8.onnx", gbdt()), ("wide_mlp.onnx", mlp())):
        (folder / name).write_bytes(made.SerializeToString(deterministic=True))
        print(folder / name)


if __name__ == "__main__":
    main()
