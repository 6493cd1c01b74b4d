"""What docs/streams.md says of pyarrow, seen from outside: streams.py EXAMPLES MODEL DATA"""

import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq

examples, model, data = sys.argv[1:]
sys.path.insert(0, examples)
from millrace_stream import scored

table = pq.read_table(data)
flags = ["--model", model, "--nulls", "nan", "--ids", "id"]
subprocess.run(["millrace", "score", "--input", data, "--output", "whole.arrow", "--quiet", *flags], check=True)
whole = pa.ipc.open_file("whole.arrow").read_all()

# Record batches of any size, each for one, and together what the file's run gives.
for rows in (997, 20_000):
    batches = table.to_batches(max_chunksize=rows)
    back = list(scored(iter(batches), table.schema, *flags))
    assert [b.num_rows for b in back] == [b.num_rows for b in batches]
    assert pa.Table.from_batches(back).equals(whole), f"record batches of {rows} rows"

# What the input fails with, and what millrace does, is raised.
def broken():
    yield table.to_batches(max_chunksize=10)[0]
    raise ValueError("no more")

for batches, more, error in ((broken(), [], ValueError), (iter(table.to_batches()), ["--keep", "nowhere"], RuntimeError)):
    try:
        list(scored(batches, table.schema, *flags, *more))
    except error:
        continue
    assert False, f"no {error}"

# Whoever has enough may go.
for batch in scored(iter(table.to_batches(max_chunksize=1000)), table.schema, *flags):
    break

# pyarrow does not tell a stream that was cut from one that has ended; millrace does.
sink = pa.BufferOutputStream()
with pa.ipc.new_stream(sink, table.schema) as out:
    out.write_table(table)
stream = sink.getvalue().to_pybytes()
cut = stream[:-8]
assert pa.ipc.open_stream(cut).read_all().num_rows == table.num_rows
for data, code in ((stream, 0), (cut, 4)):
    p = subprocess.run(["millrace", "score", "--input", "-", "--output", "-", "--quiet", *flags], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert p.returncode == code, p.stderr
    assert p.stdout.endswith(b"\xff\xff\xff\xff\0\0\0\0") == (code == 0)
    assert pa.ipc.open_stream(p.stdout).read_all().num_rows > 0

# Dictionaries that grow and change, and compressed bodies.
schema = pa.schema([("id", pa.int64()), ("carrier", pa.dictionary(pa.int8(), pa.string()))] + [f for f in table.schema if f.name not in ("id", "carrier")])
for options in (pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True, compression="lz4"), pa.ipc.IpcWriteOptions(compression="zstd")):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=options) as out:
        for i, values in enumerate((["a", "b"], ["a", "b", "c"], ["x"])):
            batch = table.slice(10 * i, 10)
            indices = pa.array([k % len(values) for k in range(10)], pa.int8())
            columns = {"id": batch["id"], "carrier": pa.DictionaryArray.from_arrays(indices, pa.array(values))}
            out.write_table(pa.table([columns[f.name] if f.name in columns else batch[f.name] for f in schema], schema=schema))
    p = subprocess.run(["millrace", "score", "--input", "-", "--output", "-", "--quiet", "--keep", "carrier", "--compression", "lz4", *flags], input=sink.getvalue().to_pybytes(), stdout=subprocess.PIPE)
    assert p.returncode == 0
    got = pa.ipc.open_stream(p.stdout).read_all()
    want = [v[k % len(v)] for v in (["a", "b"], ["a", "b", "c"], ["x"]) for k in range(10)]
    assert got["carrier"].to_pylist() == want, got["carrier"]
    assert got["variable"].equals(whole["variable"].slice(0, 30))
print("sound")
