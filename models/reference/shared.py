"""What every reference model needs: data, golden files, and its entry in reference.json."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TESTDATA = ROOT / "testdata"
DATA = Path(os.environ.get("MILLRACE_DATA_DIR") or ROOT / ".data")

SEED = 20010101
# One, because sums over threads depend on how many there are, and because OpenMP
# threads that spin for each other crawl on a busy machine.
THREADS = 1
LATE_MINUTES = 15

# The newest that onnxmltools takes.
OPSET = 15

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Output:
    """Where a golden column is found in the model's outputs.

    `index` is the position on the second axis of a tensor output, None when the
    output is [N] or [N,1]. `map_key` is the key in a ZipMap output.
    """

    golden: str
    onnx_output: str
    index: int | None = None
    map_key: int | None = None
    exact: bool = False  # compared for equality, whatever the tolerance


@dataclass(frozen=True, eq=False)
class Reference:
    """One entry of reference.json; paths are relative to the repository's root."""

    name: str
    what: str
    exporter: str
    sample: str  # the name in testdata/, without its ending
    inputs: dict[str, list[str]]  # columns that make each model input, in order
    outputs: list[Output]
    nulls: str  # what a null becomes: "nan", or "error" where there are none
    atol: float
    rtol: float
    reason: str
    null_constants: dict[str, str] = field(default_factory=dict)  # per column, before `nulls`

    @property
    def onnx_path(self) -> Path:
        return HERE / f"{self.name}.onnx"

    @property
    def golden_path(self) -> Path:
        return HERE / f"{self.name}.golden.parquet"

    @property
    def sample_path(self) -> Path:
        return TESTDATA / f"{self.sample}.parquet"

    def entry(self) -> dict[str, object]:
        fields = asdict(self)
        del fields["sample"]
        files = {
            "onnx": f"models/reference/{self.name}.onnx",
            "golden": f"models/reference/{self.name}.golden.parquet",
            "sample_parquet": f"testdata/{self.sample}.parquet",
            "sample_arrow": f"testdata/{self.sample}.arrow",
        }
        return {"name": fields.pop("name")} | files | fields


def feature_names() -> list[str]:
    """The 32 features in their order, as the sample has them."""
    names = pq.read_schema(TESTDATA / "flights-sample.parquet").names
    return [name for name in names if name not in ("id", "delay")]


def matrix(table: pa.Table, columns: Sequence[str]) -> Floats:
    """Makes a C-ordered float32 matrix; nulls become NaN."""
    out = np.empty((table.num_rows, len(columns)), np.float32)
    for i, name in enumerate(columns):
        column = table[name]
        assert column.type == pa.float32(), (name, column.type)
        out[:, i] = column.to_numpy()  # pyarrow turns nulls into NaN
    return out


def flights_training() -> tuple[Floats, Floats]:
    """Features and delay of one flight in ten: ids 7, 17, 27, ..., none of them in the sample."""
    table = pq.read_table(DATA / "flights-wide.parquet")
    table = table.take(pa.array(range(7, table.num_rows, 10)))
    return matrix(table, feature_names()), table["delay"].to_numpy()


def save_model(model: onnx.ModelProto, ref: Reference, metadata: dict[str, str]) -> None:
    """Writes the model under a fixed graph name, so that equal models are equal files."""
    model.graph.name = ref.name
    model.doc_string = ref.what
    onnx.helper.set_model_props(model, metadata)
    # skl2onnx may name a domain twice.
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    del model.opset_import[:]
    model.opset_import.extend(onnx.helper.make_opsetid(*opset) for opset in sorted(opsets.items()))
    onnx.checker.check_model(model)
    ref.onnx_path.write_bytes(model.SerializeToString(deterministic=True))


def feature_metadata() -> dict[str, str]:
    return {"feature_names": json.dumps(feature_names())}


def save_golden(ref: Reference, columns: dict[str, npt.NDArray[np.generic]]) -> None:
    """Writes the training library's predictions over the sample, next to their ids."""
    ids = pq.read_table(ref.sample_path, columns=["id"])["id"]
    assert list(columns) == [output.golden for output in ref.outputs]
    if any(output.exact for output in ref.outputs):
        # Labels can be compared for equality only where no row is a toss-up.
        margin = np.abs(columns["probability_1"].astype(np.float64) - 0.5).min()
        if margin <= ref.atol:
            raise ValueError(f"{ref.name}: a row is {margin:.1e} from the other label")
    table = pa.table({"id": ids} | {name: pa.array(values) for name, values in columns.items()})
    pq.write_table(table, ref.golden_path, compression="zstd", compression_level=9)
