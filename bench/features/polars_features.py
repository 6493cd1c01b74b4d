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


def replace(table: pa.Table) -> job.Floats:
    return _texts(table).replace_strict(_KNOWN, _NUMBERS, return_dtype=pl.Float32).to_frame().to_numpy(order="c")


def join(table: pa.Table) -> job.Floats:
    frame = _texts(table).to_frame().lazy()
    return frame.join(_MAP, on="c", how="left", maintain_order="left").select("number").collect().to_numpy(order="c")


def hashed(table: pa.Table) -> job.Floats:
    buckets = pl.col("c").hash() % job.BUCKETS
    return _texts(table).to_frame().lazy().select(buckets.cast(pl.Float32)).collect().to_numpy(order="c")


def datetime(table: pa.Table) -> job.Floats:
    """The clock's time once, and its parts."""
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    t = pl.col("t")
    parts = {
        "year": t.dt.year(),
        "month": t.dt.month(),
        "day": t.dt.day(),
        "day_of_year": t.dt.ordinal_day(),
        "weekday": t.dt.weekday() - 1,
        "hour": t.dt.hour(),
        "minute": t.dt.minute(),
    }
    steps = [parts[name].cast(pl.Float32).alias(name) for name in job.PARTS]
    for name, period in job.CIRCLES.items():
        angle = (pl.col(name) - (1 if name == "day_of_year" else 0)) * (2 * np.pi / period)
        steps += [angle.sin().alias(f"{name}_sin"), angle.cos().alias(f"{name}_cos")]
    clock = frame.lazy().select(t.dt.convert_time_zone(job.ZONE))
    count = len(job.PARTS)
    return clock.select(steps[:count]).with_columns(steps[count:]).collect().to_numpy(order="c")


def _texts(table: pa.Table) -> pl.Series:
    column = pl.from_arrow(table["c"].combine_chunks())
    assert isinstance(column, pl.Series)
    return column.alias("c")


_KNOWN = pl.Series("c", [job.text(code) for code in range(job.TEXTS)])
_NUMBERS = pl.Series("number", [job.number(code) for code in range(job.TEXTS)], pl.Float32)
_MAP = pl.DataFrame([_KNOWN, _NUMBERS]).lazy()


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
                "map": {"replace_strict": replace, "left join": join},
                "hash": {"hash": hashed},
                "datetime": {"lazy select, to_numpy": datetime},
            },
        )
    )
