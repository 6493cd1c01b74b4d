"""The jobs by pyarrow.compute, each step a kernel of Arrow's."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

import job

FLOAT = pa.float32()


def scale(table: pa.Table) -> job.Floats:
    done = []
    for column in job.columns():
        x = table[column.name].combine_chunks()
        fill = pa.scalar(column.fill, FLOAT)
        x = pc.fill_null(x, fill)
        x = pc.if_else(pc.is_nan(x), fill, x)
        x = pc.max_element_wise(x, pa.scalar(column.low, FLOAT))
        x = pc.min_element_wise(x, pa.scalar(column.high, FLOAT))
        x = pc.subtract(x, pa.scalar(column.mean, FLOAT))
        done.append(pc.divide(x, pa.scalar(column.std, FLOAT)))
    return _matrix(done)


def one_hot(table: pa.Table) -> job.Floats:
    codes = pc.fill_null(table["c"].combine_chunks().indices, -1)
    return _matrix(
        [
            pc.cast(pc.equal(codes, pa.scalar(code, codes.type)), FLOAT)
            for code in range(job.CATEGORIES)
        ]
    )


def _matrix(arrays: list[pa.Array]) -> job.Floats:
    """Arrow's own way from columns to rows."""
    batch = pa.RecordBatch.from_arrays(arrays, [str(i) for i in range(len(arrays))])
    return batch.to_tensor(row_major=True).to_numpy()


if __name__ == "__main__":
    pa.set_cpu_count(1)
    raise SystemExit(
        job.measure(
            "pyarrow",
            {"scale": {"compute, to_tensor": scale}, "onehot": {"equal, to_tensor": one_hot}},
        )
    )
