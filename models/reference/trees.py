"""Tree ensembles: flights_gbdt by LightGBM and flights_xgb by XGBoost."""

from __future__ import annotations

import re

import lightgbm
import numpy as np
import onnx
import onnxmltools
import pyarrow.parquet as pq
import xgboost
from onnxmltools.convert.common.data_types import FloatTensorType

from shared import (
    LATE_MINUTES,
    OPSET,
    SEED,
    THREADS,
    Floats,
    Output,
    Reference,
    feature_metadata,
    feature_names,
    flights_training,
    matrix,
    save_golden,
    save_model,
)

GBDT = Reference(
    name="flights_gbdt",
    what="LightGBM: arrival delay in minutes, 200 trees of 63 leaves",
    exporter="onnxmltools",
    sample="flights-sample",
    inputs={"features": feature_names()},
    outputs=[Output("variable", "variable")],
    nulls="nan",
    atol=2e-5,
    rtol=2e-6,
    reason=(
        "LightGBM adds its leaves in float64, ONNX in float32: 200 additions, "
        "each within half a unit in the last place of a sum up to 250"
    ),
)

XGB = Reference(
    name="flights_xgb",
    what="XGBoost: is the flight 15 minutes late or more, 150 trees of depth 6",
    exporter="onnxmltools",
    sample="flights-sample",
    inputs={"features": feature_names()},
    outputs=[
        Output("label", "label", exact=True),
        Output("probability_0", "probabilities", index=0),
        Output("probability_1", "probabilities", index=1),
    ],
    nulls="nan",
    atol=1e-6,
    rtol=0.0,
    reason=(
        "both add 150 leaves in float32, in another order perhaps; the sigmoid "
        "shrinks what differs to a quarter or less"
    ),
)


def gbdt_booster() -> lightgbm.Booster:
    """Trains what flights_gbdt.onnx is made from."""
    x, delay = flights_training()
    params = {
        "objective": "regression",
        "num_leaves": 63,
        "learning_rate": 0.05,
        "min_data_in_leaf": 100,
        "seed": SEED,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": THREADS,
        "verbosity": -1,
    }
    booster = lightgbm.train(params, lightgbm.Dataset(x, delay), num_boost_round=200)
    return _with_float32_thresholds(booster)


def train_gbdt() -> None:
    booster = gbdt_booster()
    model = onnxmltools.convert_lightgbm(
        booster, GBDT.name, [("features", _features_type())], target_opset=OPSET
    )
    save_model(model, GBDT, feature_metadata())
    save_golden(GBDT, {"variable": booster.predict(_sample(GBDT), num_threads=THREADS)})


def xgb_booster() -> xgboost.Booster:
    """Trains what flights_xgb.onnx is made from."""
    x, delay = flights_training()
    params = {
        "objective": "binary:logistic",
        "max_depth": 6,
        "eta": 0.1,
        "tree_method": "hist",
        "seed": SEED,
        "nthread": THREADS,
    }
    late = (delay >= LATE_MINUTES).astype(np.float32)
    return xgboost.train(params, xgboost.DMatrix(x, late), num_boost_round=150)


def train_xgb() -> None:
    booster = xgb_booster()
    model = onnxmltools.convert_xgboost(
        booster, XGB.name, [("features", _features_type())], target_opset=OPSET
    )
    save_model(model, XGB, feature_metadata())
    late = booster.predict(xgboost.DMatrix(_sample(XGB)))
    golden = {
        "label": (late > 0.5).astype(np.int64),
        "probability_0": 1 - late,
        "probability_1": late,
    }
    save_golden(XGB, golden)


def _features_type() -> FloatTensorType:
    return FloatTensorType([None, len(feature_names())])


def _sample(ref: Reference) -> Floats:
    return matrix(pq.read_table(ref.sample_path), feature_names())


def _with_float32_thresholds(booster: lightgbm.Booster) -> lightgbm.Booster:
    """Rounds every threshold down to float32, which no float32 feature can tell.

    LightGBM compares with float64 thresholds, ONNX holds float32 ones. Rounded to
    nearest, a threshold may move up onto a feature's value and send it the other
    way; rounded down, x <= threshold keeps its answer for every float32 x.
    """

    def down(line: re.Match[str]) -> str:
        exact = np.array(line[1].split(), np.float64)
        rounded = exact.astype(np.float32)
        above = rounded.astype(np.float64) > exact
        rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
        return "threshold=" + " ".join(repr(float(t)) for t in rounded)

    text = re.sub(r"^threshold=(.+)$", down, booster.model_to_string(), flags=re.MULTILINE)
    # The text holds the size of each tree in bytes; without it the reader scans.
    text = re.sub(r"^tree_sizes=.*\n", "", text, flags=re.MULTILINE)
    return lightgbm.Booster(model_str=text)
