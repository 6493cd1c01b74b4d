"""Makes the inputs of one comparison from .data/: shortened, with more nulls, as Arrow.

    .venv-peers/bin/python bench/peers/derive.py DIRECTORY ROWS

The same rows give the same files; a file that is there is left as it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

DATA = Path(".data")
SEED = 20010101
NULL_SHARE = 0.05
GROUP_ROWS = 122_880  # as in .data/flights-wide.parquet
BATCH_ROWS = 65_536  # as in .data/flights-wide.arrow
STARTUP_ROWS = 1_000


def main() -> None:
    directory, rows = Path(sys.argv[1]), int(sys.argv[2])
    directory.mkdir(parents=True, exist_ok=True)
    source = DATA / "flights-wide.parquet"
    if not source.exists():
        raise SystemExit(f"{source} is missing: run make data")
    whole = pq.read_table(source)
    if rows > whole.num_rows:
        raise SystemExit(f"{rows} rows wanted; {source} has {whole.num_rows}")
    table = whole.slice(0, rows).combine_chunks()
    _make(directory / f"wide-{rows}.parquet", lambda path: _write_parquet(table, path))
    _make(directory / f"wide-{rows}.arrow", lambda path: _write_arrow(table, path))
    _make(directory / f"nulls-{rows}.parquet", lambda path: _write_parquet(_nulls(table), path))
    # Every k-th row, so that the first day's nulls are among them.
    some = whole.take(pa.array(range(0, whole.num_rows, whole.num_rows // STARTUP_ROWS)))
    _make(directory / f"wide-{STARTUP_ROWS}.parquet", lambda path: _write_parquet(some, path))


def _nulls(table: pa.Table) -> pa.Table:
    """Takes another 5% of every feature away, at random."""
    random = np.random.default_rng(SEED)
    columns = []
    for name, column in zip(table.column_names, table.columns):
        if name not in ("id", "delay"):
            kept = pa.array(random.random(table.num_rows) >= NULL_SHARE)
            column = pc.if_else(kept, column, pa.scalar(None, column.type))
        columns.append(column)
    return pa.table(columns, names=table.column_names)


def _write_parquet(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, compression="zstd", compression_level=9, row_group_size=GROUP_ROWS)


def _write_arrow(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=BATCH_ROWS)


def _make(path: Path, write: Callable[[Path], None]) -> None:
    if not path.exists():
        part = path.with_name(path.name + ".part")
        write(part)
        part.rename(path)


if __name__ == "__main__":
    main()
