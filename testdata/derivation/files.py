"""Writers that give every data set the same two physical forms."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]
TESTDATA = ROOT / "testdata"
DATA = Path(os.environ.get("MILLRACE_DATA_DIR") or ROOT / ".data")
RAW = DATA / "raw"


def float_column(values: npt.NDArray[np.floating]) -> pa.Array:
    """Makes a float32 column whose NaNs are nulls.

    The bytes under a null are zero, so that a reader that forgets the validity
    bitmap scores 0 instead of NaN and is caught by the golden predictions.
    """
    null = np.isnan(values)
    filled = np.where(null, 0, values).astype(np.float32)
    return pa.array(filled, mask=null) if null.any() else pa.array(filled)


def write_parquet(table: pa.Table, path: Path, *, group_rows: int) -> None:
    """Writes zstd Parquet in row groups of `group_rows` rows."""

    def write(part: Path) -> None:
        pq.write_table(
            table, part, compression="zstd", compression_level=9, row_group_size=group_rows
        )

    _replace(path, write)


def write_arrow(table: pa.Table, path: Path, *, batch_rows: int, zstd: bool) -> None:
    """Writes an Arrow IPC file in record batches of `batch_rows` rows."""
    codec = pa.Codec("zstd", compression_level=19) if zstd else None
    options = pa.ipc.IpcWriteOptions(compression=codec)
    # A slice would carry bitmaps at odd bit offsets; one chunk keeps batches plain.
    whole = table.combine_chunks()

    def write(part: Path) -> None:
        with pa.ipc.new_file(part, whole.schema, options=options) as writer:
            writer.write_table(whole, max_chunksize=batch_rows)

    _replace(path, write)


def _replace(path: Path, write: Callable[[Path], None]) -> None:
    """Writes beside the target and renames, so an interrupted run leaves no half file.

    What is written goes to the disk and out of the page cache: a nightly run reads
    files that were written long before, and how the cache holds a file depends on
    who brought it there. Read, it is in huge pages; written in small pieces, in
    pages of 4 KiB, each of which costs who maps it.
    """
    part = path.with_name(path.name + ".part")
    write(part)
    with part.open("rb") as f:
        os.fsync(f.fileno())
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    part.replace(path)
