"""(b) The best that we can write in Python: pyarrow, one thread a core, a tuned batch size.

Row groups are decoded ahead and cut into slices; both kinds of work go to one pool with
a thread a core, and nearly all of it runs without the interpreter's lock. A slice is
scored in cache-sized batches, each made row-major by Arrow's own kernel, which also turns
nulls into NaN. The main thread writes the slices in order.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from columns import matrix, output_columns
from scoring import output_names, single_thread_session
from task import Stopwatch, Task, parse_task

SLICE_ROWS = 32_768  # enough for a future's cost to vanish, few enough to end evenly
READ_AHEAD = 3  # row groups


class Source(Protocol):
    groups: int

    def read(self, group: int) -> pa.RecordBatch: ...


class ParquetSource:
    def __init__(self, task: Task) -> None:
        self._path, self._columns = task.input, task.columns
        self._metadata = pq.read_metadata(task.input)
        self.groups = self._metadata.num_row_groups

    def read(self, group: int) -> pa.RecordBatch:
        # A reader of its own, because one must not be used by two threads. Mapped and
        # without pre-buffering, columns are decoded where they lie in the page cache.
        reader = pq.ParquetFile(
            self._path, metadata=self._metadata, memory_map=True, pre_buffer=False
        )
        table = reader.read_row_group(group, columns=self._columns, use_threads=False)
        return table.combine_chunks().to_batches()[0]


class ArrowSource:
    def __init__(self, task: Task) -> None:
        self._file = pa.ipc.open_file(pa.memory_map(task.input))
        self._columns = task.columns
        self.groups = self._file.num_record_batches

    def read(self, group: int) -> pa.RecordBatch:
        return self._file.get_batch(group).select(self._columns)


def to_arrow(values: npt.NDArray[np.generic]) -> pa.Array:
    """What pa.array(values) gives; but that imports pandas, if installed, for half a second."""
    buffer = pa.py_buffer(np.ascontiguousarray(values))
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, buffer])


def main() -> None:
    task = parse_task()
    watch = Stopwatch()
    session = single_thread_session(task.model)
    input_name = session.get_inputs()[0].name
    names = output_names(session)
    watch.ready()

    def score(rows: pa.RecordBatch) -> pa.RecordBatch:
        parts = []
        for start in range(0, rows.num_rows, task.batch_rows):
            x = matrix(rows.slice(start, task.batch_rows), task.features)
            parts.append(session.run(None, {input_name: x}))
        scores = output_columns(names, [np.concatenate(part) for part in zip(*parts)])
        arrays = [rows["id"], *map(to_arrow, scores.values())]
        return pa.RecordBatch.from_arrays(arrays, names=["id", *scores])

    source: Source = ArrowSource(task) if task.is_arrow else ParquetSource(task)
    slice_rows = max(SLICE_ROWS // task.batch_rows, 1) * task.batch_rows
    writer = None
    with ThreadPoolExecutor(task.threads) as pool:
        waiting = iter(range(source.groups))
        reads = deque(pool.submit(source.read, g) for g in islice(waiting, READ_AHEAD))
        scores: deque[list[Future[pa.RecordBatch]]] = deque()
        while reads or scores:
            if reads:
                rows = reads.popleft().result()
                reads.extend(pool.submit(source.read, g) for g in islice(waiting, 1))
                starts = range(0, rows.num_rows, slice_rows)
                scores.append([pool.submit(score, rows.slice(s, slice_rows)) for s in starts])
                del rows
            if not reads or len(scores) > 1:
                table = pa.Table.from_batches([f.result() for f in scores.popleft()])
                if writer is None:
                    # Ids are in order and every score is its own value: no dictionaries.
                    writer = pq.ParquetWriter(
                        task.output,
                        table.schema,
                        compression="zstd",
                        use_dictionary=False,
                        column_encoding={"id": "DELTA_BINARY_PACKED"},
                    )
                writer.write_table(table)
        if writer is not None:
            writer.close()
    watch.report()


main()
