"""(f) polars feeds ONNX Runtime: its streaming engine decodes, a thread a core scores."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import polars as pl

from columns import output_columns
from scoring import map_in_order, output_names, predict, single_thread_session
from task import Stopwatch, parse_task

CHUNK_ROWS = 32_768

task = parse_task()
watch = Stopwatch()
session = single_thread_session(task.model)
names = output_names(session)
watch.ready()


def score(rows: pl.DataFrame) -> dict[str, Any]:
    x = rows.select(task.features).to_numpy(order="c")  # nulls become NaN
    outputs = predict(session, x, task.batch_rows)
    return {"id": rows["id"]} | output_columns(names, outputs)


chunks = pl.scan_parquet(task.input).select(task.columns).collect_batches(chunk_size=CHUNK_ROWS)
with ThreadPoolExecutor(task.threads) as pool:
    # Frames are made in one thread: polars imports numpy at the first, and not for two at once.
    scores = [pl.DataFrame(c) for c in map_in_order(pool, score, chunks, ahead=2 * task.threads)]
pl.concat(scores).write_parquet(task.output)
watch.report()
