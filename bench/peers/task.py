"""What the peer scripts share: their arguments, their output columns, the line they report.

A peer is run as `python bench/peers/<peer>.py --model M --input I --output O ...`, scores
every row of I, writes the ids and every model output to O, and says how long it took.
Only the standard library is imported here: imports are part of a peer's start-up.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Task:
    """What to score. `model` is an ONNX file, or the library's own for its own predict."""

    model: str
    input: str
    output: str
    features: list[str]
    batch_rows: int  # of one Run, as the sweep chose it
    threads: int

    @property
    def is_arrow(self) -> bool:
        return self.input.endswith(".arrow")

    @property
    def columns(self) -> list[str]:
        return ["id", *self.features]


def parse_task() -> Task:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--input", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--features", required=True, help="comma separated, in the model's order")
    parser.add_argument("--batch-rows", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()
    Path(args.output).parent.mkdir(parents=True, exist_ok=True)
    return Task(
        model=args.model,
        input=args.input,
        output=args.output,
        features=args.features.split(","),
        batch_rows=args.batch_rows,
        threads=args.threads,
    )


class Stopwatch:
    """Splits a peer's time after its imports into loading the model (or starting the
    cluster) and scoring: from the first byte of input to the closed output."""

    def __init__(self) -> None:
        self._start = self._ready = time.perf_counter()

    def ready(self) -> None:
        """The model is loaded; what follows is scoring."""
        self._ready = time.perf_counter()

    def report(self) -> None:
        """Prints the one line that the runner reads."""
        end = time.perf_counter()
        times = {"load_seconds": self._ready - self._start, "score_seconds": end - self._ready}
        print(json.dumps(times), flush=True)
