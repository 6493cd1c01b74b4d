"""The jobs by pyarrow.compute, each step a kernel of Arrow's."""

from __future__ import annotations

import math

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


def map_texts(table: pa.Table) -> job.Floats:
    places = pc.index_in(table["c"].combine_chunks(), value_set=_KNOWN)
    return _matrix([_NUMBERS.take(places)])


def datetime(table: pa.Table) -> job.Floats:
    """The clock's time once, and its parts."""
    instants = pc.cast(table["t"].combine_chunks(), pa.timestamp("us", job.ZONE))
    t = pc.local_timestamp(instants)
    functions = {"day_of_year": pc.day_of_year, "weekday": pc.day_of_week}
    parts = {name: pc.cast(functions.get(name, getattr(pc, name, None))(t), FLOAT) for name in job.PARTS}
    done = list(parts.values())
    for name, period in job.CIRCLES.items():
        first = pc.subtract(parts[name], pa.scalar(1 if name == "day_of_year" else 0, FLOAT))
        angle = pc.multiply(first, pa.scalar(2 * math.pi / period, FLOAT))
        done += [pc.sin(angle), pc.cos(angle)]
    return _matrix(done)


_KNOWN = pa.array([job.text(code) for code in range(job.TEXTS)])
_NUMBERS = pa.array([job.number(code) for code in range(job.TEXTS)], FLOAT)


def _matrix(arrays: list[pa.Array]) -> job.Floats:
    """Arrow's own way from columns to rows."""
    batch = pa.RecordBatch.from_arrays(arrays, [str(i) for i in range(len(arrays))])
    return batch.to_tensor(row_major=True).to_numpy()


if __name__ == "__main__":
    pa.set_cpu_count(1)
    raise SystemExit(
        job.measure(
            "pyarrow",
            {
                "scale": {"compute, to_tensor": scale},
                "onehot": {"equal, to_tensor": one_hot},
                "map": {"index_in, take": map_texts},
                "datetime": {"compute, to_tensor": datetime},
            },
        )
    )
