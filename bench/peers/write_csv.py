"""How fast pyarrow writes the tables that io/csvfile's BenchmarkWrite does.

  .venv/bin/python bench/peers/write_csv.py

One thread; rows per second of processor time, the best of 40.
"""
import time

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv

ROWS = 1 << 16


def tables():
    random = np.random.default_rng(0)
    text = [f"flight {i}" + (' to, "x"' if i % 50 == 0 else "") for i in range(ROWS)]
    return {
        "float32": random.random(ROWS).astype("f4"),
        "float64": random.random(ROWS),
        "text": pa.array(text),
        "timestamp": pa.array(np.arange(ROWS) * 1_000_003, pa.timestamp("us")),
    }


def main():
    pa.set_cpu_count(1)
    options = pacsv.WriteOptions(batch_size=ROWS, quoting_style="needed")
    for name, values in tables().items():
        table, best = pa.table({"id": np.arange(ROWS), "v": values}), float("inf")
        for _ in range(40):
            sink, began = pa.BufferOutputStream(), time.process_time()
            pacsv.write_csv(table, sink, write_options=options)
            best = min(best, time.process_time() - began)
        print(f"type={name} {ROWS / best / 1e6:.1f} million rows/s")


main()
