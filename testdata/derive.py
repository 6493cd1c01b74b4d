"""Derives the test data from the files that fetch.sh brought.

    python testdata/derive.py             the full tables, into .data/
    python testdata/derive.py --samples   and the committed samples, into testdata/

The same packages give the same values every time; see README.md for the columns.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from derivation.embed import embed_table
from derivation.files import DATA, RAW, TESTDATA, write_arrow, write_parquet
from derivation.flights import read_flights, wide_table
from derivation.nulls import with_nulls
from derivation.nyc import nyc_table

# A sample takes every k-th row, the first included, so that it spans the whole
# period and begins where there is no history yet: every kind of null is in it.
FLIGHTS_EVERY = 60  # 50,000 rows
FEW_EVERY = 10  # 300,000 rows, for models that take long
NYC_EVERY = 7  # 48,111 rows
EMBED_EVERY = 15  # 20,000 rows

MADE = [f"{name}.{form}" for name in ("flights-wide", "flights-nulls", "flights-nulls-300k", "flights-embed") for form in ("parquet", "arrow")] + ["nyc-flights.parquet"]


def main() -> int:
    parser = argparse.ArgumentParser(description="Derives the test data.")
    parser.add_argument("--samples", action="store_true", help="also write the committed samples")
    samples = parser.parse_args().samples
    if not RAW.is_dir():
        print(f"derive.py: {RAW} is missing; run testdata/fetch.sh first", file=sys.stderr)
        return 1

    made_of, stamp = _sources(), DATA / "made-of.sha256"
    if not samples and stamp.exists() and stamp.read_text() == made_of and all((DATA / name).exists() for name in MADE):
        print(f"derive.py: {DATA} has all files, of the same sources", file=sys.stderr)
        return 0
    stamp.unlink(missing_ok=True)
    start = time.monotonic()
    flights = read_flights()
    wide = wide_table(flights)
    _write(wide, "flights-wide", arrow_batch_rows=65_536)
    _write(with_nulls(wide, share=0.05), "flights-nulls", arrow_batch_rows=65_536)
    few = wide.take(pa.array(range(0, wide.num_rows, FEW_EVERY)))
    _write(with_nulls(few, share=0.05), "flights-nulls-300k", arrow_batch_rows=16_384, group_rows=16_384)
    del wide, few
    if samples:
        _sample("flights-wide", "flights-sample", FLIGHTS_EVERY)

    _write(embed_table(flights), "flights-embed", arrow_batch_rows=16_384)
    if samples:
        _sample("flights-embed", "embed-sample", EMBED_EVERY)

    _write(nyc_table(), "nyc-flights")
    if samples:
        _sample("nyc-flights", "nyc-sample", NYC_EVERY)
    stamp.write_text(made_of)
    print(f"derive.py: done in {time.monotonic() - start:.0f} s", file=sys.stderr)
    return 0


def _sources() -> str:
    """Identifies all that decides the tables' bytes: these scripts, the packages, what was fetched."""
    digest = hashlib.sha256(f"{np.__version__} {pa.__version__}".encode())
    for path in sorted([*TESTDATA.glob("*.py"), *TESTDATA.glob("derivation/*.py"), *(p for p in RAW.rglob("*") if p.is_file())]):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _write(table: pa.Table, name: str, *, arrow_batch_rows: int | None = None, group_rows: int = 122_880) -> None:
    """Writes a full table: Parquet, and uncompressed Arrow that can be mapped."""
    write_parquet(table, DATA / f"{name}.parquet", group_rows=group_rows)
    _report(DATA / f"{name}.parquet", table.num_rows)
    if arrow_batch_rows is not None:
        path = DATA / f"{name}.arrow"
        write_arrow(table, path, batch_rows=arrow_batch_rows, zstd=False)
        _report(path, table.num_rows)


def _sample(full: str, name: str, every: int) -> None:
    """Writes every `every`-th row of a full table, in several spans, small enough for git."""
    table = pq.read_table(DATA / f"{full}.parquet")
    table = table.take(pa.array(range(0, table.num_rows, every)))
    write_parquet(table, TESTDATA / f"{name}.parquet", group_rows=10_000)
    _report(TESTDATA / f"{name}.parquet", table.num_rows)
    write_arrow(table, TESTDATA / f"{name}.arrow", batch_rows=8_192, zstd=True)
    _report(TESTDATA / f"{name}.arrow", table.num_rows)


def _report(path: Path, rows: int) -> None:
    print(f"{path.name}: {rows:,} rows, {path.stat().st_size:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
