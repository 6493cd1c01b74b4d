"""The jobs by polars: one lazy query, and its own way to a matrix."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa

import job


def scale(table: pa.Table) -> job.Floats:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    steps = []
    for column in job.columns():
        x = pl.col(column.name).fill_null(column.fill).fill_nan(column.fill)
        steps.append((x.clip(column.low, column.high) - column.mean) / column.std)
    return frame.lazy().select(steps).collect().to_numpy(order="c")


def equals(table: pa.Table) -> job.Floats:
    """A comparison for each category, of codes."""
    column = _codes(table)
    steps = [
        (pl.col("c") == code).fill_null(False).cast(pl.Float32).alias(str(code))
        for code in range(job.CATEGORIES)
    ]
    return column.to_frame().lazy().select(steps).collect().to_numpy(order="c")


def dummies(table: pa.Table) -> job.Floats:
    """to_dummies, which gives the categories that are there; the others are zeros."""
    made = _codes(table).to_dummies()
    names = [f"c_{code}" for code in range(job.CATEGORIES)]
    missing = [pl.lit(0, pl.UInt8).alias(name) for name in names if name not in made.columns]
    return made.with_columns(missing).select(names).cast(pl.Float32).to_numpy(order="c")


def _codes(table: pa.Table) -> pl.Series:
    column = pl.from_arrow(table["c"].combine_chunks().indices)
    assert isinstance(column, pl.Series)
    return column.alias("c")


if __name__ == "__main__":
    np.seterr(all="raise")
    raise SystemExit(
        job.measure(
            "polars",
            {
                "scale": {"lazy select, to_numpy": scale},
                "onehot": {"lazy select of ==, to_numpy": equals, "to_dummies, to_numpy": dummies},
            },
        )
    )
