"""Writes golden.json: what numpy says of a reference model's predictions by its training library.

    .venv/bin/python engine/distribution/testdata/golden.py
"""

import json
import pathlib

import numpy as np
import pyarrow.parquet as pq

QUANTILES = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999]

x = pq.read_table("models/reference/flights_gbdt.golden.parquet")["variable"].to_numpy().astype(float)
out = {
    "Rows": len(x), "Min": x.min(), "Max": x.max(), "Mean": x.mean(), "SD": x.std(ddof=1),
    "Quantiles": {str(q): float(np.quantile(x, q, method="lower")) for q in QUANTILES},
}
pathlib.Path(__file__).with_name("golden.json").write_text(json.dumps(out, indent=1) + "\n")
