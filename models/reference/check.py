"""Compares the ONNX models, run by ONNX Runtime, with the libraries' predictions.

    python models/reference/check.py

Prints the largest difference of every golden column, and fails beyond the
tolerance in reference.json.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from shared import HERE, ROOT, Floats

BATCH_ROWS = 4096


def main() -> int:
    failures = 0
    for entry in json.loads((HERE / "reference.json").read_text())["models"]:
        table = pq.read_table(ROOT / entry["sample_parquet"])
        golden = pq.read_table(ROOT / entry["golden"])
        assert golden["id"].equals(table["id"]), entry["name"]
        session = onnxruntime.InferenceSession(ROOT / entry["onnx"])
        feeds = _feeds(entry, table, {i.name: i.type for i in session.get_inputs()})
        results = _run(session, feeds)
        for output in entry["outputs"]:
            got = _pick(results[output["onnx_output"]], output)
            failures += _compare(entry, output, got, golden[output["golden"]].to_numpy())
        if entry["name"] == "flights_gbdt":
            worst = _routes(entry, feeds["features"], golden["variable"].to_numpy())
            print(f"{'':15} {'routes':14} max difference {worst:.2e} with float64 sums")
            failures += worst > 1e-5
    return 1 if failures else 0


def _feeds(entry: dict, table: pa.Table, types: dict[str, str]) -> dict[str, np.ndarray]:
    """Makes each model input from its columns; a null takes its constant, or NaN."""
    feeds = {}
    for name, columns in entry["inputs"].items():
        arrays = []
        for column in columns:
            values = table[column].combine_chunks()
            if (constant := entry["null_constants"].get(column)) is not None:
                values = pc.fill_null(values, constant)
            if pa.types.is_fixed_size_list(values.type):
                width = values.type.list_size
                arrays.append(values.flatten().to_numpy().reshape(-1, width))
            else:
                arrays.append(values.to_numpy(zero_copy_only=False).reshape(-1, 1))
        feeds[name] = np.concatenate(arrays, axis=1)
        if types[name] == "tensor(string)":
            feeds[name] = feeds[name].astype(object)
    return feeds


def _run(
    session: onnxruntime.InferenceSession, feeds: dict[str, np.ndarray]
) -> dict[str, np.ndarray | list]:
    rows = len(next(iter(feeds.values())))
    batches = [
        session.run(None, {name: x[i : i + BATCH_ROWS] for name, x in feeds.items()})
        for i in range(0, rows, BATCH_ROWS)
    ]
    results = {}
    for output, parts in zip(session.get_outputs(), zip(*batches)):
        is_zipmap = isinstance(parts[0], list)
        results[output.name] = sum(parts, []) if is_zipmap else np.concatenate(parts)
    return results


def _pick(result: np.ndarray | list, output: dict) -> npt.NDArray[np.generic]:
    if output["map_key"] is not None:
        return np.array([row[output["map_key"]] for row in result])
    if output["index"] is not None:
        return result[:, output["index"]]
    return result.reshape(-1)


def _compare(entry: dict, output: dict, got: np.ndarray, want: np.ndarray) -> bool:
    """Prints one line; true when a row is outside the tolerance."""
    difference = np.abs(got.astype(np.float64) - want.astype(np.float64))
    if output["exact"]:
        allowed = np.zeros_like(difference)
    else:
        allowed = entry["atol"] + entry["rtol"] * np.abs(want.astype(np.float64))
    outside = int(np.sum(~(difference <= allowed)))
    worst = np.max(difference / np.maximum(allowed, 1e-300))
    print(
        f"{entry['name']:15} {output['golden']:14} max difference {difference.max():.2e}, "
        f"{worst:4.0%} of the tolerance, {outside} of {len(want)} rows outside"
    )
    return outside > 0


def _routes(entry: dict, x: Floats, want: npt.NDArray[np.float64]) -> float:
    """Walks the ONNX trees in numpy and adds the leaves in float64.

    What differs now is only the leaves' rounding to float32. A single row that
    took another branch than in the library would show as a whole leaf's worth.
    """
    node = onnx.load(ROOT / entry["onnx"]).graph.node[0]
    a = {x.name: onnx.helper.get_attribute_value(x) for x in node.attribute}
    keys = list(zip(a["nodes_treeids"], a["nodes_nodeids"]))
    at = {key: i for i, key in enumerate(keys)}
    is_leaf = np.array([mode == b"LEAF" for mode in a["nodes_modes"]])
    threshold = np.array(a["nodes_values"], np.float32)
    feature = np.array(a["nodes_featureids"])
    nan_goes_true = np.array(a["nodes_missing_value_tracks_true"]) == 1
    true = np.array([at.get((t, c), 0) for (t, _), c in zip(keys, a["nodes_truenodeids"])])
    false = np.array([at.get((t, c), 0) for (t, _), c in zip(keys, a["nodes_falsenodeids"])])
    leaf = np.zeros(len(keys))
    for tree, child, weight in zip(a["target_treeids"], a["target_nodeids"], a["target_weights"]):
        leaf[at[tree, child]] = weight

    total = np.zeros(len(x))
    row = np.arange(len(x))
    for tree in sorted(set(a["nodes_treeids"])):
        here = np.full(len(x), at[tree, 0])
        while not is_leaf[here].all():
            value = x[row, feature[here]]
            goes_true = (value <= threshold[here]) | (np.isnan(value) & nan_goes_true[here])
            here = np.where(is_leaf[here], here, np.where(goes_true, true[here], false[here]))
        total += leaf[here]
    return float(np.abs(total - want).max())


if __name__ == "__main__":
    sys.exit(main())
