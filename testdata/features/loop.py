"""Features by a plain loop, one row at a time: what batcher/feature/spec.go says, and slow.

Only the transforms that the exporter writes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Row = Mapping[str, Any]  # numbers, texts, truth values, None; NaN is not None


class BadRow(Exception):
    """A row that has no features."""


def compute(features: list[dict[str, Any]], row: Row) -> list[float]:
    """All values of a row, in float64."""
    values: list[float] = []
    for feature in features:
        value: Any = row[feature["column"]]
        for step in feature.get("transforms", []):
            ((name, settings),) = step.items()
            value = STEPS[name](value, settings)
        made = value if isinstance(value, list) else [value]
        if any(v is None for v in made):
            raise BadRow(f"{feature['column']}: a null is left")
        values += [float(v) for v in made]
    return values


def _scalar(value: Any) -> Any:
    if isinstance(value, dict):
        return {".nan": math.nan, ".inf": math.inf, "-.inf": -math.inf}[value["number"]]
    return value


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _fill(value: Any, to: Any) -> Any:
    if value is not None and not _is_nan(value):
        return value
    if to == "reject":
        raise BadRow("a null or NaN")
    return _scalar(to)


def _on_numbers(function: Callable[[float, Any], Any]) -> Callable[[Any, Any], Any]:
    """A null and a NaN go through."""

    def step(value: Any, settings: Any) -> Any:
        if value is None or math.isnan(value):
            return value
        return function(float(value), settings)

    return step


def _clip(x: float, settings: Any) -> float:
    return min(max(x, settings.get("min", -math.inf)), settings.get("max", math.inf))


def _scale(x: float, settings: Any) -> float:
    number = np.float64(x)
    with np.errstate(all="ignore"):
        match settings:
            case {"mean": less, "std": by} | {"center": less, "scale": by}:
                return float((number - less) / by)
            case {"multiply": by, "add": plus}:
                return float(number * by + plus)
    raise ValueError(settings)


def _log1p(x: float, _: Any) -> float:
    with np.errstate(all="ignore"):
        return float(np.log1p(x))


def _float32(x: float, settings: Any) -> float:
    assert settings == {"to": "float32"}
    with np.errstate(over="ignore"):
        return float(np.float32(x))


def _bucketize(x: float, settings: Any) -> float:
    if settings.get("right"):
        return float(sum(edge < x for edge in settings["edges"]))
    return float(sum(edge <= x for edge in settings["edges"]))


def _key(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if _is_nan(value):
        return ".nan"
    return (
        str(int(value)) if float(value).is_integer() and abs(value) < 2**53 else repr(float(value))
    )


def _map(value: Any, settings: Any) -> Any:
    if value is None:
        return settings.get("null")
    number = settings["values"].get(_key(value))
    if number is None:
        number = _scalar(settings.get("default", "reject"))
    if number == "reject":
        raise BadRow(f"unknown category {value!r}")
    return number


def _same(value: Any, category: Any) -> bool:
    category = _scalar(category)
    return value == category or _is_nan(value) and _is_nan(category)


def _one_hot(value: Any, settings: Any) -> list[float]:
    slots = settings["categories"]
    unknown = settings.get("unknown", "reject")
    values = [0.0] * (len(slots) + (unknown == "other"))
    for i, slot in enumerate(slots):
        if any(_same(value, category) for category in slot):
            values[i] = 1.0
            return values
    if any(_same(value, category) for category in settings.get("drop", [])):
        return values
    if unknown == "reject":
        raise BadRow(f"unknown category {value!r}")
    if unknown == "other":
        values[-1] = 1.0
    return values


def _equals(value: Any, to: Any) -> Any:
    return None if value is None else float(_same(value, to))


STEPS: dict[str, Callable[[Any, Any], Any]] = {
    "fill": _fill,
    "clip": _on_numbers(_clip),
    "scale": _on_numbers(_scale),
    "log1p": _on_numbers(_log1p),
    "abs": _on_numbers(lambda x, _: abs(x)),
    "cast": _on_numbers(_float32),
    "bucketize": _on_numbers(_bucketize),
    "map": _map,
    "onehot": _one_hot,
    "equals": _equals,
}
