"""Trains the reference models: <name>.onnx, <name>.golden.parquet, reference.json.

    python models/reference/train.py                  all of them
    python models/reference/train.py embed nyc_pipeline

The predictions in a golden file come from the training library, never from ONNX
Runtime, so that a test against them tests the whole way.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

import nyc
import pipelines
import trees
from shared import DATA, HERE, THREADS
from threadpoolctl import threadpool_limits

MODELS = {
    trees.GBDT: trees.train_gbdt,
    trees.XGB: trees.train_xgb,
    pipelines.MLP: pipelines.train_mlp,
    pipelines.LINEAR: pipelines.train_linear,
    nyc.NYC: nyc.train_nyc,
    pipelines.EMBED: pipelines.train_embed,
}


def main() -> int:
    names = [ref.name for ref in MODELS]
    parser = argparse.ArgumentParser(description="Trains the reference models.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}")
    wanted = parser.parse_args().names or names
    if unknown := set(wanted) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(names)}")
    for file in ("flights-wide.parquet", "flights-embed.parquet", "nyc-flights.parquet"):
        if not (DATA / file).exists():
            print(f"train.py: {DATA / file} is missing; run testdata/derive.py", file=sys.stderr)
            return 1

    for ref, train in MODELS.items():
        if ref.name in wanted:
            start = time.monotonic()
            with threadpool_limits(THREADS):
                train()
            print(f"{ref.name}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    entries = {"models": [ref.entry() for ref in MODELS]}
    (HERE / "reference.json").write_text(json.dumps(entries, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
