#!/usr/bin/env python3
"""Writes Parquet files of many shapes with pyarrow, and what pyarrow reads from
them, for TestShapesOfPyarrow.

    pip install pyarrow==26.0.1
    python3 shapes.py DIR > DIR/expected.tsv

Encodings x codecs x nulls x page versions x page sizes x types. The lines are
those of expect.py.
"""
import decimal
import itertools
import os
import random
import sys
import zlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from expect import CONTEXT, encode  # noqa: E402

ROWS = 3000


def values(rng, kind, distinct):
    """ROWS values of a type, of which distinct differ."""
    text = lambda: "".join(rng.choice("abc") for _ in range(rng.randrange(12)))
    make = {
        "int8": lambda: rng.randrange(-128, 128),
        "uint16": lambda: rng.randrange(1 << 16),
        "int32": lambda: rng.randrange(-1 << 31, 1 << 31),
        "int64": lambda: rng.randrange(-1 << 63, 1 << 63),
        "float32": lambda: rng.uniform(-1e6, 1e6),
        "float64": lambda: rng.gauss(0, 1),
        "bool": lambda: rng.random() < 0.5,
        "date32": lambda: rng.randrange(20000),
        "timestamp": lambda: rng.randrange(1 << 50),
        "date64": lambda: rng.randrange(-20000, 20000) * 86_400_000,
        "seconds": lambda: rng.randrange(-1 << 33, 1 << 33),
        "time32": lambda: rng.randrange(86_400),
        "half": lambda: rng.gauss(0, 100),
        "string": text,
        "binary": lambda: text().encode(),
        "fixed": lambda: bytes(rng.randrange(256) for _ in range(5)),
    }.get(kind)
    if kind in DECIMALS:
        most = 10 ** DECIMALS[kind].precision - 1
        make = lambda: rng.choice([-most, most, 0, -1, rng.randrange(-most, most), rng.randrange(-100, 100)])
    pool = [make() for _ in range(distinct)]
    return [pool[rng.randrange(distinct)] for _ in range(ROWS)]


DECIMALS = {
    "decimal3": pa.decimal128(3, 1), "decimal9": pa.decimal128(9, 4), "decimal": pa.decimal128(12, 2), "decimal18": pa.decimal128(18, 0),
    "decimal20": pa.decimal128(20, 5), "decimal38": pa.decimal128(38, 10), "decimal45": pa.decimal256(45, 3), "decimal76": pa.decimal256(76, 30),
}

# Decimals that Parquet may store as integers.
SHORT = ["decimal3", "decimal9", "decimal", "decimal18"]

TYPES = DECIMALS | {
    "int8": pa.int8(), "uint16": pa.uint16(), "int32": pa.int32(), "int64": pa.int64(), "float32": pa.float32(),
    "float64": pa.float64(), "bool": pa.bool_(), "date32": pa.date32(), "timestamp": pa.timestamp("us"),
    "date64": pa.date64(), "seconds": pa.timestamp("s"), "time32": pa.time32("s"), "half": pa.float16(), "string": pa.string(), "binary": pa.binary(), "fixed": pa.binary(5),
}

ENCODINGS = {
    "PLAIN": list(TYPES),
    "DELTA_BINARY_PACKED": ["int8", "uint16", "int32", "int64", "date32", "timestamp", "date64", "seconds", "time32"],
    "BYTE_STREAM_SPLIT": ["int32", "int64", "float32", "float64", "fixed", "half", *DECIMALS],
    "DELTA_LENGTH_BYTE_ARRAY": ["string", "binary"],
    "DELTA_BYTE_ARRAY": ["string", "binary", "fixed", *DECIMALS],
    "RLE": ["bool"],
}

NULLS = {
    "none": lambda rng, i: False,
    "some": lambda rng, i: rng.random() < 0.05,
    "half": lambda rng, i: rng.random() < 0.5,
    "all": lambda rng, i: True,
    "runs": lambda rng, i: i // 97 % 3 == 0,
}


def column(rng, kind, nulls, distinct):
    raw = [None if NULLS[nulls](rng, i) else v for i, v in enumerate(values(rng, kind, distinct))]
    if kind in DECIMALS:
        raw = [None if v is None else decimal.Decimal(v).scaleb(-DECIMALS[kind].scale, CONTEXT) for v in raw]
    if kind == "half":
        raw = [None if v is None else np.float16(v) for v in raw]
    return pa.array(raw, type=TYPES[kind])


def main(folder):
    rng = random.Random(1)
    codecs = itertools.cycle(["none", "snappy", "zstd", "gzip", "lz4", "brotli"])
    pages = itertools.cycle([64, 1000, 1 << 20])
    versions = itertools.cycle(["1.0", "2.0"])
    groups = itertools.cycle([ROWS, 700])

    def write(name, table, **options):
        path = os.path.join(folder, name + ".parquet")
        pq.write_table(table, path, compression=next(codecs), data_page_size=next(pages), data_page_version=next(versions),
                       row_group_size=next(groups), write_batch_size=rng.choice([1, 13, 1024]), **options)
        read = pq.read_table(path)
        for i, field in enumerate(read.schema):
            col = read.column(i).combine_chunks()
            if field.name == "date64":  # pyarrow leaves it in days; the reader restores the type that was written
                col = col.cast(pa.date64())
            crc = zlib.crc32(b"".join(encode(col)))
            print(name + ".parquet", "pyarrow", read.num_rows, i, field.name, col.null_count, f"{crc:08x}", sep="\t")

    for encoding, kinds in ENCODINGS.items():
        for nulls in NULLS:
            table = pa.table({k: column(rng, k, nulls, ROWS) for k in kinds})
            write(f"{encoding}-{nulls}", table, use_dictionary=False, column_encoding={k: encoding for k in kinds})
    # Decimals stored as integers, and times as INT96.
    for encoding in ["PLAIN", "DELTA_BINARY_PACKED", "BYTE_STREAM_SPLIT", "dictionary"]:
        for nulls in NULLS:
            table = pa.table({k: column(rng, k, nulls, 50 if encoding == "dictionary" else ROWS) for k in SHORT})
            how = {"use_dictionary": True} if encoding == "dictionary" else {"use_dictionary": False, "column_encoding": {k: encoding for k in SHORT}}
            write(f"integers-{encoding}-{nulls}", table, store_decimal_as_integer=True, **how)
    for nulls in NULLS:
        table = pa.table({k: column(rng, k, nulls, ROWS) for k in ["timestamp", "seconds"]})
        write(f"INT96-{nulls}", table, use_dictionary=False, use_deprecated_int96_timestamps=True)
    # Every width of index that so many rows can have, dictionaries that end in
    # the middle of a chunk, and columns that cannot be null.
    for distinct in [1, 2, 3, 5, 9, 17, 33, 65, 129, 257, 513, 1025, 2049, ROWS]:
        for nulls in ["none", "some", "runs"]:
            kinds = [k for k in TYPES if k not in ("bool", "decimal9", "decimal18", "decimal45", "seconds", "time32")]
            table = pa.table({k: column(rng, k, nulls, distinct) for k in kinds})
            if nulls == "none":
                table = table.cast(pa.schema([f.with_nullable(False) for f in table.schema]))
            write(f"dictionary-{distinct}-{nulls}", table, use_dictionary=True)
            write(f"fallback-{distinct}-{nulls}", table, use_dictionary=True, dictionary_pagesize_limit=400)


if __name__ == "__main__":
    main(sys.argv[1])
