"""(d) Ray Data: map_batches by a function, on a local cluster. Ray fuses it with reading and
writing, so no block is copied; but one file is then one task, on one core."""

from __future__ import annotations

import os
import tempfile

# Nothing leaves this machine: no usage report, and the loopback address for every server.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
os.environ["RAY_AUTH_MODE"] = "disabled"

import pyarrow as pa
import ray

from columns import matrix, output_columns
from scoring import output_names, predict, worker_session
from task import Stopwatch, parse_task

task = parse_task()
watch = Stopwatch()


def score(rows: pa.Table) -> pa.Table:
    session = worker_session(task.model)
    (batch,) = rows.combine_chunks().to_batches()
    outputs = predict(session, matrix(batch, task.features), task.batch_rows)
    return pa.table({"id": rows["id"]} | output_columns(output_names(session), outputs))


with tempfile.TemporaryDirectory(prefix="ray-") as temporary:
    ray.init(
        num_cpus=task.threads,
        include_dashboard=False,
        _temp_dir=temporary,
        logging_level="warning",
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    watch.ready()
    # A function, not actors: then read, score and write are fused into one task, and no
    # block is handed on through shared memory.
    rows = ray.data.read_parquet(task.input).select_columns(task.columns)
    rows.map_batches(score, batch_format="pyarrow", batch_size=None).write_parquet(task.output)
    watch.report()
    ray.shutdown()
