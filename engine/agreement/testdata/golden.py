"""Writes golden.json: what numpy and scipy say of pairs of predictions.

    .venv/bin/python engine/agreement/testdata/golden.py

The cases of flights are the reference models' predictions by their training libraries.
The large case is drawn by SplitMix64 of the row's number, which the test draws again.
"""

import json
import pathlib

import numpy as np
import pyarrow.parquet as pq
import scipy.stats

QUANTILES = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]
ABSOLUTE = [0.5, 0.9, 0.95, 0.99, 0.999]


def psi(a, b):
    ends = np.unique(np.quantile(a, np.arange(1, 10) / 10, method="inverted_cdf"))
    p, q = (np.maximum(np.bincount(np.searchsorted(ends, x, side="left"), minlength=len(ends) + 1), 0.5) / len(x) for x in (a, b))
    return float(np.sum((q - p) * np.log(q / p)))


def said(x):
    return None if np.isnan(x) else float(x)


def truth(a, b):
    a, b = np.asarray(a, float), np.asarray(b, float)
    with np.errstate(all="ignore"):
        equal = int(np.sum((a == b) | (np.isnan(a) & np.isnan(b))))
        finite = np.isfinite(a) & np.isfinite(b)
        apart = int(np.sum(~finite & (a != b) & ~(np.isnan(a) & np.isnan(b))))
    rows, a, b = len(a), a[finite], b[finite]
    d = b - a
    varied = len(a) > 1 and np.ptp(a) > 0 and np.ptp(b) > 0
    return {
        "rows": rows, "equal": equal, "apart": apart,
        "mean": float(d.mean()), "mean_absolute": float(np.abs(d).mean()), "max": float(np.abs(d).max()),
        "quantiles": [float(np.quantile(d, q, method="inverted_cdf")) for q in QUANTILES],
        "absolute": [float(np.quantile(np.abs(d), q, method="inverted_cdf")) for q in ABSOLUTE],
        "correlation": said(scipy.stats.pearsonr(a, b)[0]) if varied else None,
        "rank_correlation": said(scipy.stats.spearmanr(a, b)[0]) if varied else None,
        "psi": psi(a, b),
    }


def texts(values):
    return [str(float(v)) for v in values]


def mix(z):
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def large(rows):
    with np.errstate(over="ignore"):
        i = np.arange(rows, dtype=np.uint64)
        u = (mix(i * np.uint64(2)) >> np.uint64(11)).astype(float) / 2**53
        v = (mix(i * np.uint64(2) + np.uint64(1)) >> np.uint64(11)).astype(float) / 2**53
    return u, u * u + 0.5 * v


def main():
    rng = np.random.default_rng(7)
    a = rng.normal(size=400)
    cases = {
        "near": (a, a + rng.normal(scale=0.05, size=400)),
        "the same": (a, a),
        "shifted and opposite": (a, 3 - 2 * a),
        "many ties": (np.round(a), np.round(a + rng.normal(scale=0.8, size=400))),
        "a constant challenger": (a, np.full(400, 0.25)),
        "heavy tails": (rng.standard_cauchy(300) * 1e6, rng.standard_cauchy(300) * 1e-6),
        "one row": ([0.5], [0.75]),
        "two rows": ([1, 2], [2, 1]),
        "far from 0": (a + 1e9, a + 1e9 + rng.normal(scale=0.1, size=400)),
        "not finite": (np.r_[a[:20], np.nan, np.nan, np.inf, np.inf, -np.inf, 1.0], np.r_[a[20:40], np.nan, 1.0, np.inf, -np.inf, 3.0, np.nan]),
        "probabilities": (1 / (1 + np.exp(-a)), 1 / (1 + np.exp(-a * 1.3 - 0.2))),
    }
    out = {"cases": [{"name": n, "champion": texts(x), "challenger": texts(y), "want": truth(x, y)} for n, (x, y) in cases.items()]}
    out["large"] = {"rows": 1_000_000, "want": truth(*large(1_000_000))}
    of = {n: pq.read_table(f"models/reference/flights_{n}.golden.parquet").sort_by("id")["variable"].to_numpy() for n in ("gbdt", "mlp", "linear")}
    out["flights"] = {n: truth(of["gbdt"], of[n]) for n in ("mlp", "linear")}
    path = pathlib.Path(__file__).with_name("golden.json")
    path.write_text(json.dumps(out, indent=1) + "\n")


main()
