"""scikit-learn pipelines on one matrix input: flights_mlp, flights_linear, embed."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from shared import (
    DATA,
    OPSET,
    SEED,
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

PROFILE = 64
EMBEDDING = 16
EMBED_EVERY = 15  # the sample's step, see testdata/derive.py

MLP = Reference(
    name="flights_mlp",
    what="scikit-learn: imputer, scaler, MLP 32-128-64-1; arrival delay in minutes",
    exporter="skl2onnx",
    sample="flights-sample",
    inputs={"features": feature_names()},
    outputs=[Output("variable", "variable")],
    nulls="nan",
    atol=5e-5,
    rtol=1e-6,
    reason=(
        "float32 on both sides, but matrix products add in another order; outputs " "reach hundreds"
    ),
)

LINEAR = Reference(
    name="flights_linear",
    what="scikit-learn: imputer, scaler, ridge regression; arrival delay in minutes",
    exporter="skl2onnx",
    sample="flights-sample",
    inputs={"features": feature_names()},
    outputs=[Output("variable", "variable")],
    nulls="nan",
    atol=2e-5,
    rtol=1e-6,
    reason=(
        "float32 on both sides, but 32 products are added in another order; terms "
        "of opposite sign are larger than their sum"
    ),
)

EMBED = Reference(
    name="embed",
    what="scikit-learn: whitened PCA of an airport pair's delay profile, 64 to 16",
    exporter="skl2onnx",
    sample="embed-sample",
    inputs={"profile": ["profile"]},
    outputs=[Output(f"embedding_{i}", "embedding", index=i) for i in range(EMBEDDING)],
    nulls="error",
    atol=4e-6,
    rtol=2e-6,
    reason=(
        "float32 on both sides; the mean is subtracted after the product by the "
        "library and before it by ONNX, and 64 products add in another order"
    ),
)


def train_mlp() -> None:
    mlp = MLPRegressor(
        hidden_layer_sizes=(128, 64),
        batch_size=1024,
        learning_rate_init=1e-3,
        max_iter=12,
        random_state=SEED,
    )
    with warnings.catch_warnings():
        # Twelve passes are meant; how well it predicts is not what it is for.
        warnings.simplefilter("ignore", ConvergenceWarning)
        _train_regressor(MLP, mlp)


def train_linear() -> None:
    _train_regressor(LINEAR, Ridge(alpha=1000.0, solver="cholesky"))


def train_embed() -> None:
    table = pq.read_table(DATA / "flights-embed.parquet")
    rows = [i for i in range(table.num_rows) if i % EMBED_EVERY != 0]
    pca = PCA(EMBEDDING, whiten=True, svd_solver="full", random_state=SEED)
    pca.fit(_profiles(table.take(pa.array(rows))))
    _check_float32(pca.components_)
    model = _convert(pca, "profile", PROFILE)
    _rename_output(model, "embedding")
    save_model(model, EMBED, {})
    embedding = pca.transform(_profiles(pq.read_table(EMBED.sample_path)))
    save_golden(EMBED, {f"embedding_{i}": embedding[:, i] for i in range(EMBEDDING)})


def _train_regressor(ref: Reference, regressor: BaseEstimator) -> None:
    x, delay = flights_training()
    pipeline = make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), regressor)
    pipeline.fit(x, delay)
    save_model(_convert(pipeline, "features", x.shape[1]), ref, feature_metadata())
    predictions = pipeline.predict(matrix(pq.read_table(ref.sample_path), feature_names()))
    _check_float32(predictions)
    save_golden(ref, {"variable": predictions})


def _convert(estimator: BaseEstimator, name: str, width: int) -> onnx.ModelProto:
    types = [(name, FloatTensorType([None, width]))]
    return to_onnx(estimator, initial_types=types, target_opset={"": OPSET, "ai.onnx.ml": 3})


def _rename_output(model: onnx.ModelProto, name: str) -> None:
    old = model.graph.output[0].name
    for node in model.graph.node:
        renamed = [name if output == old else output for output in node.output]
        node.output[:] = renamed
    model.graph.output[0].name = name


def _profiles(table: pa.Table) -> Floats:
    flat = table["profile"].combine_chunks().flatten()
    return flat.to_numpy().reshape(-1, PROFILE)


def _check_float32(values: np.ndarray) -> None:
    if values.dtype != np.float32:
        raise TypeError(f"the library computed in {values.dtype}, not in float32")
