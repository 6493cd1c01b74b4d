"""The jobs that everybody does, their inputs, and what the scripts share.

scale: 32 float32 columns, nulls and NaN filled, bounded, standardised, into a row-major
float32 matrix. onehot: a dictionary column of 300 texts into 300 float32 values a row.
map: a plain column of 200,000 texts, each with a number of its own. hash: the same column
into 4,096 buckets, each library by a hash of its own. datetime: eleven values a row of
instants of ten years, on the clocks of New York.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float32]

WIDTH, CATEGORIES = 32, 300
TEXTS, BUCKETS = 200_000, 4096
ZONE = "America/New_York"
ROWS = {"scale": 1 << 20, "onehot": 1 << 17, "map": 1 << 20, "hash": 1 << 20, "datetime": 1 << 20}
# Of a time: the parts, and sine and cosine of those that come again so often.
PARTS = ("year", "month", "day", "day_of_year", "weekday", "hour", "minute")
CIRCLES = {"hour": 24, "day_of_year": 366}
VALUES = {"scale": WIDTH, "onehot": CATEGORIES, "map": 1, "hash": 1, "datetime": len(PARTS) + 2 * len(CIRCLES)}
NULLS, NANS = 0.05, 0.01
REPEATS = 3
# Rows at a time: the result of the first stays in the second level of cache.
BATCHES = {
    "scale": (4096, 65536, ROWS["scale"]),
    "onehot": (1024, 16384, ROWS["onehot"]),
    "map": (65536, ROWS["map"]),
    "hash": (65536, ROWS["hash"]),
    "datetime": (4096, 65536, ROWS["datetime"]),
}


@dataclass(frozen=True)
class Column:
    """The settings of one column of the job scale."""

    name: str
    fill: float
    low: float
    high: float
    mean: float
    std: float


def columns() -> list[Column]:
    """All are float32 numbers, so that who computes in float32 has the same settings."""
    return [
        Column(f"x{i}", fill=i / 8, low=-2.5 - i / 4, high=3 + i / 4, mean=i / 16, std=1 + i / 32)
        for i in range(WIDTH)
    ]


def category(code: int) -> str:
    return f"c{code:03d}"


def text(code: int) -> str:
    return f"customer {code:06d}"


def number(code: int) -> float:
    """What text(code) is mapped to: exact in float32."""
    return code / 64


def make(directory: Path) -> None:
    """Writes the inputs, and the settings for who reads no Python."""
    directory.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(6)
    arrays = []
    for i in range(WIDTH):
        values = random.normal(i / 16, 1 + i / 32, ROWS["scale"]).astype(np.float32)
        values[random.random(len(values)) < NANS] = np.nan
        arrays.append(pa.array(values, mask=random.random(len(values)) < NULLS))
    write(directory / "scale.arrow", pa.table(arrays, [c.name for c in columns()]))
    codes = random.integers(0, CATEGORIES, ROWS["onehot"], dtype=np.int32)
    indices = pa.array(codes, mask=random.random(len(codes)) < NULLS)
    texts = pa.array([category(code) for code in range(CATEGORIES)])
    write(directory / "onehot.arrow", pa.table([pa.DictionaryArray.from_arrays(indices, texts)], ["c"]))
    texts = pa.array([text(code) for code in range(TEXTS)])
    for name in ("map", "hash"):
        codes = random.integers(0, TEXTS, ROWS[name], dtype=np.int32)
        write(directory / f"{name}.arrow", pa.table([texts.take(pa.array(codes))], ["c"]))
    times = random.integers(1_400_000_000, 1_700_000_000, ROWS["datetime"]) * 1_000_000
    instants = pa.array(times, pa.timestamp("us", "UTC"))
    write(directory / "datetime.arrow", pa.table([instants], ["t"]))
    settings = [asdict(c) for c in columns()]
    (directory / "scale.json").write_text(json.dumps(settings))


def write(path: Path, table: pa.Table) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())


def read(directory: Path, job: str) -> pa.Table:
    """The input in memory of its own."""
    with pa.OSFile(str(directory / f"{job}.arrow")) as source:
        return pa.ipc.open_file(source).read_all()


Way = Callable[[pa.Table], Floats]


def measure(peer: str, ways: dict[str, dict[str, Way]]) -> int:
    """Does one job in every way and batch size, writes the result and says the least
    processor time.

    ways are those of each job, by name. Each gives the row-major matrix of a table.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("job", choices=sorted(ROWS))
    args = parser.parse_args()
    table = read(args.directory, args.job)
    best: dict[str, Any] = {"seconds": float("inf")}
    for name, way in ways[args.job].items():
        for rows in BATCHES[args.job]:
            for _ in range(REPEATS):
                seconds = _pass(way, table, rows)
                if seconds < best["seconds"]:
                    best = {"seconds": seconds, "way": name, "batch_rows": rows}
    way = ways[args.job][best["way"]]
    with (args.directory / f"{args.job}.{peer}").open("wb") as out:
        for batch in _batches(table, ROWS[args.job] // 8):
            out.write(np.ascontiguousarray(way(batch), dtype=np.float32).data)
    json.dump(best, sys.stdout)
    return 0


def _pass(way: Way, table: pa.Table, rows: int) -> float:
    seconds = 0.0
    for batch in _batches(table, rows):
        start = time.process_time()
        result = way(batch)
        seconds += time.process_time() - start
        assert result.dtype == np.float32 and result.flags.c_contiguous, result.flags
    return seconds


def _batches(table: pa.Table, rows: int) -> Iterator[pa.Table]:
    for first in range(0, table.num_rows, rows):
        yield table.slice(first, rows)


if __name__ == "__main__":
    make(Path(sys.argv[1]))
