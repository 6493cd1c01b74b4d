#!/usr/bin/env python3
"""Writes what other engines read from the Parquet corpora, for corpora_test.go.

    pip install pyarrow==26.0.1 duckdb==2.0.0
    python3 expect.py CORPORA_DIR parquet-good > good.tsv
    python3 expect.py CORPORA_DIR parquet-bad  > bad.tsv

One line per column, and one line with column -1 for a file without columns or
that nothing reads. Fields:

    file  engine  rows  column  name  nulls  crc

engine is pyarrow, else duckdb (rows and nulls only), else none. crc is the
CRC-32 of the column's values in row order, each encoded as appendValue in
corpora_test.go does.

Every file is read in a process of its own: some crash the reader.
"""
import decimal
import json
import os
import struct
import subprocess
import sys
import zlib

CONTEXT = decimal.Context(prec=80)  # as many digits as decimal256 has, and more


def encode(arr):
    """A list with the bytes of each slot of a pyarrow array."""
    import pyarrow as pa

    t = arr.type
    if isinstance(t, pa.BaseExtensionType):
        return encode(arr.storage)
    if pa.types.is_dictionary(t):
        return encode(arr.dictionary_decode())
    if pa.types.is_null(t):
        return [b"\0"] * len(arr)
    valid = arr.is_valid().to_pylist()

    def slots(values, one):
        return [b"\1" + one(v) if ok else b"\0" for v, ok in zip(values, valid)]

    i64 = struct.Struct("<q").pack
    f64 = struct.Struct("<d").pack
    u32 = struct.Struct("<I").pack
    if pa.types.is_boolean(t):
        return slots(arr.to_pylist(), lambda v: b"\1" if v else b"\0")
    if pa.types.is_uint64(t):
        return slots(arr.to_pylist(), struct.Struct("<Q").pack)
    if pa.types.is_integer(t):
        return slots(arr.to_pylist(), i64)
    if pa.types.is_floating(t):
        return slots(arr.to_pylist(), lambda v: b"nan" if v != v else f64(v))
    if pa.types.is_date32(t) or pa.types.is_time32(t):
        return slots(arr.view(pa.int32()).to_pylist(), i64)
    if pa.types.is_temporal(t) and t.bit_width == 64:
        return slots(arr.view(pa.int64()).to_pylist(), i64)
    if pa.types.is_decimal(t):
        return slots(
            arr.to_pylist(),
            lambda v: str(int(v.scaleb(t.scale, CONTEXT))).encode() + b";",
        )
    if pa.types.is_fixed_size_binary(t) or pa.types.is_binary(t) or pa.types.is_large_binary(t):
        return slots(arr.to_pylist(), lambda v: u32(len(v)) + v)
    if pa.types.is_string(t) or pa.types.is_large_string(t):
        raw = arr.cast(pa.large_binary() if pa.types.is_large_string(t) else pa.binary())
        return slots(raw.to_pylist(), lambda v: u32(len(v)) + v)
    if pa.types.is_struct(t):
        fields = [encode(f) for f in (arr.field(i) for i in range(t.num_fields))]
        return [
            b"\1" + b"".join(f[i] for f in fields) if ok else b"\0"
            for i, ok in enumerate(valid)
        ]
    if pa.types.is_map(t):
        keys, items = encode(arr.keys), encode(arr.items)
        o = arr.offsets.to_pylist()
        base = o[0] if o else 0
        return [
            b"\1" + u32(o[i + 1] - o[i]) + b"".join(keys[j - base] + items[j - base] for j in range(o[i], o[i + 1]))
            if ok
            else b"\0"
            for i, ok in enumerate(valid)
        ]
    if pa.types.is_fixed_size_list(t):
        n = t.list_size
        values = encode(arr.values)
        return [
            b"\1" + u32(n) + b"".join(values[(arr.offset + i) * n : (arr.offset + i + 1) * n]) if ok else b"\0"
            for i, ok in enumerate(valid)
        ]
    if pa.types.is_list(t) or pa.types.is_large_list(t):
        values = encode(arr.values)
        o = arr.offsets.to_pylist()
        return [
            b"\1" + u32(o[i + 1] - o[i]) + b"".join(values[o[i] : o[i + 1]]) if ok else b"\0"
            for i, ok in enumerate(valid)
        ]
    raise TypeError(f"no encoding for {t}")


def by_pyarrow(path):
    import pyarrow.parquet as pq

    table = pq.ParquetFile(path, arrow_extensions_enabled=False).read(use_threads=False)
    out = []
    for name, col in zip(table.column_names, table.columns):
        crc = 0
        for chunk in col.chunks:
            for b in encode(chunk):
                crc = zlib.crc32(b, crc)
        out.append([name, col.null_count, f"{crc:08x}"])
    return ["pyarrow", table.num_rows, out]


def by_duckdb(path):
    import duckdb

    con = duckdb.connect()
    source = "read_parquet('" + path.replace("'", "''") + "')"
    one = lambda sql: con.execute(sql).fetchone()[0]
    rows = one(f"select count(*) from {source}")
    out = []
    for name in [d[0] for d in con.execute(f"select * from {source} limit 0").description]:
        quoted = '"' + name.replace('"', '""') + '"'
        # hash() makes it decode the values; a null's is never null.
        nulls = one(f"select count(*) - count({quoted}) + 0 * count(hash({quoted})) from {source}")
        out.append([name, nulls, "-"])
    return ["duckdb", rows, out]


def read_one(path):
    for engine in (by_pyarrow, by_duckdb):
        try:
            run = subprocess.run(
                [sys.executable, __file__, "--one", engine.__name__, path],
                capture_output=True, text=True, timeout=30,
            )
        except subprocess.TimeoutExpired:
            continue
        if run.returncode == 0:
            return json.loads(run.stdout)
    return ["none", -1, [["", -1, "-"]]]


def main():
    if sys.argv[1] == "--one":
        print(json.dumps(globals()[sys.argv[2]](sys.argv[3])))
        return
    root = os.path.join(sys.argv[1], sys.argv[2])
    files = sorted(
        os.path.relpath(os.path.join(d, f), root)
        for d, _, names in os.walk(root) for f in names
        if not f.endswith((".csv", ".json", ".md"))  # they say what others hold
    )
    clean = lambda s: json.dumps(s, ensure_ascii=True)[1:-1].replace("\\t", " ")
    for f in files:
        engine, rows, columns = read_one(os.path.join(root, f))
        for i, (name, nulls, crc) in enumerate(columns or [["", 0, "-"]]):
            if engine == "none" or not columns:
                i = -1
            name = clean(str(name))
            print("\t".join([f, engine, str(rows), str(i), name, str(nulls), crc]))


if __name__ == "__main__":
    main()
