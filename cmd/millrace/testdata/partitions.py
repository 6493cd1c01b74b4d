"""Partitioned data by those who write and read it elsewhere, for TestPartitionsOfOthers.

write DIR      the same rows as DIR/flat.parquet and, partitioned by day, region and n,
               by each writer as DIR/WRITER/
compare A B [spark]
               fails unless every reader finds in the partitioned output A the rows of
               the plain output B, and in A's files no column that its folders name
"""

import datetime
import math
import os
import sys

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

ROWS = 3000
REGIONS = ["EU", "a/b", "x=y", "100%", "Zürich", "日本", "two words", "q'uo\"te", None]


def rows():
    ids = range(ROWS)
    return pa.table({
        "id": pa.array(ids, pa.int64()),
        "a": pa.array([None if i == 7 else i / 8 for i in ids], pa.float32()),  # a rejected row
        "b": pa.array([math.sin(i) for i in ids], pa.float32()),
        "day": pa.array([datetime.date(2026, 11, 1) + datetime.timedelta(i % 11) for i in ids], pa.date32()),
        "region": pa.array([REGIONS[i % len(REGIONS)] for i in ids], pa.string()),
        "n": pa.array([None if i % 17 == 3 else i % 5 - 2 for i in ids], pa.int64()),
    })


def write(folder):
    table = rows()
    pq.write_table(table, f"{folder}/flat.parquet")
    keys = pa.schema([table.schema.field(k) for k in ("day", "region", "n")])
    ds.write_dataset(table, f"{folder}/pyarrow", format="parquet", partitioning=ds.partitioning(keys, flavor="hive"))
    duckdb.sql("SET threads = 1")
    duckdb.register("made", table)
    duckdb.sql(f"COPY (SELECT * FROM made) TO '{folder}/duckdb' (FORMAT parquet, PARTITION_BY (day, region, n))")
    pl.from_arrow(table).write_parquet(pl.PartitionBy(f"{folder}/polars", key=["day", "region", "n"], include_key=True), mkdir=True)
    print("pyarrow duckdb polars")


def files(out):
    return [os.path.join(d, f) for d, _, names in os.walk(out) if "_millrace" not in d for f in names if f.endswith(".parquet")]


def pattern(out):
    """The output's own files for those who take every Parquet file below a folder: docs/partitions.md."""
    return f"{out}/*=*/**/*.parquet" if "=" in files(out)[0].removeprefix(out) else f"{out}/*.parquet"


def spark(path):
    from pyspark.sql import SparkSession

    session = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    return session.read.parquet(path).toArrow()


def compare(partitioned, plain, *more):
    want = pa.concat_tables(pq.ParquetFile(f).read() for f in sorted(files(plain))).sort_by("id")
    for f in files(partitioned):
        named = {e.split("=")[0] for e in f.removeprefix(partitioned).split("/")}
        assert not named & set(pq.read_schema(f).names), f
    keys = pa.schema([(k, want.schema.field(k).type) for k in ("day", "region", "n") if f"{k}=" in files(partitioned)[0]])
    readers = {
        "pyarrow": ds.dataset(partitioned, format="parquet", partitioning=ds.partitioning(keys, flavor="hive")).to_table(),
        "duckdb": duckdb.sql(f"SELECT * FROM read_parquet('{pattern(partitioned)}', hive_partitioning = true)").to_arrow_table(),
        "polars": pl.scan_parquet(pattern(partitioned), hive_partitioning=True).collect().to_arrow(),
    }
    if more:
        readers["spark"] = spark(partitioned)
    for reader, got in readers.items():
        got = got.sort_by("id")
        assert set(got.column_names) == set(want.column_names), f"{reader}: {got.column_names}"
        for name in want.column_names:
            same = got[name].cast(want[name].type).combine_chunks().equals(want[name].combine_chunks())
            assert same, f"{reader}: column {name} differs"


{"write": write, "compare": compare}[sys.argv[1]](*sys.argv[2:])
