"""Nulls put into a table at random places, the same ones each time."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

SEED = 20261123


def with_nulls(table: pa.Table, *, share: float) -> pa.Table:
    """The table with that share of each feature's values null, on top of those it has.

    `id` and `delay` stay whole. The bytes under a null are zero.
    """
    random = np.random.default_rng(SEED)
    columns = []
    for name in table.column_names:
        column = table[name].combine_chunks()
        if name not in ("id", "delay"):
            null = random.random(len(column)) < share
            null |= column.is_null().to_numpy(zero_copy_only=False)
            values = column.fill_null(0).to_numpy(zero_copy_only=False).copy()
            values[null] = 0
            column = pa.array(values, type=column.type, mask=null)
        columns.append(column)
    return pa.table(columns, schema=table.schema)
