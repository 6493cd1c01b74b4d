"""Compares two sets of predictions by id, and prints what it found as one JSON line.

    .venv-peers/bin/python bench/peers/compare.py WANT GOT ATOL RTOL [EXACT...]

WANT and GOT are Parquet files or directories of them. Exits with 1, and says why, when ids
or columns differ or a value is farther from the other than atol + rtol * |want|. Labels
(EXACT columns) are equal, but for rows whose last column, the probability, lies within the
tolerance of one half.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds


def main() -> None:
    want_path, got_path = sys.argv[1:3]
    atol, rtol = float(sys.argv[3]), float(sys.argv[4])
    exact = sys.argv[5:]
    want, got = _read(want_path), _read(got_path)
    if got.column_names != want.column_names:
        raise SystemExit(f"{got_path}: columns {got.column_names}; want {want.column_names}")
    if got.num_rows != want.num_rows:
        raise SystemExit(f"{got_path}: {got.num_rows} rows; want {want.num_rows}")
    if not got["id"].equals(want["id"]):
        raise SystemExit(f"{got_path}: ids differ from {want_path}")
    toss_up = np.abs(want.column(-1).to_numpy() - 0.5) <= atol
    worst, share, flips = 0.0, 0.0, 0
    for name in want.column_names[1:]:
        a = want[name].to_numpy().astype(np.float64)
        b = got[name].to_numpy().astype(np.float64)
        if name in exact:
            differs = a != b
            flips += int(differs.sum())
            bad = differs & ~toss_up
        else:
            difference, allowed = np.abs(a - b), atol + rtol * np.abs(a)
            worst = max(worst, float(difference.max()))
            share = max(share, float((difference / allowed).max()))
            bad = ~(difference <= allowed)
        if bad.any():
            row = int(np.flatnonzero(bad)[0])
            raise SystemExit(
                f"{got_path}: {int(bad.sum())} rows of {name} differ, the first at id "
                f"{want['id'][row]}: {b[row]!r}; want {a[row]!r}"
            )
    found = {
        "rows": got.num_rows,
        "max_difference": worst,
        "share_of_tolerance": share,
        "flipped_labels": flips,
    }
    print(json.dumps(found))


def _read(path: str) -> pa.Table:
    """Reads what was written, in the order of ids."""
    table = ds.dataset(path, format="parquet").to_table()
    return table.take(np.argsort(table["id"].to_numpy(), kind="stable"))


if __name__ == "__main__":
    main()
