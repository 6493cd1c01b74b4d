"""(c) XGBoost's own predict, from Parquet, with a thread a core."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xgboost

from columns import matrix
from task import Stopwatch, parse_task

GROUP_ROWS = 131_072  # bounds memory; many times what keeps every thread busy

task = parse_task()
watch = Stopwatch()
booster = xgboost.Booster({"nthread": task.threads}, model_file=task.model)
watch.ready()

schema = pa.schema(
    {
        "id": pa.int64(),
        "label": pa.int64(),
        "probabilities_0": pa.float32(),
        "probabilities_1": pa.float32(),
    }
)
with pq.ParquetWriter(task.output, schema, compression="zstd") as writer:
    for rows in pq.ParquetFile(task.input).iter_batches(GROUP_ROWS, columns=task.columns):
        late = booster.inplace_predict(matrix(rows, task.features))
        columns = [rows["id"], (late > 0.5).astype(np.int64), 1 - late, late]
        writer.write_batch(pa.record_batch(columns, schema=schema))
watch.report()
