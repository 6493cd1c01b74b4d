"""What the peers do alike with ONNX Runtime: sessions, batches, threads."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import onnxruntime

T = TypeVar("T")
R = TypeVar("R")


def single_thread_session(model: str) -> onnxruntime.InferenceSession:
    """A session whose Run uses the calling thread alone: the caller brings the threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options)


@functools.cache
def worker_session(model: str) -> onnxruntime.InferenceSession:
    """One single_thread_session a process, for engines that send functions to workers."""
    return single_thread_session(model)


def predict(
    session: onnxruntime.InferenceSession, x: npt.NDArray[np.float32], batch_rows: int
) -> list[npt.NDArray[np.generic]]:
    """Runs a matrix [N,F] in batches; one array per model output."""
    name = session.get_inputs()[0].name
    parts = [
        session.run(None, {name: x[start : start + batch_rows]})
        for start in range(0, len(x), batch_rows)
    ]
    return [np.concatenate(part) for part in zip(*parts)]


def output_names(session: onnxruntime.InferenceSession) -> list[str]:
    return [output.name for output in session.get_outputs()]


def map_in_order(
    pool: ThreadPoolExecutor, function: Callable[[T], R], items: Iterable[T], *, ahead: int
) -> Iterator[R]:
    """pool.map that takes no more than `ahead` items before their results are wanted."""
    waiting: deque[Future[R]] = deque()
    for item in items:
        waiting.append(pool.submit(function, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
