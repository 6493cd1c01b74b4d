"""Reads the same files by millrace and by pyarrow on one core, in turns, and writes
bench/results/lines.md.

    .venv/bin/python bench/lines/run.py     what make bench-lines runs (needs make data)

Both read all columns of a whole file with types inferred, from the page cache. What is
compared is the processor's time, user and system, of the fastest round: on a machine that
others use the clock on the wall says little. millrace's has the pass that counts rows.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
FILES = {
    "flights.csv": "nyc-flights: 25 columns, 5 of them text in quotes",
    "numbers.csv": "150,000 rows of flights-wide: 34 columns of numbers, half-precision fractions",
    "doubles.csv": "8 columns of float64 with all their digits",
    "integers.csv": "4 columns of int64 with all their digits, 4 below 100, 4 booleans",
    "times.csv": "3 columns of times to the second, 3 to the microsecond",
    "codes.csv": "texts without quotes: 32 hexadecimal digits, a mail address, a city; and an amount",
    "notes.csv": "texts of 300 to 2,200 characters in quotes, with commas, quotes and line ends",
    "flights.jsonl": "nyc-flights as JSON Lines, 100,000 rows",
}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, default=Path(".bench/lines"))
    parser.add_argument("--results", type=Path, default=Path("bench/results/lines.md"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer", help="read a file by pyarrow, and print the seconds: what the script calls itself for")
    args = parser.parse_args()
    if args.peer:
        return peer(Path(args.peer))
    work = args.work.resolve()
    make(work)
    test = work / "lines.test"
    subprocess.run(["go", "test", "-c", "-o", str(test), "./io/lines"], check=True)
    best: dict[tuple[str, str], float] = {}
    for _ in range(args.rounds):
        for name in FILES:
            path = work / name
            for reader in ("millrace", "pyarrow"):
                if reader == "millrace":
                    seconds = millrace(test, path)
                else:
                    seconds = float(pinned([sys.executable, str(HERE / "run.py"), "--peer", str(path)]))
                best[name, reader] = min(seconds, best.get((name, reader), seconds))
                print(name, reader, f"{path.stat().st_size / seconds / 1e6:.0f} MB/s", file=sys.stderr)
    args.results.write_text("\n".join(table(work, best, args.rounds)) + "\n")
    return 0


def make(work: Path) -> None:
    """The files, unless they are there."""
    work.mkdir(parents=True, exist_ok=True)
    data = Path(os.environ.get("MILLRACE_DATA_DIR", ".data"))
    flights = pq.read_table(data / "nyc-flights.parquet")
    if not (work / "flights.csv").exists():
        pa.csv.write_csv(flights, work / "flights.csv")
    if not (work / "numbers.csv").exists():
        pa.csv.write_csv(pq.read_table(data / "flights-wide.parquet").slice(0, 150_000), work / "numbers.csv")
    random = np.random.default_rng(7)
    made = {
        "doubles.csv": lambda: {f"x{i}": random.normal(size=200_000) for i in range(8)},
        "integers.csv": lambda: {f"{what}{i}": random.integers(low, high, 300_000).astype(kind) for what, low, high, kind in
                                 [("long", -2**62, 2**62, "i8"), ("short", 0, 100, "i8"), ("flag", 0, 2, "?")] for i in range(4)},
        "times.csv": lambda: {f"t_{unit}{i}": pa.array(random.integers(0, 2_000_000_000 * per, 250_000), pa.timestamp(unit))
                              for unit, per in [("s", 1), ("us", 1_000_000)] for i in range(3)},
        "codes.csv": lambda: codes(random, 300_000),
        "notes.csv": lambda: notes(random, 60_000),
    }
    for name, table in made.items():
        if not (work / name).exists():
            pa.csv.write_csv(pa.table(table()), work / name)
    if not (work / "flights.jsonl").exists():
        with (work / "flights.jsonl").open("w") as out:
            for row in flights.slice(0, 100_000).to_pylist():
                out.write(json.dumps({k: v for k, v in row.items() if k != "time_hour"}) + "\n")


def codes(random: np.random.Generator, rows: int) -> dict[str, object]:
    digits = random.integers(0, 256, rows * 16, dtype="u1").tobytes().hex()
    words = [bytes(random.integers(97, 123, n, dtype="u1")).decode() for n in random.integers(3, 11, 3000)]
    some = random.integers(0, len(words), (rows, 3))
    return {
        "code": [digits[32 * i: 32 * i + 32] for i in range(rows)],
        "mail": [f"{words[a]}.{words[b]}@example.com" for a, b, _ in some],
        "city": [words[c] for _, _, c in some],
        "amount": np.round(random.random(rows) * 1000, 2),
    }


def notes(random: np.random.Generator, rows: int) -> dict[str, object]:
    words = [bytes(random.integers(97, 123, n, dtype="u1")).decode() + end for n, end in
             zip(random.integers(2, 10, 4000), 3800 * [" "] + 100 * [", "] + 60 * ['" '] + 40 * ["\n"])]
    lengths = random.integers(300, 2200, rows)
    return {"id": range(rows), "note": ["".join(words[w] for w in random.integers(0, len(words), n // 7)) for n in lengths]}


def pinned(command: list[str], more: dict[str, str] | None = None) -> str:
    core = max(os.sched_getaffinity(0))
    return subprocess.run(command, check=True, capture_output=True, text=True, env={**os.environ, "GOMAXPROCS": "1", **(more or {})},
                          preexec_fn=lambda: os.sched_setaffinity(0, {core})).stdout.strip()


def millrace(test: Path, path: Path) -> float:
    out = pinned([str(test), "-test.run", "^$", "-test.bench", "Read/.*/what=columns$", "-test.benchtime", "8x"], {"LINES_FILES": str(path), "GOGC": "50"})
    found = re.search(r"([\d.e+-]+) cpu-s/op", out)
    if found is None:
        raise SystemExit(f"no time in the benchmark's output:\n{out}")
    return float(found[1])


def peer(path: Path) -> int:
    """The fastest of some reads, after one to warm up."""
    pa.set_cpu_count(1)
    times = []
    for _ in range(6):
        before = resource.getrusage(resource.RUSAGE_SELF)
        if path.suffix == ".csv":
            pa.csv.read_csv(path, read_options=pa.csv.ReadOptions(use_threads=False),
                            parse_options=pa.csv.ParseOptions(newlines_in_values=path.name == "notes.csv"))
        else:
            pa.json.read_json(path, read_options=pa.json.ReadOptions(use_threads=False))
        after = resource.getrusage(resource.RUSAGE_SELF)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    print(min(times[1:]))
    return 0


def table(work: Path, best: dict[tuple[str, str], float], rounds: int) -> list[str]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    cpu = next(line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name"))
    rows = [
        "# CSV and JSON Lines, beside pyarrow", "",
        f"`make bench-lines` at {commit}: {cpu}, one core, Python {platform.python_version()}, pyarrow {pa.__version__}; "
        f"whole files, all columns, types inferred, from the page cache; processor time (user and system), the least of {rounds} rounds in turns.", "",
        "| file | size | millrace | pyarrow | ratio |", "|---|---|---|---|---|",
    ]
    for name, what in FILES.items():
        size = (work / name).stat().st_size / 1e6
        ours, theirs = best[name, "millrace"], best[name, "pyarrow"]
        rows.append(f"| {name}: {what} | {size:.0f} MB | {size / ours:.0f} MB/s | {size / theirs:.0f} MB/s | {theirs / ours:.2f} |")
    return rows


if __name__ == "__main__":
    sys.exit(main())
