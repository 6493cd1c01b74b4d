"""Makes the table from the raw records.

python3 bench/peers/report.py bench/results/peers.jsonl > bench/results/peers.md
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

Record = dict[str, Any]

TITLES = {
    "millrace": "**millrace**",
    "naive": "(a) pandas + onnxruntime, defaults",
    "tuned": "(b) pyarrow + onnxruntime, tuned",
    "lightgbm": "(c) LightGBM's predict",
    "xgboost": "(c) XGBoost's predict",
    "ray-fused": "(d) Ray Data, fused tasks",
    "ray-actors": "(d) Ray Data, actors",
    "spark": "(e) Spark mapInArrow",
    "polars": "(f) polars + onnxruntime",
    "duckdb": "(f) DuckDB + onnxruntime",
}
DATA = {
    "wide.parquet": "Parquet, zstd",
    "nulls.parquet": "Parquet, zstd, 5% nulls",
    "wide.arrow": "Arrow IPC, uncompressed",
}
STARTUP_LIMIT = 0.150  # seconds, the model's loading not counted

# Why a peer wins, where it does and the reason was found. A line is printed only when its
# peer is ahead in the records at hand.
WHY = {
    ("flights_xgb", "xgboost"): (
        "XGBoost unrolls the upper six levels of a tree, here all of it, into arrays, and finds "
        "the children of a block of rows by index arithmetic (dmlc/xgboost: "
        "src/predictor/array_tree_layout.h, pull request 11519). ONNX Runtime's "
        "TreeEnsembleClassifier, which millrace calls, branches at every node."
    ),
}


def target(model: str, peer: str) -> float:
    """How many times millrace's wall time a peer's must be."""
    if peer == "naive":
        return 3.0
    if peer == "tuned":
        return {"flights_linear": 3.0}.get(model, 1.3)
    return 1.0


def markdown(path: Path) -> str:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return "\n".join(_lines(records)) + "\n"


def _lines(records: list[Record]) -> Iterator[str]:
    machine = next(r for r in records if r["kind"] == "machine")
    yield "# millrace and its peers"
    yield ""
    yield "Made by `make bench-peers` from [peers.jsonl](peers.jsonl); not edited by hand."
    yield "What each peer is, and how it is measured: [bench/peers](../peers/README.md)."
    yield ""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    yield (
        f"{machine['rows']:,} rows of 32 float32 features; {len(machine['cores'])} cores, "
        f"{machine['cpu']}, {machine['memory'] / 2**30:.0f} GiB, Linux {machine['kernel']}; "
        f"{machine['millrace']}, commit {machine['commit']}; Python {machine['python']}, "
        f"{packages}; {machine['started']}, load average before {machine['load_average']:.1f}."
    )
    yield ""
    yield (
        "*wall* is from fork to exit, the median of the repeats, with the least and the most; "
        "*times millrace* is the peer's median over millrace's. *Scoring alone* is without "
        "imports, cluster start and model load (millrace's includes its model load), again with "
        "the times. *rows/s* is of wall. *CPU* is of all processes, *memory* the peak of their "
        "resident sets. *noise* is the CPU time that others took, as a "
        "share of the cores during the runs: where it is large, trust CPU more than wall."
    )
    runs = _group(records, "run")
    verdicts: list[tuple[str, str, str, float, float]] = []
    for model, data in dict.fromkeys((model, data) for model, data, _ in runs):
        peers = {p: rs for (m, d, p), rs in runs.items() if (m, d) == (model, data)}
        batch_rows = max(r["batch_rows"] for rs in peers.values() for r in rs)
        yield ""
        yield f"## {model}, {DATA[data]}"
        yield ""
        yield from _table(machine, model, data, peers, verdicts)
        yield ""
        yield f"Batches of the tuned peers: {batch_rows:,} rows, by the sweep."
    yield from _summary(verdicts)
    yield from _answers(records)
    yield from _startup(records, machine)


def _table(
    machine: Record,
    model: str,
    data: str,
    peers: dict[str, list[Record]],
    verdicts: list[tuple[str, str, str, float, float]],
) -> Iterator[str]:
    yield ("| | wall | times millrace | scoring alone | rows/s | CPU | memory | noise | target | |")
    yield "|---|---|---|---|---|---|---|---|---|---|"
    ours = peers["millrace"]
    our_wall, our_score = _median(ours, "wall"), _median(ours, "score_seconds")
    for peer in [name for name in TITLES if name in peers]:
        runs = peers[peer]
        wall, score = _median(runs, "wall"), _median(runs, "score_seconds")
        walls = [r["wall"] for r in runs]
        noise = sum(r["foreign"] for r in runs) / (sum(walls) * len(machine["cores"]))
        cells = [
            TITLES[peer],
            f"{wall:.2f} s ({min(walls):.2f}–{max(walls):.2f})",
            f"{wall / our_wall:.2f}" if peer != "millrace" else "",
            f"{score:.2f} s, {score / our_score:.2f}" if peer != "millrace" else f"{score:.2f} s",
            f"{machine['rows'] / wall:,.0f}",
            f"{median(r['user'] + r['system'] for r in runs):.2f} s",
            f"{_median(runs, 'peak_memory') / 2**20:,.0f} MiB",
            f"{noise:.0%}",
        ]
        if peer == "millrace":
            cells += ["", ""]
        else:
            wanted = target(model, peer)
            verdicts.append((model, data, peer, wall / our_wall, wanted))
            cells += [_target_text(wanted), _verdict(wall / our_wall, wanted)]
        yield "| " + " | ".join(cells) + " |"


def _target_text(wanted: float) -> str:
    return f"≥ {wanted}" if wanted > 1 else "> 1"


def _verdict(ratio: float, wanted: float) -> str:
    if ratio < 1:
        return "**peer ahead**"
    return "held" if ratio >= wanted else "**missed**"


def _summary(verdicts: list[tuple[str, str, str, float, float]]) -> Iterator[str]:
    yield ""
    yield "## Targets"
    yield ""
    held = sum(ratio >= wanted and ratio >= 1 for *_, ratio, wanted in verdicts)
    yield f"{held} of {len(verdicts)} held."
    for model, data, peer, ratio, wanted in verdicts:
        verdict = _verdict(ratio, wanted)
        if verdict != "held":
            yield (
                f"- {model}, {DATA[data]}, {TITLES[peer]}: {ratio:.2f} times, "
                f"target {_target_text(wanted)}: {verdict}"
            )
    ahead = dict.fromkeys((model, peer) for model, _, peer, ratio, _ in verdicts if ratio < 1)
    for model, peer in ahead:
        reason = WHY.get((model, peer), "the reason is not known yet.")
        yield ""
        yield f"{TITLES[peer]} is ahead on {model}: {reason}"


def _answers(records: list[Record]) -> Iterator[str]:
    answers = [r for r in records if r["kind"] == "answers" and r["peer"] != "millrace"]
    yield ""
    yield "## Answers"
    yield ""
    yield (
        "What each peer wrote, against what millrace wrote, id by id, under the tolerance of "
        "models/reference; the comparison fails the run when a row is outside."
    )
    yield ""
    yield "| model | peer | rows compared | most different | of the tolerance | labels flipped |"
    yield "|---|---|---|---|---|---|"
    grouped = defaultdict(list)
    for r in answers:
        grouped[r["model"], r["peer"]].append(r)
    for (model, peer), rs in grouped.items():
        yield (
            f"| {model} | {TITLES[peer]} | {sum(r['rows'] for r in rs):,} "
            f"| {max(r['max_difference'] for r in rs):.1e} "
            f"| {max(r['share_of_tolerance'] for r in rs):.0%} "
            f"| {sum(r['flipped_labels'] for r in rs)} |"
        )


def _startup(records: list[Record], machine: Record) -> Iterator[str]:
    runs = _group(records, "startup")
    yield ""
    yield "## Start-up"
    yield ""
    yield (
        "1,000 rows of Parquet scored and written, from fork to exit. *Model load* is the making "
        "of an ONNX Runtime session alone, measured by itself in a fresh process; LightGBM's and "
        "XGBoost's is what they report."
    )
    yield ""
    yield "| model | | fork to exit | model load | the rest | times millrace | repeats |"
    yield "|---|---|---|---|---|---|---|"
    verdicts = []
    for model in dict.fromkeys(model for model, _, _ in runs):
        peers = {p: rs for (m, _, p), rs in runs.items() if m == model}
        session = median(
            r["seconds"] for r in records if r["kind"] == "load" and r["model"] == model
        )
        our_wall = _median(peers["millrace"], "wall")
        for peer in [name for name in TITLES if name in peers]:
            walls = [r["wall"] for r in peers[peer]]
            own = peer in ("lightgbm", "xgboost")
            load = _median(peers[peer], "load_seconds") if own else session
            rest = median(walls) - load
            yield (
                f"| {model} | {TITLES[peer]} | {1e3 * median(walls):,.0f} ms "
                f"({1e3 * min(walls):,.0f}–{1e3 * max(walls):,.0f}) | {1e3 * load:,.0f} ms "
                f"| {1e3 * rest:,.0f} ms | {median(walls) / our_wall:.1f} | {len(walls)} |"
            )
            if peer == "millrace":
                verdict = "held" if rest < STARTUP_LIMIT else "**missed**"
                verdicts.append(f"{model} {1e3 * rest:.0f} ms, {verdict}")
    yield ""
    limit = f"{1e3 * STARTUP_LIMIT:.0f} ms"
    yield f"Target, under {limit} model load aside: {'; '.join(verdicts)}."


def _group(records: list[Record], kind: str) -> dict[tuple[str, str, str], list[Record]]:
    grouped = defaultdict(list)
    for r in records:
        if r["kind"] == kind:
            grouped[r["model"], r["data"], r["peer"]].append(r)
    return dict(grouped)


def _median(records: list[Record], field: str) -> float:
    return median(r[field] for r in records)


if __name__ == "__main__":
    sys.stdout.write(markdown(Path(sys.argv[1])))
