"""nyc_pipeline: one ONNX input per column, strings and integers among them, and a ZipMap;
nyc_bare: its logistic regression alone, and the features that it takes as a fitted file."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from shared import (
    DATA,
    HERE,
    LATE_MINUTES,
    OPSET,
    ROOT,
    Output,
    Reference,
    save_golden,
    save_model,
)

sys.path.insert(0, str(ROOT / "python"))

import millrace_features  # noqa: E402

STRINGS = ["carrier", "origin", "dest", "manufacturer"]
INTEGERS = ["month", "hour", "distance"]
WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"]
COLUMNS = STRINGS + INTEGERS + WEATHER

SAMPLE_EVERY = 7  # the sample's step, see testdata/derive.py
# Kept out of training, so that the sample has a carrier that the encoder does not know.
UNKNOWN_CARRIER = "HA"

NYC = Reference(
    name="nyc_pipeline",
    what="scikit-learn: column transformer, logistic regression; 15 minutes late or more",
    exporter="skl2onnx",
    sample="nyc-sample",
    inputs={name: [name] for name in COLUMNS},
    outputs=[
        Output("label", "output_label", exact=True),
        Output("probability_0", "output_probability", map_key=0),
        Output("probability_1", "output_probability", map_key=1),
    ],
    nulls="nan",
    null_constants={"manufacturer": ""},
    atol=5e-7,
    rtol=0.0,
    reason=(
        "the library scales integers and adds in float64, ONNX in float32; the "
        "sigmoid shrinks the difference to a quarter or less"
    ),
)

BARE = replace(
    NYC,
    name="nyc_bare",
    what="scikit-learn: the logistic regression of nyc_pipeline, which takes its features",
)


def train_nyc() -> None:
    table = pq.read_table(DATA / "nyc-flights.parquet")
    known = pc.and_(
        pc.is_valid(table["arr_delay"]), pc.not_equal(table["carrier"], UNKNOWN_CARRIER)
    )
    rows = pc.and_(known, pa.array(np.arange(table.num_rows) % SAMPLE_EVERY != 0))
    table = table.filter(rows)
    late = pc.greater_equal(table["arr_delay"], LATE_MINUTES).to_numpy().astype(np.int64)

    pipeline = _pipeline().fit(_frame(table), late)
    types = [(name, StringTensorType([None, 1])) for name in STRINGS]
    types += [(name, Int64TensorType([None, 1])) for name in INTEGERS]
    types += [(name, FloatTensorType([None, 1])) for name in WEATHER]
    model = to_onnx(pipeline, initial_types=types, target_opset={"": OPSET, "ai.onnx.ml": 3})
    save_model(model, NYC, {})
    _save_bare(pipeline, _frame(table))

    sample = _frame(pq.read_table(NYC.sample_path))
    probability = pipeline.predict_proba(sample)
    golden = {
        "label": pipeline.predict(sample),
        "probability_0": probability[:, 0],
        "probability_1": probability[:, 1],
    }
    save_golden(NYC, golden)


def _save_bare(pipeline: Pipeline, frame: pd.DataFrame) -> None:
    """Writes what the pipeline's last step is as a model, and what comes before it as features."""
    regression = pipeline[-1]
    types = [("features", FloatTensorType([None, regression.n_features_in_]))]
    opset = {"": OPSET, "ai.onnx.ml": 3}
    model = to_onnx(regression, initial_types=types, target_opset=opset, options={"zipmap": False})
    save_model(model, BARE, {})
    millrace_features.save(pipeline, HERE / f"{BARE.name}.features.json", frame)


def _pipeline() -> Pipeline:
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32)
    weather = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    columns = ColumnTransformer(
        [
            ("strings", one_hot, STRINGS),
            ("integers", StandardScaler(), INTEGERS),
            ("weather", weather, WEATHER),
        ]
    )
    return make_pipeline(columns, LogisticRegression(max_iter=500))


def _frame(table: pa.Table) -> pd.DataFrame:
    """One pandas column per input: no string is null, a null number is NaN."""
    columns: dict[str, np.ndarray] = {}
    for name in COLUMNS:
        column = table[name]
        if name in STRINGS:
            column = pc.fill_null(column, "")
        columns[name] = column.to_numpy()
    return pd.DataFrame({k: pd.Series(v, dtype=v.dtype) for k, v in columns.items()})
