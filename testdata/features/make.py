"""Makes rows.parquet, expected.parquet and fitted/: what scikit-learn itself gives.

    python testdata/features/make.py        (needs make data)

The transformers of cases.py are fitted on all flights of 2013. rows.parquet holds some
of them and rows made to be awkward; expected.parquet has, by case, the values that
scikit-learn gives for each, and in CASE.outcome what came of it: VALUES, ERROR, or
INFINITY, which is an error, too. fitted/ has the features as the exporter writes them.
"""

from __future__ import annotations

import math
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse
from threadpoolctl import threadpool_limits

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
DATA = Path(os.environ.get("MILLRACE_DATA_DIR") or ROOT / ".data")
sys.path.insert(0, str(ROOT / "python"))

import cases  # noqa: E402
import millrace_features  # noqa: E402

VALUES, ERROR, INFINITY = range(3)
REAL_ROWS = 1500
FLOAT = [0.0, -0.0, 1e-45, -1e-45, 3.4028234663852886e38, -3.4028234663852886e38]
FLOAT += [math.nan, None, math.inf, -math.inf, 1.0, -1.0, 80.1, 57.0, 62.5]
AWKWARD: dict[str, list[Any]] = {
    **dict.fromkeys(cases.SINGLE, FLOAT),
    **dict.fromkeys(cases.DOUBLE, [*FLOAT, 5e-324, 1.7e308, -1.7e308, 0.1, 1 / 3]),
    **dict.fromkeys(cases.INTEGERS, [0, -1, 13, 24, 1000, 1001, 17, 4983, 2**53 + 1, -(2**62)]),
    **dict.fromkeys(cases.HOLED, [None, 0, -1, 55, 2013, 2014, 2**53]),
    **dict.fromkeys(
        cases.TEXT, [None, "", "ZZ", "aa", "AA ", "É", "AAA", "reject", "nan", "infrequent_sklearn"]
    ),
    **dict.fromkeys(cases.HOLED_TEXT, [None, "", "boeing", "BOEING", "NONE", "missing", "null"]),
}


def main() -> int:
    flights = cases.raw(pq.read_table(DATA / "nyc-flights.parquet"))
    frame = flights.to_pandas()
    rows = _rows(flights)
    ids = pa.array(range(rows.num_rows))
    write(rows.add_column(0, "id", ids), HERE / "rows.parquet")
    (HERE / "fitted").mkdir(exist_ok=True)
    taken = rows.to_pandas()
    columns: dict[str, pa.Array] = {}
    for case in cases.cases():
        transformer = case.fit(frame)
        millrace_features.save(transformer, HERE / "fitted" / f"{case.name}.json", frame)
        values, outcomes = transform(transformer, taken[case.columns])
        columns[case.name] = _lists(values)
        columns[f"{case.name}.outcome"] = pa.array(outcomes, pa.int32())
    write(pa.table(columns), HERE / "expected.parquet")
    return 0


def write(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, compression="zstd", compression_level=19)


def _rows(flights: pa.Table) -> pa.Table:
    """Real rows over the whole year, then one row for each awkward value: a real one,
    with the value in its column."""
    at = np.linspace(0, flights.num_rows - 1, REAL_ROWS).astype(int)
    real = flights.take(pa.array(at))
    complete = real.drop_null()
    base = complete.slice(complete.num_rows // 2, 1).to_pylist()[0]
    made = [{**base, column: value} for column, values in AWKWARD.items() for value in values]
    # from_pylist takes NaN as it is, and None as null.
    return pa.concat_tables([real, pa.Table.from_pylist(made, real.schema)])


def transform(transformer: Any, frame: pd.DataFrame) -> tuple[npt.NDArray[np.float64], list[int]]:
    """The values of each row, and what came of it. Rows with an error are found by halving."""
    try:
        out = transformer.transform(frame)
    except ValueError as error:
        if len(frame) > 1:
            half = len(frame) // 2
            first, second = (transform(transformer, f) for f in (frame[:half], frame[half:]))
            width = max(first[0].shape[1], second[0].shape[1])
            parts = [
                np.resize(v, (len(v), width)) if v.shape[1] == 0 else v for v, _ in (first, second)
            ]
            return np.concatenate(parts), first[1] + second[1]
        return np.zeros((1, 0)), [INFINITY if "infinity" in str(error) else ERROR]
    dense = out.toarray() if scipy.sparse.issparse(out) else np.asarray(out)
    return dense.astype(np.float64), [VALUES] * len(frame)


def _lists(values: npt.NDArray[np.float64]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of unknown categories and overflows, which are meant
    with threadpool_limits(1):
        sys.exit(main())
