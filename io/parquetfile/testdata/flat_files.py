#!/usr/bin/env python3
"""Prints what pyarrow reads from Parquet files of decimals, times in units that Parquet does not
have, and bytes of a fixed width, for TestFlatTypesInPyarrow. DuckDB must read the same, where
there is one.

    pip install pyarrow==26.0.1
    python3 flat_files.py DIR

A line per file and column, its values as expect.py encodes them, in the unit that they were
written from:

    file  column  type  nulls  crc  per row group: physical type and encodings
"""
import os
import sys
import zlib

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

try:
    import duckdb
except ImportError:
    duckdb = None

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from expect import encode  # noqa: E402

# What a column of this name was written from, and is not restored as.
WRITTEN = {
    "date64": pa.date64(), "time32[s]": pa.time32("s"), "timestamp[s]": pa.timestamp("s"),
    "timestamp[s, tz=Europe/Berlin]": pa.timestamp("s", "Europe/Berlin"),
}


def extent(column):
    """The least and the greatest value, as a footer's statistics have them: none beside a NaN."""
    if pa.types.is_float16(column.type):
        halves = [v for v in column.to_pylist() if v is not None]
        return (min(halves), max(halves)) if halves and all(v == v for v in halves) else (None, None)
    found = pc.min_max(column.cast(pa.binary(16)) if isinstance(column.type, pa.BaseExtensionType) else column).as_py()
    return found["min"], found["max"]


def check_statistics(name, column, chunk):
    s = chunk.statistics
    if s.null_count != column.null_count:
        sys.exit(f"{name}: {s.null_count} nulls in the footer, {column.null_count} read")
    kept = (s.min, s.max) if s.has_min_max else (None, None)
    if pa.types.is_float16(column.type):
        kept = tuple(None if b is None else pa.array([b], pa.binary(2)).view(pa.float16())[0].as_py() for b in kept)
    if kept != extent(column):
        sys.exit(f"{name}: {kept} in the footer, {extent(column)} read")


def check_duckdb(path, table):
    """What DuckDB has a type for, it reads alike."""
    read = duckdb.connect().execute("select * from read_parquet(?)", [path]).to_arrow_table()
    for i, field in enumerate(table.schema):
        t, ours = field.type, table.column(i)
        if pa.types.is_decimal256(t) and t.precision <= 38:
            t = pa.decimal128(t.precision, t.scale)
            ours = ours.cast(t)
        if not (pa.types.is_decimal128(t) or pa.types.is_date(t)):
            continue
        if read.column(i).type != t or not read.column(i).combine_chunks().equals(ours.combine_chunks()):
            sys.exit(f"{path}, {field.name}: DuckDB reads other values, of type {read.column(i).type}")


def main(folder):
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        table, footer = pq.read_table(path), pq.ParquetFile(path).metadata
        if duckdb:
            check_duckdb(path, table)
        for i, field in enumerate(table.schema):
            column, at, groups = table.column(i), 0, []
            for g in range(footer.num_row_groups):
                chunk, rows = footer.row_group(g).column(i), footer.row_group(g).num_rows
                check_statistics(f"{name}, {field.name}", column.slice(at, rows), chunk)
                at += rows
                groups.append("+".join([chunk.physical_type, *(e for e in chunk.encodings if e != "RLE")]))
            column = column.combine_chunks()
            written = column.cast(WRITTEN.get(field.name, column.type))
            crc = f"{zlib.crc32(b''.join(encode(written))):08x}"
            print(name, i, field.type, column.null_count, crc, *groups, sep="\t")


if __name__ == "__main__":
    main(sys.argv[1])
