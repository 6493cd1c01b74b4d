"""(f) DuckDB feeds ONNX Runtime and writes: a thread a core scores in between."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import chain

import duckdb
import pyarrow as pa

from columns import matrix, output_columns
from scoring import map_in_order, output_names, predict, single_thread_session
from task import Stopwatch, parse_task

CHUNK_ROWS = 32_768

task = parse_task()
watch = Stopwatch()
session = single_thread_session(task.model)
names = output_names(session)
watch.ready()


def score(rows: pa.RecordBatch) -> pa.RecordBatch:
    outputs = predict(session, matrix(rows, task.features), task.batch_rows)
    return pa.record_batch({"id": rows["id"]} | output_columns(names, outputs))


database = duckdb.connect(config={"threads": task.threads})
selected = ", ".join(f'"{column}"' for column in task.columns)
query = database.sql(f"SELECT {selected} FROM read_parquet(?)", params=[task.input])
with ThreadPoolExecutor(task.threads) as pool:
    results = map_in_order(pool, score, query.to_arrow_reader(CHUNK_ROWS), ahead=2 * task.threads)
    first = next(results)
    scores = pa.RecordBatchReader.from_batches(first.schema, chain([first], results))
    database.cursor().register("scores", scores).execute(
        f"COPY scores TO '{task.output}' (FORMAT parquet, COMPRESSION zstd)"
    )
watch.report()
