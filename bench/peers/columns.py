"""Columns to a matrix, and a model's outputs back to columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pyarrow as pa


def matrix(rows: pa.RecordBatch, features: Sequence[str]) -> npt.NDArray[np.float32]:
    """Arrow columns as one row-major matrix [N,F]; nulls become NaN."""
    tensor = rows.select(list(features)).to_tensor(null_to_nan=True, row_major=True)
    return tensor.to_numpy()


def output_columns(
    names: Sequence[str], arrays: Sequence[npt.NDArray[np.generic]]
) -> dict[str, npt.NDArray[np.generic]]:
    """Names the columns as millrace does: `name`, or `name_0` ... for several values a row."""
    columns = {}
    for name, array in zip(names, arrays):
        if array.ndim == 2 and array.shape[1] > 1:
            columns |= {f"{name}_{i}": array[:, i] for i in range(array.shape[1])}
        else:
            columns[name] = array.reshape(-1)
    return columns
