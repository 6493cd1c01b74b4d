"""Runs millrace and its peers on the same models and files, compares what they wrote, and
keeps a record of every run: peers.jsonl, and the table peers.md made from it.

    .venv-peers/bin/python bench/peers/run.py            what make bench-peers runs
    .venv-peers/bin/python bench/peers/run.py --quick    300,000 rows, one repeat; a smoke test

Only the standard library is imported here: this process stays small, so that what the
kernel notes as a peer's peak memory is the peer's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import report
from measure import Usage, adopt_orphans, measure

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WORK = Path(".peers")
PACKAGES = (
    "onnxruntime",
    "numpy",
    "pandas",
    "pyarrow",
    "lightgbm",
    "xgboost-cpu",
    "ray",
    "pyspark",
    "polars",
    "duckdb",
)
TIMEOUT_SECONDS = 900.0
TUNING_ROWS = 491_520
TUNING_REPEATS = 2
TUNING_BATCH_ROWS = (1024, 2048, 4096, 8192, 16384, 32768)
STARTUP_MODELS = ("flights_gbdt", "flights_linear")  # the largest and the smallest
STARTUP_ROWS = 1_000
STARTUP_REPEATS = 15
SLOW_REPEATS = 2  # of engines whose start alone takes many seconds


@dataclass(frozen=True)
class Peer:
    name: str
    script: str  # in this folder; empty for millrace
    data: tuple[str, ...]  # the inputs it is measured on
    models: tuple[str, ...] = ()  # empty: all
    native: str = ""  # the ending of the model file that its library reads
    is_tree: bool = False  # several processes

    def takes(self, model: str, data: str) -> bool:
        return data in self.data and (not self.models or model in self.models)


# Spark, Ray, polars and DuckDB read the same Parquet whether or not there are more nulls in
# it; they are measured on one file, to keep the whole run under 40 minutes.
PEERS = (
    Peer("millrace", "", ("wide.parquet", "nulls.parquet", "wide.arrow")),
    Peer("naive", "naive.py", ("wide.parquet", "nulls.parquet")),
    Peer("tuned", "tuned.py", ("wide.parquet", "nulls.parquet", "wide.arrow")),
    Peer(
        "lightgbm",
        "lightgbm_native.py",
        ("wide.parquet", "nulls.parquet"),
        models=("flights_gbdt",),
        native=".txt",
    ),
    Peer(
        "xgboost",
        "xgboost_native.py",
        ("wide.parquet", "nulls.parquet"),
        models=("flights_xgb",),
        native=".ubj",
    ),
    Peer("ray-fused", "ray_fused.py", ("wide.parquet",), is_tree=True),
    Peer("ray-actors", "ray_actors.py", ("wide.parquet",), is_tree=True),
    Peer("spark", "spark.py", ("wide.parquet",), is_tree=True),
    Peer("polars", "polars_ort.py", ("wide.parquet",)),
    Peer("duckdb", "duckdb_ort.py", ("wide.parquet",)),
)
MODELS = ("flights_gbdt", "flights_xgb", "flights_mlp", "flights_linear")
DATA = ("wide.parquet", "nulls.parquet", "wide.arrow")


class Bench:
    """One comparison: its settings, and the file that its records go to."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.rows: int = args.rows
        self.repeats: int = args.repeats
        self.quick: bool = args.quick
        self.threads = len(os.sched_getaffinity(0))
        self.peers = [peer for peer in PEERS if peer.name in args.peers]
        self.models: list[str] = args.models
        self.data: list[str] = args.data
        reference = json.loads(Path("models/reference/reference.json").read_text())
        self.entries = {entry["name"]: entry for entry in reference["models"]}
        self.batch_rows: dict[str, int] = {}
        args.results.mkdir(parents=True, exist_ok=True)
        self._records = (args.results / "peers.jsonl.part").open("w")

    def record(self, kind: str, **fields: Any) -> None:
        self._records.write(json.dumps({"kind": kind} | fields) + "\n")
        self._records.flush()

    def close(self) -> None:
        self._records.close()

    def tune(self) -> None:
        """Finds the batch size that every peer but the naive one then uses."""
        tuned = next(peer for peer in PEERS if peer.name == "tuned")
        path = self._input("wide.parquet", min(self.rows, TUNING_ROWS))
        for model in self.models:
            best: dict[int, float] = {}
            for repeat in range(1 if self.quick else TUNING_REPEATS):
                for batch_rows in TUNING_BATCH_ROWS:
                    self.batch_rows[model] = batch_rows
                    _, times = self._run(tuned, model, path)
                    seconds = times["score_seconds"]
                    best[batch_rows] = min(seconds, best.get(batch_rows, seconds))
                    self.record(
                        "tuning",
                        model=model,
                        batch_rows=batch_rows,
                        repeat=repeat,
                        score_seconds=seconds,
                    )
            self.batch_rows[model] = min(best, key=best.__getitem__)
            say(f"{model}: {self.batch_rows[model]} rows a batch")

    def compete(self) -> None:
        """Every peer on every model and input, in turns, so that noise meets all alike."""
        for data in self.data:
            path = self._input(data, self.rows)
            warm(path)
            for model in self.models:
                peers = self._peers(model, data)
                for repeat in range(self.repeats):
                    for peer in rotated(peers, repeat):
                        if not peer.is_tree or repeat < SLOW_REPEATS:
                            self._measured("run", peer, model, data, path, repeat)
                for peer in peers:
                    self._compare(peer, model, data)
                shutil.rmtree(WORK / "out")

    def start_up(self) -> None:
        """A thousand rows from fork to exit, and loading the model alone."""
        path = self._input("wide.parquet", STARTUP_ROWS)
        warm(path)
        models = [model for model in self.models if model in STARTUP_MODELS]
        for model in models:
            peers = self._peers(model, "wide.parquet")
            if model != models[-1]:  # for the slow ones the model makes no difference
                peers = [peer for peer in peers if not peer.is_tree]
            for repeat in range(3 if self.quick else STARTUP_REPEATS):
                self._load(model, repeat)
                for peer in rotated(peers, repeat):
                    if not peer.is_tree or repeat < SLOW_REPEATS:
                        self._measured("startup", peer, model, "wide.parquet", path, repeat)
            for peer in peers:
                self._compare(peer, model, "startup")
            shutil.rmtree(WORK / "out")

    def _peers(self, model: str, data: str) -> list[Peer]:
        peers = [peer for peer in self.peers if peer.takes(model, data)]
        if self.quick and model != self.models[-1]:
            peers = [peer for peer in peers if not peer.is_tree]
        return peers

    def _input(self, data: str, rows: int) -> Path:
        name, _, ending = data.partition(".")
        return WORK / "data" / f"{name}-{rows}.{ending}"

    def _output(self, peer: Peer) -> Path:
        return WORK / "out" / f"{peer.name}.parquet"

    def _command(self, peer: Peer, model: str, path: Path) -> list[str]:
        entry = self.entries[model]
        output = str(self._output(peer))
        if not peer.script:
            return (
                ["bin/millrace", "score", "--model", entry["onnx"], "--input", str(path)]
                + ["--ids", "id", "--nulls", "nan", "--output", output.removesuffix(".parquet")]
                + ["--json", "--quiet"]
            )
        (features,) = entry["inputs"].values()
        file = str(WORK / "models" / (model + peer.native)) if peer.native else entry["onnx"]
        return (
            [sys.executable, str((HERE / peer.script).relative_to(ROOT))]
            + ["--model", file, "--input", str(path), "--output", output]
            + ["--features", ",".join(features), "--threads", str(self.threads)]
            + ["--batch-rows", str(self.batch_rows[model])]
        )

    def _run(self, peer: Peer, model: str, path: Path) -> tuple[Usage, dict[str, float]]:
        """Runs a peer once; what it took, and the times that it reports itself."""
        (WORK / "out").mkdir(parents=True, exist_ok=True)
        written = self._written(peer)
        shutil.rmtree(written) if written.is_dir() else written.unlink(missing_ok=True)
        stdout, stderr = WORK / f"{peer.name}.stdout", WORK / f"{peer.name}.stderr"
        usage = measure(
            self._command(peer, model, path),
            stdout=stdout,
            stderr=stderr,
            is_tree=peer.is_tree,
            timeout=TIMEOUT_SECONDS,
        )
        if usage.status != 0:
            tail = "\n".join(stderr.read_text(errors="replace").splitlines()[-15:])
            raise SystemExit(f"{peer.name} on {model}, {path}: status {usage.status}\n{tail}")
        if not peer.script:
            return usage, {"score_seconds": json.loads(stdout.read_text())["seconds"]}
        return usage, json.loads(stdout.read_text().splitlines()[-1])

    def _written(self, peer: Peer) -> Path:
        output = self._output(peer)
        return output if peer.script else output.with_suffix("")

    def _measured(
        self, kind: str, peer: Peer, model: str, data: str, path: Path, repeat: int
    ) -> None:
        usage, times = self._run(peer, model, path)
        batch_rows = self.batch_rows[model] if peer.script else 0
        self.record(
            kind,
            model=model,
            data=data,
            peer=peer.name,
            repeat=repeat,
            batch_rows=batch_rows,
            **asdict(usage),
            **times,
        )
        if kind == "run":
            say(
                f"{model} {data} {peer.name} {repeat}: {usage.wall:.2f} s, CPU "
                f"{usage.user + usage.system:.2f} s, {usage.peak_memory >> 20} MiB"
            )

    def _compare(self, peer: Peer, model: str, data: str) -> None:
        """Holds a peer's last output against millrace's, under the model's tolerance."""
        entry = self.entries[model]
        exact = [output["onnx_output"] for output in entry["outputs"] if output["exact"]]
        want = self._written(PEERS[0])
        command = [sys.executable, str(HERE / "compare.py"), str(want), str(self._written(peer))]
        command += [str(entry["atol"]), str(entry["rtol"]), *exact]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{model} {data}: {peer.name} and millrace differ: {done.stderr}")
        self.record("answers", model=model, data=data, peer=peer.name, **json.loads(done.stdout))

    def _load(self, model: str, repeat: int) -> None:
        """Times the making of a session alone: what loading this model costs anybody."""
        code = (
            "import sys, time, onnxruntime as o\n"
            "options = o.SessionOptions()\n"
            "options.intra_op_num_threads = 1\n"
            "start = time.perf_counter()\n"
            "o.InferenceSession(sys.argv[1], options)\n"
            "print(time.perf_counter() - start)"
        )
        command = [sys.executable, "-c", code, self.entries[model]["onnx"]]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        self.record("load", model=model, repeat=repeat, seconds=float(done.stdout))


def rotated(peers: list[Peer], by: int) -> list[Peer]:
    """Another one first each time, so that nobody always follows the same neighbour."""
    start = by % len(peers)
    return peers[start:] + peers[:start]


def warm(path: Path) -> None:
    """Reads a file once, so that every peer finds it in the page cache."""
    with path.open("rb", buffering=0) as file:
        while file.read(1 << 22):
            pass


def derive(rows: Iterable[int]) -> None:
    for count in sorted(set(rows)):
        subprocess.run(
            [sys.executable, str(HERE / "derive.py"), str(WORK / "data"), str(count)], check=True
        )


def machine() -> dict[str, Any]:
    """What the numbers depend on: hardware, versions, commit."""
    cpu = next(
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    )

    def output(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    return {
        "cpu": cpu,
        "cores": sorted(os.sched_getaffinity(0)),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "millrace": output("bin/millrace", "version").splitlines()[0],
        "commit": output("git", "describe", "--always", "--dirty", "--abbrev=12"),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "load_average": os.getloadavg()[0],
    }


def say(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def names(known: Iterable[str], *, required: str = "") -> Any:
    """An argparse type: a comma separated choice of known names, in their own order."""
    known = list(known)

    def parse(text: str) -> list[str]:
        chosen = {name for name in text.split(",") if name} | ({required} if required else set())
        if unknown := chosen - set(known):
            raise argparse.ArgumentTypeError(
                f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}"
            )
        return [name for name in known if name in chosen]

    return parse


def parse_arguments() -> argparse.Namespace:
    peers = [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser(description="Runs millrace and its peers.")
    parser.add_argument("--models", type=names(MODELS), default=list(MODELS), metavar="A,B")
    parser.add_argument("--data", type=names(DATA), default=list(DATA), metavar="A,B")
    # millrace always runs: the others are compared with it.
    required = names(peers, required="millrace")
    parser.add_argument("--peers", type=required, default=peers, metavar="A,B")
    parser.add_argument("--rows", type=int, help="of the 3,000,000 (default all)")
    parser.add_argument("--repeats", type=int, help="default 3")
    parser.add_argument("--cores", help="comma separated; default: all that are granted")
    parser.add_argument("--results", type=Path, help="directory (default bench/results)")
    parser.add_argument(
        "--quick", action="store_true", help="300,000 rows, few repeats, results in .peers"
    )
    args = parser.parse_args()
    args.rows = args.rows or (300_000 if args.quick else 3_000_000)
    args.repeats = args.repeats or (1 if args.quick else 3)
    args.results = args.results or (WORK if args.quick else Path("bench/results"))
    return args


def main() -> int:
    os.chdir(ROOT)
    args = parse_arguments()
    if args.cores:
        os.sched_setaffinity(0, {int(core) for core in args.cores.split(",")})
    WORK.mkdir(exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    adopt_orphans()
    derive([args.rows, min(args.rows, TUNING_ROWS)])
    bench = Bench(args)
    bench.record("machine", rows=args.rows, repeats=args.repeats, **machine())
    bench.tune()
    bench.compete()
    bench.start_up()
    bench.close()
    records = (args.results / "peers.jsonl.part").rename(args.results / "peers.jsonl")
    (args.results / "peers.md").write_text(report.markdown(records))
    say(f"wrote {args.results / 'peers.md'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
