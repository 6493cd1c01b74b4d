"""Writes what pyarrow reads from Arrow files, for TestExpected to compare with.

    python expect.py make  pyarrow/            # writes the small files of testdata/pyarrow
    python expect.py read  DIR > expected.tsv  # one line for each column of each file below DIR

Made with pyarrow 26.0.1 and nanoarrow 0.9.0. A line is: path below DIR, batches, rows, index of the
column, its name as JSON, null_count summed over batches, and the sha256 of the
column's rows, each rendered as text (see rows) and followed by a newline. A
file that pyarrow does not read has one line: path, "error", the error.
"""

import hashlib
import json
import pathlib
import struct
import sys

import nanoarrow
import pyarrow as pa
import pyarrow.ipc


def fixed(array, width):
    """Values of a fixed width as hexadecimal of their little-endian bytes."""
    data = array.buffers()[1]
    data = data.to_pybytes() if data is not None else b""
    at = range(array.offset, array.offset + len(array))
    return [data[i * width : (i + 1) * width].hex() for i in at]


def lists(values, spans):
    values = rows(values)
    return ["[" + ",".join(values[start:end]) + "]" for start, end in spans]


def rows(array):
    """Each row of an array as text, the same as rowsOf in expected_test.go."""
    t = array.type
    if isinstance(t, pa.BaseExtensionType):
        return rows(array.storage)
    if pa.types.is_null(t):
        return ["n"] * len(array)
    if pa.types.is_run_end_encoded(t):
        values, out, start = rows(array.values), [], 0
        for value, end in zip(values, array.run_ends.to_pylist()):
            out += [value] * (min(end, len(array)) - start)
            start = end
        return out
    if pa.types.is_union(t):
        children = [rows(array.field(i)) for i in range(t.num_fields)]
        # By buffers: array.type_codes and array.offsets of a read union crash.
        codes = at = range(len(array))
        if len(array) > 0:
            codes = struct.unpack_from(f"<{len(array)}b", array.buffers()[1])
        if t.mode == "dense" and len(array) > 0:
            at = struct.unpack_from(f"<{len(array)}i", array.buffers()[2])
        index = {code: i for i, code in enumerate(t.type_codes)}
        return [f"{c}:{children[index[c]][i]}" for c, i in zip(codes, at)]

    if pa.types.is_dictionary(t):
        values = rows(array.dictionary)
        out = [values[i] if i is not None else "n" for i in array.indices.to_pylist()]
    elif pa.types.is_boolean(t):
        out = ["t" if v else "f" for v in array.to_pylist()]
    elif pa.types.is_string(t) or pa.types.is_binary(t):
        out = [(v or b"").hex() + "." for v in array.cast(pa.binary()).to_pylist()]
    elif pa.types.is_large_string(t) or pa.types.is_large_binary(t):
        out = [(v or b"").hex() + "." for v in array.cast(pa.large_binary()).to_pylist()]
    elif pa.types.is_string_view(t) or pa.types.is_binary_view(t):
        out = [(v or b"").hex() + "." for v in array.cast(pa.binary_view()).to_pylist()]
    elif pa.types.is_map(t):
        offsets = array.offsets.to_pylist()
        keys, items = rows(array.keys), rows(array.items)
        pairs = [f"{{{k};{v}}}" for k, v in zip(keys, items)]
        out = ["[" + ",".join(pairs[s:e]) + "]" for s, e in zip(offsets, offsets[1:])]
    elif pa.types.is_list_view(t) or pa.types.is_large_list_view(t):
        offsets, sizes = array.offsets.to_pylist(), array.sizes.to_pylist()
        out = lists(array.values, [(o, o + s) for o, s in zip(offsets, sizes)])
    elif pa.types.is_fixed_size_list(t):
        n = t.list_size
        out = lists(array.values, [(i * n, (i + 1) * n) for i in range(len(array))])
    elif pa.types.is_list(t) or pa.types.is_large_list(t):
        offsets = array.offsets.to_pylist()
        out = lists(array.values, zip(offsets, offsets[1:]))
    elif pa.types.is_struct(t):
        children = [rows(array.field(i)) for i in range(t.num_fields)]
        out = ["{" + ";".join(c[i] for c in children) + "}" for i in range(len(array))]
    else:
        out = fixed(array, t.bit_width // 8)
    valid = array.is_valid().to_pylist()
    return [v if ok else "n" for v, ok in zip(out, valid)]


def intervals(column):
    width = {"tiM": 4, "tiD": 8}[column.schema.format]
    bits, data = (bytes(b) if b.size_bytes else b"" for b in column.view().buffers)
    out = []
    for i in range(column.length):
        valid = column.null_count == 0 or bits[i // 8] >> (i % 8) & 1
        out.append(data[width * i : width * (i + 1)].hex() if valid else "n")
    return out


def batches(path):
    with open(path, "rb") as f:
        if f.read(6) == b"ARROW1":
            reader = pa.ipc.open_file(path)
            return reader.schema, [reader.get_batch(i) for i in range(reader.num_record_batches)]
    reader = pa.ipc.open_stream(path)
    return reader.schema, list(reader)


def read(root):
    root = pathlib.Path(root)
    for path in sorted(p for p in root.rglob("*") if p.suffix in (".arrow_file", ".stream", ".arrow")):
        name = path.relative_to(root).as_posix()
        try:
            schema, all_batches = batches(path)
            lines = []
            for i, field in enumerate(schema.names):
                digest, nulls, total = hashlib.sha256(), 0, 0
                for batch in all_batches:
                    batch.validate()
                    total += batch.num_rows
                    try:
                        column = batch.column(i)
                        nulls += column.null_count
                        texts = rows(column)
                    except KeyError:  # two interval types have no Python type
                        texts = intervals(nanoarrow.c_array(batch).child(i))
                        nulls += texts.count("n")
                    for row in texts:
                        digest.update(row.encode() + b"\n")
                lines.append((name, len(all_batches), total, i, json.dumps(field), nulls, digest.hexdigest()))
            if not lines:
                lines.append((name, len(all_batches), sum(b.num_rows for b in all_batches)))
        except Exception as e:  # noqa: BLE001
            lines = [(name, "error", type(e).__name__, str(e).split("\n")[0])]
        for line in lines:
            print(*line, sep="\t")


def table(n, start=0):
    """Columns of most types, of n rows, with nulls."""
    ints = [None if (i + start) % 7 == 3 else (i + start) % 100 for i in range(n)]
    texts = [None if v is None else "text " + "x" * (v % 20) for v in ints]
    lists_ = [None if v is None else ints[: v % 5] for v in ints]
    view = pa.array(texts, pa.string_view())
    return {
        "f32": pa.array([float(i) / 3 for i in range(n)], pa.float32()),
        "f64": pa.array([None if v is None else v / 7 for v in ints], pa.float64()),
        "f16": pa.array([float(i) for i in range(n)], pa.float16()),
        "i8": pa.array(ints, pa.int8()),
        "u64": pa.array(ints, pa.uint64()),
        "b": pa.array([None if v is None else v % 3 == 0 for v in ints]),
        "s": pa.array(texts),
        "ls": pa.array(texts, pa.large_string()),
        "sv": view,
        "bin": pa.array([None if v is None else bytes([v, 0, 255]) for v in ints]),
        "fsb": pa.array([bytes([i % 256] * 5) for i in range(n)], pa.binary(5)),
        "ts": pa.array(ints, pa.timestamp("us", "UTC")),
        "d32": pa.array(ints, pa.int32()).cast(pa.date32()),
        "dec": pa.array(ints, pa.int64()).cast(pa.decimal128(21, 2)),
        "l": pa.array(lists_, pa.list_(pa.int16())),
        "ll": pa.array(lists_, pa.large_list(pa.int16())),
        "lv": pa.array(lists_, pa.list_view(pa.int16())),
        "fsl": pa.array([[float(i), None] for i in range(n)], pa.list_(pa.float32(), 2)),
        "st": pa.array([None if v is None else {"x": v, "y": str(v)} for v in ints], pa.struct({"x": pa.int32(), "y": pa.string()})),
        "m": pa.array([None if v is None else [("k", v), ("q", None)] for v in ints], pa.map_(pa.string(), pa.int32())),
        "ree": pa.RunEndEncodedArray.from_arrays(pa.array([(n + 1) // 2, n] if n > 1 else [n], pa.int32()), pa.array(ints[:2] if n > 1 else ints[:1], pa.int64())),
        "du": pa.UnionArray.from_dense(
            pa.array([i % 2 for i in range(n)], pa.int8()),
            pa.array([i // 2 for i in range(n)], pa.int32()),
            [pa.array(ints, pa.int32()), pa.array(texts)],
        ),
        "su": pa.UnionArray.from_sparse(pa.array([i % 2 for i in range(n)], pa.int8()), [pa.array(ints, pa.int32()), pa.array(texts)]),
        "dict": pa.array(texts).dictionary_encode(),
        "z": pa.nulls(n),
    }


def make(root):
    root = pathlib.Path(root)
    root.mkdir(exist_ok=True)
    whole = pa.record_batch(table(40))
    pieces = [whole.slice(0, 17), whole.slice(17, 0), whole.slice(17, 23)]
    new = {
        "all.arrow": (pa.ipc.new_file, {}),
        "all.stream": (pa.ipc.new_stream, {}),
        "all-lz4.arrow": (pa.ipc.new_file, {"compression": "lz4"}),
        "all-zstd.stream": (pa.ipc.new_stream, {"compression": "zstd"}),
        "all-v4.arrow": (pa.ipc.new_file, {"metadata_version": pa.ipc.MetadataVersion.V4}),
        "all-legacy.stream": (pa.ipc.new_stream, {"use_legacy_format": True, "metadata_version": pa.ipc.MetadataVersion.V4}),
        "all-legacy.arrow": (pa.ipc.new_file, {"use_legacy_format": True, "metadata_version": pa.ipc.MetadataVersion.V4}),
    }
    for name, (open_, options) in new.items():
        with open_(str(root / name), whole.schema, options=pa.ipc.IpcWriteOptions(**options)) as w:
            for b in pieces:
                w.write_batch(b)
    words = ["a", "bb", "ccc", "dddd", None, "eeeee"]
    growing = [pa.array([0, 1, None, 0], pa.int8()), pa.array([2, 0, 1], pa.int8()), pa.array([5, 3, 4, None], pa.int8())]
    sizes = [2, 3, 6]
    for kind, open_ in (("arrow", pa.ipc.new_file), ("stream", pa.ipc.new_stream)):
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True)
        schema = pa.schema({"d": pa.dictionary(pa.int8(), pa.string()), "i": pa.int8()})
        with open_(str(root / f"delta.{kind}"), schema, options=options) as w:
            for indices, n in zip(growing, sizes):
                d = pa.DictionaryArray.from_arrays(indices, pa.array(words[:n]))
                w.write_batch(pa.record_batch({"d": d, "i": indices}))
    inner = [pa.array(["x", "y"]), pa.array(["z", "x", "w"])]
    with pa.ipc.new_stream(str(root / "replaced.stream"), pa.schema({"d": pa.dictionary(pa.int32(), pa.list_(pa.dictionary(pa.int8(), pa.string())))})) as w:
        for values in inner:
            coded = pa.DictionaryArray.from_arrays(pa.array(list(range(len(values))), pa.int8()), values)
            outer = pa.ListArray.from_arrays(pa.array([0, 1, len(values)], pa.int32()), coded)
            d = pa.DictionaryArray.from_arrays(pa.array([1, 0, None, 1], pa.int32()), outer)
            w.write_batch(pa.record_batch({"d": d}))
    with pa.ipc.new_file(str(root / "empty.arrow"), whole.schema):
        pass
    with pa.ipc.new_file(str(root / "nocolumns.arrow"), pa.schema([])) as w:
        w.write_batch(pa.RecordBatch.from_struct_array(pa.array([{}] * 5, pa.struct([]))))


if __name__ == "__main__":
    {"make": make, "read": read}[sys.argv[1]](sys.argv[2])
