"""Trains the boosters behind flights_gbdt.onnx and flights_xgb.onnx again, as their own
libraries keep them, and checks them against the committed predictions.

    .venv/bin/python bench/peers/native.py DIRECTORY

It runs in the environment of models/reference, with the seeds and the code of train.py.
A file that is there is left as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "models" / "reference"))

import lightgbm
import xgboost
from threadpoolctl import threadpool_limits

import trees
from shared import Floats, Reference, feature_names, matrix

Booster = TypeVar("Booster", lightgbm.Booster, xgboost.Booster)


def main() -> int:
    directory = Path(sys.argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    _make(directory / "flights_gbdt.txt", trees.GBDT, trees.gbdt_booster, lambda b, x: b.predict(x))
    _make(
        directory / "flights_xgb.ubj",
        trees.XGB,
        trees.xgb_booster,
        lambda b, x: b.predict(xgboost.DMatrix(x)),
    )
    return 0


def _make(
    path: Path,
    ref: Reference,
    train: Callable[[], Booster],
    predict: Callable[[Booster, Floats], Floats],
) -> None:
    if path.exists():
        return
    print(f"training {path.name}", file=sys.stderr)
    with threadpool_limits(1):
        booster = train()
        got = predict(booster, matrix(pq.read_table(ref.sample_path), feature_names()))
    want = pq.read_table(ref.golden_path)[ref.outputs[-1].golden].to_numpy()
    worst = float(np.abs(got - want).max())
    if worst > ref.atol:
        raise SystemExit(
            f"{path.name}: predictions are up to {worst:.2g} from {ref.golden_path.name}: training "
            "on this CPU gives another model; run make reference-models, then this again"
        )
    part = path.with_name("part-" + path.name)
    booster.save_model(part)
    part.rename(path)


if __name__ == "__main__":
    sys.exit(main())
