#!/usr/bin/env python3
"""Prints what pyarrow reads from Parquet files of numbers, and what it makes of
their footers, for TestNumbersInPyarrow.

    pip install pyarrow==26.0.1
    python3 number_files.py DIR

A line per file and column, its values as expect.py encodes them:

    file  column  nulls  crc  per row group: encoding nulls min max

min and max are the bytes that Parquet keeps, in hexadecimal.
"""
import os
import struct
import sys
import zlib

import pyarrow.parquet as pq

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from expect import encode  # noqa: E402

FORMATS = {"FLOAT": "<f", "DOUBLE": "<d", "INT32": "<i", "INT64": "<q"}


def stored(value, physical):
    """The bytes of a physical value in hexadecimal; unsigned ones come as such."""
    if value is None:
        return ""
    form = FORMATS[physical]
    if isinstance(value, int) and value >= 1 << (8 * struct.calcsize(form) - 1):
        form = form.upper()
    return struct.pack(form, value).hex()


def main(folder):
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        table, footer = pq.read_table(path), pq.ParquetFile(path).metadata
        for i in range(table.num_columns):
            column = table.column(i).combine_chunks()
            line = [name, str(i), str(column.null_count), f"{zlib.crc32(b''.join(encode(column))):08x}"]
            for g in range(footer.num_row_groups):
                chunk = footer.row_group(g).column(i)
                s = chunk.statistics
                encodings = "+".join(e for e in chunk.encodings if e != "RLE")
                least, most = (s.min_raw, s.max_raw) if s.has_min_max else (None, None)
                line.append(f"{encodings} {s.null_count} {stored(least, chunk.physical_type)} {stored(most, chunk.physical_type)}")
            print("\t".join(line))


if __name__ == "__main__":
    main(sys.argv[1])
