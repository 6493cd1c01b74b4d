"""Runs the jobs of job.py by millrace, pyarrow.compute and polars, each on one core,
compares what they made, and writes bench/results/features.md.

    .venv-peers/bin/python bench/features/run.py     what make bench-features runs
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import job

HERE = Path(__file__).resolve().parent
PEERS = {"pyarrow": "pyarrow_features.py", "polars": "polars_features.py"}
# What a peer has no kernel for.
LACKS = {("hash", "pyarrow")}
TARGET = 3.0  # times millrace's time
TITLES = {
    "scale": f"{job.WIDTH} float32 columns: fill, clip, scale, to rows ({job.ROWS['scale']:,} rows)",
    "onehot": f"one-hot of a dictionary column, {job.CATEGORIES} categories ({job.ROWS['onehot']:,} rows)",
    "map": f"map of a plain column of {job.TEXTS:,} texts, each with its number ({job.ROWS['map']:,} rows)",
    "hash": f"hash of a plain column of {job.TEXTS:,} texts ({job.ROWS['hash']:,} rows)",
    "datetime": f"{job.VALUES['datetime']} values of a time in a zone ({job.ROWS['datetime']:,} rows)",
}
# Peers compute in float32, millrace in float64 with one rounding at the end.
TOLERANCE = {"scale": 2e-6, "onehot": 0.0, "map": 0.0, "datetime": 2e-6}
ONE_THREAD = {"POLARS_MAX_THREADS": "1", "OMP_NUM_THREADS": "1", "ARROW_IO_THREADS": "1"}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, default=Path(".bench/features"))
    parser.add_argument("--results", type=Path, default=Path("bench/results/features.md"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", nargs="+", choices=list(job.ROWS), default=list(job.ROWS), metavar="JOB")
    args = parser.parse_args()
    work = args.work.resolve()
    job.make(work)
    tests = work / "batcher.test"
    subprocess.run(["go", "test", "-c", "-o", str(tests), "./batcher"], check=True)
    best: dict[tuple[str, str], dict[str, Any]] = {}
    for _ in range(args.rounds):
        for name in args.jobs:
            for peer in _peers(name):
                run = millrace(tests, work, name) if peer == "millrace" else python(peer, work, name)
                known = best.get((name, peer))
                if known is None or run["seconds"] < known["seconds"]:
                    best[name, peer] = run
                print(name, peer, run, file=sys.stderr)
    for name in args.jobs:
        for peer in _peers(name)[1:]:
            compare(work, name, peer)
    args.results.write_text("\n".join(table(best, args.rounds)) + "\n")
    return 0


def _peers(name: str) -> list[str]:
    return ["millrace", *(peer for peer in PEERS if (name, peer) not in LACKS)]


def millrace(tests: Path, work: Path, name: str) -> dict[str, Any]:
    """The Go benchmark, which assembles batches as a run does."""
    command = [str(tests), "-test.run", "^$", "-test.bench", f"PeersFeatures/job={name}$", "-test.benchtime", "10x"]
    out = _pinned(command, {"MILLRACE_FEATURES_DIR": str(work)})
    found = re.search(r"([\d.e-]+) seconds", out)
    if found is None:
        raise SystemExit(f"no time in the benchmark's output:\n{out}")
    return {"seconds": float(found[1]), "way": "batches", "batch_rows": 4096}


def python(peer: str, work: Path, name: str) -> dict[str, Any]:
    run: dict[str, Any] = json.loads(_pinned([sys.executable, str(HERE / PEERS[peer]), str(work), name], {}))
    return run


def _pinned(command: list[str], more: dict[str, str]) -> str:
    """Runs a command on one core."""
    core = max(os.sched_getaffinity(0))
    done = subprocess.run(
        ["taskset", "-c", str(core), *command],
        env=os.environ | ONE_THREAD | more,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def compare(work: Path, name: str, peer: str) -> None:
    shape = (job.ROWS[name], job.VALUES[name])
    ours = np.memmap(work / f"{name}.millrace", np.float32, "r", shape=shape)
    theirs = np.memmap(work / f"{name}.{peer}", np.float32, "r", shape=shape)
    if name == "hash":
        _same_groups(ours[:, 0], theirs[:, 0], job.read(work, name)["c"])
        print(f"{name}: {peer} gives equal texts equal buckets, too", file=sys.stderr)
        return
    worst = max(float(np.abs(ours[i : i + 65536] - theirs[i : i + 65536]).max()) for i in range(0, shape[0], 65536))
    if not worst <= TOLERANCE[name]:
        raise SystemExit(f"{name}: {peer} differs from millrace by {worst}")
    print(f"{name}: {peer} differs by {worst} at most", file=sys.stderr)


def _same_groups(ours: job.Floats, theirs: job.Floats, texts: pa.ChunkedArray) -> None:
    """Hashes differ; of both, equal texts have one bucket, and every bucket has some."""
    codes = pc.dictionary_encode(texts).combine_chunks().indices.to_numpy()
    for buckets in (ours, theirs):
        first = np.zeros(codes.max() + 1, np.float32)
        first[codes] = buckets
        if not np.array_equal(first[codes], buckets) or len(np.unique(buckets)) != job.BUCKETS:
            raise SystemExit("hash: equal texts have several buckets, or not all are used")


def table(best: dict[tuple[str, str], dict[str, Any]], rounds: int) -> list[str]:
    commit = _output("git", "rev-parse", "--short=12", "HEAD")
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("pyarrow", "polars", "numpy"))
    lines = [
        "# Features beside pyarrow and polars",
        "",
        "Made by `make bench-features`; not edited by hand. What is done, and how:",
        "[bench/features](../features/README.md).",
        "",
        f"One core of {_processor()}; commit {commit}, {_output('go', 'env', 'GOVERSION')}, Python {platform.python_version()},",
        f"{versions}. Processor time of one pass over columns in memory, the least of all passes;",
        f"rounds in which each has its turn: {rounds}. Results were compared.",
    ]
    for name in dict.fromkeys(name for name, _ in best):
        title = TITLES[name]
        ours = best[name, "millrace"]["seconds"]
        lines += ["", f"## {title}", "", "| | seconds | ns a value | times millrace | target | fastest way | rows at a time |", "|---|---|---|---|---|---|---|"]
        for peer in _peers(name):
            run = best[name, peer]
            seconds = run["seconds"]
            values = job.ROWS[name] * job.VALUES[name]
            verdict = ""
            if peer != "millrace":
                verdict = f"≥ {TARGET:g}: {'held' if seconds / ours >= TARGET else 'missed'}"
            lines.append(
                f"| {peer} | {seconds:.4f} | {seconds / values * 1e9:.2f} | {seconds / ours:.1f} | {verdict} | {run['way']} | {run['batch_rows']:,} |"
            )
    return lines


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _output(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    raise SystemExit(main())
