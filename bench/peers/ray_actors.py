"""(d) Ray Data: map_batches by an actor a core, on a local cluster. All cores work, but every
block is handed on through shared memory."""

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
from scoring import output_names, predict, single_thread_session
from task import Stopwatch, parse_task

task = parse_task()
watch = Stopwatch()


class Scorer:
    """An actor: it keeps its session from block to block."""

    def __init__(self) -> None:
        self._session = single_thread_session(task.model)

    def __call__(self, rows: pa.Table) -> pa.Table:
        (batch,) = rows.combine_chunks().to_batches()
        outputs = predict(self._session, matrix(batch, task.features), task.batch_rows)
        return pa.table({"id": rows["id"]} | output_columns(output_names(self._session), outputs))


with tempfile.TemporaryDirectory(prefix="ray-") as temporary:
    ray.init(
        num_cpus=task.threads,
        include_dashboard=False,
        _temp_dir=temporary,
        logging_level="warning",
    )
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    # One file is one read task, and a function would be fused into it: one core for
    # everything. Actors, and blocks small enough to be shared out, use all cores.
    context.target_max_block_size = 32 << 20
    watch.ready()
    rows = ray.data.read_parquet(task.input).select_columns(task.columns)
    scores = rows.map_batches(
        Scorer,
        batch_format="pyarrow",
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(size=task.threads),
        num_cpus=0.5,  # the other half is for reading and writing
    )
    scores.write_parquet(task.output)
    watch.report()
    ray.shutdown()
