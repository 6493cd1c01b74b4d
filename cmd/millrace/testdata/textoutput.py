"""Reads outputs in CSV and JSON Lines by pyarrow, DuckDB, pandas and Polars.

  textoutput.py write DIR          makes DIR/in.parquet
  textoutput.py compare DIR NAME.. compares outputs with it
"""
import base64
import glob
import json
import math
import os
import sys
from decimal import Decimal

import duckdb
import pandas
import polars
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.json as pajson
import pyarrow.parquet as pq

N = 3000
TEXTS = ["plain", "", None, "a,b", 'say "hi"', "two\nlines", "cr\rlf\r\n", " space ", "é😀", "=1+1", "tab\t", "null", "\\.", "semi;pipe|", "'", "1e5", "-3"]


def made():
    """The input: every type that readers of text can be asked for."""
    i = range(N)

    def column(values, type):
        return pa.array(values, type)

    return pa.table({
        "id": column([(1 << 62) + k for k in i], pa.int64()),
        "a": column([k / 7 for k in i], pa.float32()),
        "b": column([k * 0.5 for k in i], pa.float32()),
        "text": column([TEXTS[k % len(TEXTS)] for k in i], pa.string()),
        "word": column([TEXTS[k % 5] for k in i], pa.dictionary(pa.int32(), pa.string())),
        "flag": column([None if k % 5 == 0 else k % 2 == 0 for k in i], pa.bool_()),
        "u": column([(1 << 63) - 1 - k for k in i], pa.uint64()),
        "x": column([None if k % 11 == 0 else math.sqrt(k) * 10.0 ** (k % 30 - 15) for k in i], pa.float64()),
        "odd": column([[math.nan, math.inf, -math.inf, -0.0, 1.5, None][k % 6] for k in i], pa.float64()),
        "day": column([None if k % 7 == 0 else k for k in i], pa.date32()),
        "at": column([None if k % 9 == 0 else k * 1_234_567_891 for k in i], pa.timestamp("us")),
        "utc": column([k * 1_234_567 for k in i], pa.timestamp("ms", "UTC")),
        "money": column([None if k % 13 == 0 else Decimal(k * 10007 - 5_000_000).scaleb(-3) for k in i], pa.decimal128(20, 3)),
        "bytes": column([None if k % 17 == 0 else bytes([k % 256, 251, 255]) for k in i], pa.binary()),
        "list": column([None if k % 6 == 0 else [k, None] for k in i], pa.list_(pa.int32())),
        "struct": column([{"p": k, "q": TEXTS[k % len(TEXTS)]} for k in i], pa.struct([("p", pa.int32()), ("q", pa.string())])),
    })


# Types that readers are told; nested columns and bytes come as texts from CSV.
TYPES = {
    "id": pa.int64(), "text": pa.string(), "word": pa.string(), "flag": pa.bool_(), "u": pa.uint64(), "x": pa.float64(), "odd": pa.float64(),
    "day": pa.date32(), "at": pa.timestamp("us"), "utc": pa.timestamp("ms", "UTC"), "money": pa.decimal128(20, 3), "bytes": pa.string(), "y": pa.float32(),
}


def expected(want, format):
    """The input's columns as Python values that a reader of the format gives."""
    columns = {name: want[name].to_pylist() for name in want.column_names if name not in ("a", "b")}
    columns["y"] = [pa.scalar(a + b, pa.float32()).as_py() for a, b in zip(want["a"].to_pylist(), want["b"].to_pylist())]
    columns["bytes"] = [None if v is None else base64.b64encode(v).decode() for v in columns["bytes"]]
    if format == "jsonl":
        columns["odd"] = [v if v is not None and math.isfinite(v) else None for v in columns["odd"]]
    return columns


def same(name, reader, got, want):
    if len(got) != len(want):
        sys.exit(f"{reader}: column {name} has {len(got)} rows; want {len(want)}")
    for k, (g, w) in enumerate(zip(got, want)):
        equal = g == w or isinstance(g, float) and isinstance(w, float) and math.isnan(g) and math.isnan(w)
        if not equal or isinstance(g, float) and math.copysign(1, g) != math.copysign(1, w) and not math.isnan(g):
            sys.exit(f"{reader}: column {name}, row {k}: {g!r}; want {w!r}")


def nested(columns, format):
    """Nested columns of a reader as Python values."""
    for name in ("list", "struct"):
        if format == "csv":
            columns[name] = [json.loads(v) if v else None for v in columns[name]]
    return columns


def compare_all(label, reader, got, want, leave=()):
    for name, values in want.items():
        if name not in leave:
            same(name, f"{label}: {reader}", got[name], values)


def files_of(path):
    return sorted(glob.glob(os.path.join(path, "part-*"))) if os.path.isdir(path) else [path]


def read_csv_arrow(files, delimiter):
    options = pacsv.ConvertOptions(column_types={**TYPES, "list": pa.string(), "struct": pa.string()}, strings_can_be_null=True, quoted_strings_can_be_null=False,
                                   null_values=[""], true_values=["true"], false_values=["false"])
    parse = pacsv.ParseOptions(newlines_in_values=True, delimiter=delimiter)
    return pa.concat_tables(pacsv.read_csv(f, convert_options=options, parse_options=parse) for f in files)


def check(path, format, want, delimiter):
    files, want = files_of(path), expected(want, format)
    listed = "[" + ",".join(f"'{f}'" for f in files) + "]"
    if format == "csv":
        table = read_csv_arrow(files, delimiter)
        compare_all(path, "pyarrow", nested({n: table[n].to_pylist() for n in table.column_names}, format), want)
        # DuckDB finds types itself, but for these; it cannot tell "" from nothing unless told.
        types = "{'text':'VARCHAR','word':'VARCHAR','u':'UBIGINT','money':'DECIMAL(20,3)','bytes':'VARCHAR','list':'VARCHAR','struct':'VARCHAR','odd':'DOUBLE','y':'FLOAT'}"
        rows = duckdb.sql(f"select * replace (utc at time zone 'UTC' as utc) from read_csv({listed}, header=true, delim='{delimiter}', quote='\"', escape='\"', allow_quoted_nulls=false, sample_size=-1, types={types})")
    else:
        # pyarrow wants dates to be numbers, and guesses all else.
        schema = pa.schema([(n, TYPES[n] if n != "day" else pa.string()) for n in TYPES] + [("list", pa.list_(pa.int32())), ("struct", pa.struct([("p", pa.int32()), ("q", pa.string())]))])
        table = pa.concat_tables(pajson.read_json(f, parse_options=pajson.ParseOptions(explicit_schema=schema)) for f in files)
        got = {n: table[n].to_pylist() for n in table.column_names}
        got["day"] = table["day"].cast(pa.date32()).to_pylist()
        compare_all(path, "pyarrow", got, want)
        columns = "{'id':'BIGINT','text':'VARCHAR','word':'VARCHAR','flag':'BOOLEAN','u':'UBIGINT','x':'DOUBLE','odd':'DOUBLE','day':'DATE','at':'TIMESTAMP','utc':'TIMESTAMP','money':'DECIMAL(20,3)','bytes':'VARCHAR','list':'INTEGER[]','struct':'STRUCT(p INTEGER, q VARCHAR)','y':'FLOAT'}"
        rows = duckdb.sql(f"select * from read_json({listed}, format='newline_delimited', columns={columns})")
        frame = polars.concat([polars.read_ndjson(f) for f in files])
        compare_all(path, "polars", {n: frame[n].to_list() for n in ("id", "text", "x", "list", "struct")}, {n: want[n] for n in ("id", "text", "x", "list", "struct")})
        if not path.endswith(".zst"):  # which pandas needs another package for
            frame = pandas.concat([pandas.read_json(f, lines=True, dtype=False) for f in files])
            compare_all(path, "pandas", {"id": frame["id"].tolist(), "bytes": [None if v != v else v for v in frame["bytes"]]}, {n: want[n] for n in ("id", "bytes")})
    table = rows.to_arrow_table()
    got = nested({n: table[n].to_pylist() for n in table.column_names}, format)
    want["utc"] = [v.replace(tzinfo=None) for v in want["utc"]]
    compare_all(path, "duckdb", got, want)


def safe(path, want):
    """Nothing in a file for spreadsheets begins like a formula but numbers."""
    table = read_csv_arrow(files_of(path), ",")
    for got, value in zip(table["text"].to_pylist(), want["text"].to_pylist()):
        if got != ("'" + value if value and value[0] in "=+-@\t\r\n" else value):
            sys.exit(f"{path}: {got!r} of {value!r}")
    same("money", path, table["money"].to_pylist(), want["money"].to_pylist())


def main():
    what, dir = sys.argv[1:3]
    if what == "write":
        pq.write_table(made(), os.path.join(dir, "in.parquet"), row_group_size=500)
        return
    want = pq.read_table(os.path.join(dir, "in.parquet"))
    for name in sys.argv[3:]:
        path = os.path.join(dir, name)
        if name.startswith("safe"):
            safe(path, want)
            continue
        delimiter = {"tsv": "\t", "semicolon": ";"}.get(name.split(".")[-1].split("-")[-1], ",")
        check(path, "jsonl" if "json" in name else "csv", want, delimiter)


main()
