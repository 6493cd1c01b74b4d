"""(c) LightGBM's own predict, from Parquet, with a thread a core."""

from __future__ import annotations

import lightgbm
import pyarrow as pa
import pyarrow.parquet as pq

from columns import matrix
from task import Stopwatch, parse_task

GROUP_ROWS = 131_072  # bounds memory; many times what keeps every thread busy

task = parse_task()
watch = Stopwatch()
booster = lightgbm.Booster(model_file=task.model)
watch.ready()

schema = pa.schema({"id": pa.int64(), "variable": pa.float64()})
with pq.ParquetWriter(task.output, schema, compression="zstd") as writer:
    for rows in pq.ParquetFile(task.input).iter_batches(GROUP_ROWS, columns=task.columns):
        scores = booster.predict(matrix(rows, task.features), num_threads=task.threads)
        writer.write_batch(pa.record_batch([rows["id"], pa.array(scores)], schema=schema))
watch.report()
