#!/usr/bin/env python3
"""Writes fitted scikit-learn transformers down as features that millrace computes.

    python millrace_features.py pipeline.joblib --data train.parquet -o fitted.json

or, where the pipeline was fitted, which needs no pickle:

    import millrace_features
    millrace_features.save(pipeline, "fitted.json", columns=X_train)

A job file then takes them by `features: [{from: fitted.json}]`. Their values stand in
the order of get_feature_names_out(). docs/features.md says what each transform does.

The file stands alone: copy it to where the pipeline is trained. It needs scikit-learn
1.4 or later, and is tested with 1.9.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    LabelEncoder,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)
from sklearn.utils.validation import check_is_fitted

FORMAT = "features/1"
NAN = {"number": ".nan"}  # JSON has no NaN
REJECT = "reject"
HALF = np.dtype(np.float16)
SINGLE = np.dtype(np.float32)
DOUBLE = np.dtype(np.float64)
VERSION = tuple(int(part) for part in sklearn.__version__.split(".")[:2])

Step = dict[str, Any]
Scalar = Any  # what JSON holds for one: text, number, truth value, None or NAN


class NotExpressible(ValueError):
    """What millrace's features cannot express: a transformer, or a setting of one."""


def export(transformer: Any, columns: Any = None) -> dict[str, Any]:
    """The features of a fitted transformer, ready for json.dumps.

    transformer: one of TRANSFORMERS: scalers, encoders, imputers, binners, and a
        ColumnTransformer, FeatureUnion or Pipeline of them. A Pipeline's last step may
        be a model, which is left out.
    columns: what the transformer's inputs are called in the data to score, and best
        also their types: a frame like the one it was fitted on (pandas, polars or
        pyarrow; no rows are needed), a pyarrow schema, {name: dtype}, or a list of
        names. Default: its feature_names_in_. scikit-learn computes in float32 where all
        columns of a step are; without types float64 is assumed, unless what was fitted
        says otherwise.

    Raises NotExpressible, which names what cannot be expressed and what to do.
    """
    if isinstance(transformer, Pipeline) and not hasattr(transformer[-1], "transform"):
        transformer = transformer[:-1]
    check_is_fitted(transformer)
    out = apply(transformer, inputs(transformer, columns))
    _check_width(transformer, out)
    _check_times(out, columns)
    return {
        "millrace": FORMAT,
        "made_by": {"sklearn": sklearn.__version__},
        "features": features(out),
    }


def dumps(fitted: Mapping[str, Any]) -> str:
    """The text of a fitted file: a feature a line, so that a review sees what changed."""
    head = "".join(f"  {_json(k)}: {_json(v)},\n" for k, v in fitted.items() if k != "features")
    lines = ",\n".join(f"    {_json(feature)}" for feature in fitted["features"])
    return "{\n" + head + '  "features": [\n' + lines + "\n  ]\n}\n"


def save(transformer: Any, path: str | Path, columns: Any = None) -> None:
    """Writes the fitted file of a transformer; see export."""
    Path(path).write_text(dumps(export(transformer, columns)), encoding="utf-8")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


# -- Values on their way -----------------------------------------------------------


@dataclass(frozen=True)
class OneHot:
    """The columns of a one-hot: of each, the categories that are 1 in it."""

    slots: tuple[tuple[Scalar, ...], ...]
    labels: tuple[str, ...]
    dropped: tuple[Scalar, ...]
    unknown: str  # reject, zeros, or other: 1 in the last slot, whose categories go unnamed

    def step(self) -> Step:
        named = self.slots[:-1] if self.unknown == "other" else self.slots
        step: Step = {"categories": [list(slot) for slot in named]}
        if self.dropped:
            step["drop"] = list(self.dropped)
        if self.unknown != REJECT:
            step["unknown"] = self.unknown
        return {"onehot": step}


@dataclass(frozen=True)
class Value:
    """A column of the matrix that scikit-learn passes from step to step; with `onehot`
    the several columns that this makes of it."""

    name: str
    column: str
    dtype: np.dtype | None = None  # as scikit-learn has it there; None: not known
    steps: tuple[Step, ...] = ()
    # scikit-learn rounded the last result to float32. The tensor's own rounding does
    # the same, so it takes a step only when others follow.
    rounded: bool = False
    onehot: OneHot | None = None

    @property
    def width(self) -> int:
        return len(self.onehot.slots) if self.onehot else 1

    @property
    def is_text(self) -> bool:
        return self.dtype is not None and self.dtype.kind == "O"

    def then(self, *steps: Step) -> Value:
        rounding = ({"cast": {"to": "float32"}},) if self.rounded and steps else ()
        return replace(self, steps=self.steps + rounding + steps, rounded=False)

    def number(self) -> Value:
        """A null as NaN, which is what it is in scikit-learn's matrix."""
        known = any("fill" in s or "null" in s.get("map", ()) for s in self.steps)
        return self if known else self.then({"fill": NAN})

    def whole(self) -> Value:
        """A null or a NaN as a bad row, where scikit-learn raises an error."""
        filled = self.steps and isinstance(self.steps[-1].get("fill"), (int, float))
        return self if filled else self.then({"fill": REJECT})


def apply(transformer: Any, values: Sequence[Value]) -> list[Value]:
    """What a fitted transformer makes of values; TRANSFORMERS says how."""
    write = TRANSFORMERS.get(type(transformer))
    if write is None:
        known = sorted(t.__name__ for t in TRANSFORMERS)
        raise NotExpressible(
            f"{_kind(transformer)}: millrace's features have no counterpart. Leave it, and what "
            "follows it, in the ONNX model, and export what comes before. Known: "
            + ", ".join(known)
        )
    return write(transformer, values)


def _kind(transformer: Any) -> str:
    return type(transformer).__name__


def inputs(transformer: Any, columns: Any) -> list[Value]:
    """The columns that a transformer was fitted on, before anything happens to them."""
    fitted = [str(name) for name in getattr(transformer, "feature_names_in_", ())]
    if columns is None and not fitted:
        raise NotExpressible(
            f"{_kind(transformer)} was fitted without column names; name the columns, in their "
            "order: columns=[...], or --columns a,b,c"
        )
    dtypes = dict.fromkeys(fitted) if columns is None else _dtypes(columns)
    names = list(dtypes)
    if fitted and set(fitted) <= set(names):
        names = fitted  # a frame may have more columns, in another order
    alone = isinstance(transformer, LabelEncoder)
    count = 1 if alone else getattr(transformer, "n_features_in_", len(names))
    if len(names) != count:
        called = f" ({', '.join(fitted)})" if fitted else ""
        raise NotExpressible(
            f"{_kind(transformer)} was fitted on {count} columns{called}; {len(names)} are named: "
            + ", ".join(names)
        )
    return [Value(name, name, dtypes[name]) for name in names]


def _check_times(values: Sequence[Value], columns: Any) -> None:
    """scikit-learn takes a time for its count of units since 1970, which no feature is."""
    types = _named_types(columns)
    for value in values:
        dtype = types.get(value.column)
        if str(dtype).startswith(("datetime64", "timedelta64", "timestamp", "duration")):
            raise NotExpressible(
                f"{value.column} is a time ({dtype}), and a feature has numbers and texts. Fit on a "
                f"number in its place, such as its seconds since 1970 as {value.column}_epoch, in a "
                "ColumnTransformer, whose features have names of their own, and have the job compute "
                f"that number before this file: - {{name: {value.column}_epoch, column: {value.column}, "
                "transforms: [datetime: {part: epoch}], hidden: true}"
            )


def _dtypes(columns: Any) -> dict[str, np.dtype | None]:
    named = _named_types(columns)
    return {name: None if dtype is None else _numpy_dtype(dtype) for name, dtype in named.items()}


def _named_types(columns: Any) -> dict[str, Any]:
    """Of each column the type as its library has it, or None where only names are known."""
    if columns is None:
        return {}
    if hasattr(columns, "to_arrow"):  # polars
        columns = columns.head(0).to_arrow()
    columns = getattr(columns, "schema", columns)  # of a pyarrow table
    if hasattr(columns, "empty_table"):
        columns = columns.empty_table().to_pandas(ignore_metadata=True)
    if hasattr(columns, "dtypes"):
        columns = dict(zip(columns.columns, columns.dtypes))
    if isinstance(columns, Mapping):
        return {str(name): dtype for name, dtype in columns.items()}
    if isinstance(columns, str) or not isinstance(columns, Iterable):
        raise TypeError(f"columns is {columns!r}; a frame, a schema or a list of names is meant")
    return dict.fromkeys(str(name) for name in columns)


def _numpy_dtype(dtype: Any) -> np.dtype:
    """The dtype of a column as an array: object for all that are no numbers."""
    dtype = getattr(dtype, "numpy_dtype", dtype)  # of a nullable one of pandas
    try:
        dtype = np.dtype(dtype)
    except TypeError:
        return np.dtype(object)
    return dtype if dtype.kind in "biuf" else np.dtype(object)


def features(values: Sequence[Value]) -> list[dict[str, Any]]:
    """The features as a fitted file lists them, each under a name of its own."""
    out: list[dict[str, Any]] = []
    taken: set[str] = set()
    read = Counter(value.column for value in values)
    for value in values:
        if value.width == 0:
            warnings.warn(
                f"{value.name}: every category is dropped, so that no value is left of it"
            )
            continue
        if value.onehot:
            value = value.then(value.onehot.step())
        elif not value.is_text:
            value = value.number()
        # A feature that is called like a column hides it from those that follow.
        hides = read[value.name] > (value.name == value.column)
        name = _free(value.name, taken | {value.name} if hides else taken)
        taken.add(name)
        feature = {"name": name, "column": value.column}
        if name == value.column:
            del feature["name"]
        if value.steps:
            feature["transforms"] = list(value.steps)
        out.append(feature)
    return out


def _free(name: str, taken: set[str]) -> str:
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def _check_width(transformer: Any, values: Sequence[Value]) -> None:
    try:
        want = len(transformer.get_feature_names_out())
    except (AttributeError, ValueError):  # a function without names; no names at all
        return
    if (got := sum(value.width for value in values)) != want:
        raise RuntimeError(
            f"the features have {got} values, scikit-learn's output {want}: a fault here"
        )


# -- Transformers of transformers --------------------------------------------------


def _pipeline(pipeline: Pipeline, values: Sequence[Value]) -> list[Value]:
    for _, step in pipeline.steps:
        if step is not None and step != "passthrough":
            values = apply(step, values)
    return list(values)


def _column_transformer(ct: ColumnTransformer, values: Sequence[Value]) -> list[Value]:
    values = _columns(values)
    prefixes = ct.verbose_feature_names_out is not False
    out = []
    for name, transformer, _ in ct.transformers_:
        chosen = [values[i] for i in ct._transformer_to_input_indices[name]]
        if chosen and transformer != "drop":
            made = _member(transformer, chosen, (ct.transformer_weights or {}).get(name))
            out += [replace(v, name=f"{name}__{v.name}") if prefixes else v for v in made]
    return _stacked(out)


def _feature_union(union: FeatureUnion, values: Sequence[Value]) -> list[Value]:
    prefixes = getattr(union, "verbose_feature_names_out", True)  # 1.5 and later
    out = []
    for name, transformer in union.transformer_list:
        if transformer != "drop":
            made = _member(transformer, values, (union.transformer_weights or {}).get(name))
            out += [replace(v, name=f"{name}__{v.name}") if prefixes else v for v in made]
    return _stacked(out)


def _member(transformer: Any, values: Sequence[Value], weight: float | None) -> list[Value]:
    made = list(values) if transformer == "passthrough" else apply(transformer, values)
    return made if weight is None else [_weighted(v, weight) for v in _columns(made)]


def _weighted(value: Value, weight: float) -> Value:
    dtype = _dtype_of(lambda x: x * weight, value)
    _check_half(value, dtype)
    step = {"scale": {"multiply": _held(weight, dtype), "add": 0.0}}
    return replace(value.number().then(step), dtype=dtype, rounded=dtype == SINGLE)


def _dtype_of(function: Callable[[np.ndarray], np.ndarray], value: Value) -> np.dtype | None:
    """The type of what a function of NumPy's makes of an array of the value."""
    return None if value.dtype is None else function(np.zeros(0, value.dtype)).dtype


def _held(number: float, dtype: np.dtype | None) -> float:
    """A number as an array of the type holds it."""
    return float(np.float32(number) if dtype == SINGLE else number)


def _stacked(values: Sequence[Value]) -> list[Value]:
    """Columns that stand in one array have one type."""
    dtype = _common(values)
    return [replace(value, dtype=dtype) for value in values]


def _common(values: Sequence[Value]) -> np.dtype | None:
    dtypes = [value.dtype for value in values]
    if not dtypes or any(dtype is None for dtype in dtypes):  # to ==, None is float64
        return None
    return np.result_type(*dtypes)


def _columns(values: Sequence[Value]) -> list[Value]:
    """Each column of a one-hot as a value of its own: a number by category."""
    return [column for value in values for column in _split(value)]


def _split(value: Value) -> list[Value]:
    if value.onehot is None:
        return [value]
    onehot, columns = value.onehot, []
    for i, label in enumerate(onehot.labels):
        codes = [(c, float(i == j)) for j, slot in enumerate(onehot.slots) for c in slot]
        codes += [(category, 0.0) for category in onehot.dropped]
        last = float(i == len(onehot.slots) - 1)
        unknown = {REJECT: REJECT, "zeros": 0.0, "other": last}[onehot.unknown]
        column = replace(value, name=f"{value.name}_{label}", onehot=None)
        columns.append(_lookup(column, codes, unknown))
    return columns


# -- Numbers -----------------------------------------------------------------------


def _precision(values: Sequence[Value], fitted: np.dtype | None = None) -> np.dtype:
    """What scikit-learn computes in: float16 or float32 where all columns of a step are,
    else float64 (sklearn.utils.check_array with dtype=FLOAT_DTYPES)."""
    dtype = _common(values) or fitted
    return dtype if dtype in (HALF, SINGLE) else DOUBLE


def _check_half(value: Value, dtype: np.dtype | None) -> None:
    """No feature computes in float16, which differs from float64 by thousands of float32 steps."""
    if dtype == HALF:
        raise NotExpressible(
            f"{value.column}: scikit-learn computes in float16 here, as all columns of the step "
            "are float16, and features do not: make them float32 before fitting "
            '(frame.astype("float32")), which loses nothing; the data to score may stay float16'
        )


def _line(value: Value, names: tuple[str, str], less: float | None, by: float | None) -> Value:
    """(x - less) / by, rounded after each as in an array of the value's type."""
    if less is None and by is None:
        return value
    if value.dtype == SINGLE and less is not None and by is not None:
        value = replace(_line(value, names, less, None), rounded=True)
        less = None
    numbers = (0.0 if less is None else float(less), 1.0 if by is None else float(by))
    _check_numbers(value, numbers)
    step = {"scale": dict(zip(names, numbers))}
    return replace(value.then(step), rounded=value.dtype == SINGLE)


def _check_numbers(value: Value, numbers: Iterable[float]) -> None:
    if not all(map(math.isfinite, numbers)):
        raise NotExpressible(
            f"{value.column}: a fitted parameter is {', '.join(map(str, numbers))}, as of a column "
            "without any value; leave the column out of the transformer"
        )


def _scaler(names: tuple[str, str], less: Any, by: Any, values: Sequence[Value]) -> list[Value]:
    return [
        _line(v, names, None if less is None else less[i], None if by is None else by[i])
        for i, v in enumerate(values)
    ]


def _numbers(
    values: Sequence[Value],
    fitted: np.dtype | None = None,
    null: Callable[[Value], Value] = Value.number,
) -> list[Value]:
    values = _columns(values)
    dtype = _precision(values, fitted)
    for value in values:
        _check_half(value, dtype)
    return [replace(null(value), dtype=dtype) for value in values]


def _standard_scaler(t: StandardScaler, values: Sequence[Value]) -> list[Value]:
    if _common(_columns(values)) is None and (t.with_mean or t.with_std):
        warnings.warn(
            "StandardScaler does not tell the type that it was fitted on, and float64 is assumed; "
            "where its columns are float32, name the types: columns=FRAME, or --data FILE"
        )
    values = _numbers(values)
    less, by = t.mean_ if t.with_mean else None, t.scale_ if t.with_std else None
    # Before 1.8 the parameters stayed float64, and only results were rounded.
    if values and values[0].dtype == SINGLE and VERSION >= (1, 8):
        less, by = (None if x is None else x.astype(SINGLE) for x in (less, by))
    return _scaler(("mean", "std"), less, by, values)


def _robust_scaler(t: RobustScaler, values: Sequence[Value]) -> list[Value]:
    less, by = t.center_ if t.with_centering else None, t.scale_ if t.with_scaling else None
    fitted = next((x.dtype for x in (less, by) if x is not None), None)
    return _scaler(("center", "scale"), less, by, _numbers(values, fitted))


def _max_abs_scaler(t: MaxAbsScaler, values: Sequence[Value]) -> list[Value]:
    values = _scaler(("center", "scale"), None, t.scale_, _numbers(values, t.scale_.dtype))
    if getattr(t, "clip", False):
        values = [value.then({"clip": {"min": -1.0, "max": 1.0}}) for value in values]
    return values


def _min_max_scaler(t: MinMaxScaler, values: Sequence[Value]) -> list[Value]:
    low, high = map(float, t.feature_range)
    out = []
    for i, value in enumerate(_numbers(values, t.scale_.dtype)):
        by, plus = float(t.scale_[i]), float(t.min_[i])
        _check_numbers(value, (by, plus))
        if value.dtype == SINGLE:
            product = value.then({"scale": {"multiply": by, "add": 0.0}})
            value, by = replace(product, rounded=True), 1.0
        value = value.then({"scale": {"multiply": by, "add": plus}})
        value = replace(value, rounded=value.dtype == SINGLE)
        if t.clip:
            value = value.then({"clip": _range(low, high, value.dtype)})
        out.append(value)
    return out


def _range(low: float | None, high: float | None, dtype: np.dtype | None) -> dict[str, float]:
    bounds = {"min": low, "max": high}
    return {name: _held(x, dtype) for name, x in bounds.items() if x is not None}


def _binarizer(t: Binarizer, values: Sequence[Value]) -> list[Value]:
    out = []
    for value in _numbers(values, null=Value.whole):
        edges = [_held(t.threshold, value.dtype)]
        out.append(value.then({"bucketize": {"edges": edges, "right": True}}))
    return out


def _k_bins(t: KBinsDiscretizer, values: Sequence[Value]) -> list[Value]:
    out = []
    values = _columns(values)
    if _common(values) == HALF:  # which it computes in float64
        values = [replace(value, dtype=DOUBLE) for value in values]
    numbers = _numbers(values, null=Value.whole)
    for value, edges, count in zip(numbers, t.bin_edges_, t.n_bins_):
        if t.dtype is not None and np.dtype(t.dtype) == SINGLE and value.dtype != SINGLE:
            value = replace(value, rounded=True, dtype=SINGLE)
        inner = [float(edge) for edge in edges[1:-1]]
        # With one bin all are in it.
        step = {"bucketize": {"edges": inner}} if inner else {"clip": {"min": 0.0, "max": 0.0}}
        value = value.then(step)
        if t.encode != "ordinal":
            slots = tuple((i,) for i in range(count))
            labels = tuple(f"{i}.0" for i in range(count))
            value = replace(value, onehot=OneHot(slots, labels, (), REJECT))
        out.append(value)
    return out


def _function(t: FunctionTransformer, values: Sequence[Value]) -> list[Value]:
    func, settings = t.func, dict(t.kw_args or {})
    if func is None:
        return list(values)
    values = [value.number() for value in _columns(values)]
    if t.validate:
        values = _stacked(values)
    if func is np.log1p and not settings:
        return [_log1p(value) for value in values]
    if func in (np.abs, np.fabs) and not settings:
        return [value.then({"abs": {}}) for value in values]
    if func is np.clip and settings.keys() <= {"a_min", "a_max", "min", "max"}:
        low, high = (settings.get(f"a_{end}", settings.get(end)) for end in ("min", "max"))
        if all(x is None or np.isscalar(x) for x in (low, high)) and (low, high) != (None, None):
            return [_clip(value, low, high) for value in values]
    called = getattr(func, "__name__", repr(func)) + (f" with {settings}" if settings else "")
    raise NotExpressible(
        f"FunctionTransformer: {called} is none of np.log1p, np.abs and np.clip with numbers; a "
        "job file can write other features by hand (docs/features.md)"
    )


def _clip(value: Value, low: float | None, high: float | None) -> Value:
    dtype = _dtype_of(lambda x: np.clip(x, low, high), value)
    _check_half(value, dtype)
    return replace(value.then({"clip": _range(low, high, dtype)}), dtype=dtype)


def _log1p(value: Value) -> Value:
    dtype = _dtype_of(np.log1p, value)
    if dtype not in (None, SINGLE, DOUBLE):
        raise NotExpressible(
            f"{value.column}: np.log1p of {value.dtype} is {dtype}; cast it to float64"
        )
    return replace(value.then({"log1p": {}}), dtype=dtype, rounded=dtype == SINGLE)


def _imputer(t: SimpleImputer, values: Sequence[Value]) -> list[Value]:
    _check_missing(t)
    values = _columns(values)
    if t.strategy in ("mean", "median"):
        dtype = _precision(values, t._fit_dtype)
    else:
        dtype = _common(values) or t._fit_dtype
    out = []
    for value, statistic in zip(values, t.statistics_):
        if _is_missing(statistic) and not t.keep_empty_features:
            continue  # a column without any value: scikit-learn leaves it out
        is_text = isinstance(statistic, str)
        if not is_text and t._fit_dtype.kind != "O":
            statistic = np.asarray(statistic).astype(t._fit_dtype)[()]
        kept = np.dtype(object) if is_text else DOUBLE if dtype.kind == "O" else dtype
        out.append(replace(value.then({"fill": _constant(statistic, value)}), dtype=kept))
    if t.add_indicator:
        # They stand in one array with what is filled, and have its type.
        made = _indicators(t.indicator_, values, t.statistics_)
        numbers = bool(out) and not any(value.is_text for value in out)
        out += [replace(v, dtype=_common(out)) for v in made] if numbers else made
    return out


def _check_missing(t: SimpleImputer | MissingIndicator) -> None:
    if not _is_missing(t.missing_values):
        raise NotExpressible(
            f"{_kind(t)}: missing_values={t.missing_values!r}; only a null or a NaN can be filled. "
            "Make nulls of them before"
        )


def _missing_indicator(t: MissingIndicator, values: Sequence[Value]) -> list[Value]:
    _check_missing(t)
    values = _columns(values)
    if t.features == "missing-only" and t.error_on_new and len(t.features_) < len(values):
        raise NotExpressible(
            "MissingIndicator: it raises an error for what is missing in columns that it gives no "
            "value of; set features='all' or error_on_new=False"
        )
    return _indicators(t, values, [None] * len(values))


def _indicators(t: MissingIndicator, values: Sequence[Value], examples: Any) -> list[Value]:
    out = []
    for i in t.features_:
        value = values[i]
        is_text = value.is_text or isinstance(examples[i], str)
        # A map has a value: of a text, one that says what the default says.
        known = {"": 0.0} if is_text else {".nan": 1.0}
        step = _map(known, 0.0, 1.0)
        name = f"missingindicator_{value.name}"
        out.append(replace(value.then(step), name=name, dtype=DOUBLE))
    return out


# -- Categories --------------------------------------------------------------------


def _is_missing(value: Any) -> bool:
    return value is None or type(value).__name__ == "NAType" or value != value


def _scalar(value: Any, of: Value) -> Scalar:
    if isinstance(value, str):
        return str(value)
    if isinstance(value, (bool, np.bool_)):
        # Beside texts an indicator is True or False to scikit-learn, and a number here.
        made = of.steps and "map" in of.steps[-1]
        return float(value) if made else bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)) and math.isfinite(value):
        return float(value)
    raise NotExpressible(
        f"{of.column}: {value!r} ({_kind(value)}) is no text, number or truth value of a feature"
    )


def _constant(value: Any, of: Value) -> Scalar:
    """What `fill` fills with: two texts are words of its own."""
    if isinstance(value, str) and value in (REJECT, "nan"):
        raise NotExpressible(
            f"{of.column}: {value!r} cannot be filled with: for `fill` it is a word of its own. "
            "Fit with another text"
        )
    return _scalar(value, of)


def _categories(categories: np.ndarray, of: Value) -> list[tuple[Scalar, ...]]:
    """Each category as the scalars that are it: a missing number is a null or a NaN."""
    missing = [_is_missing(category) for category in categories]
    if sum(missing) > 1:
        raise NotExpressible(
            f"{of.column}: None and NaN are both categories, and a null of the data is only one; "
            "make one of them before fitting"
        )
    is_text = any(isinstance(category, str) for category in categories)
    null = (None,) if is_text else (None, NAN)
    return [null if gone else (_scalar(c, of),) for c, gone in zip(categories, missing)]


def _one_hot_encoder(t: OneHotEncoder, values: Sequence[Value]) -> list[Value]:
    out = []
    for i, value in enumerate(_columns(values)):
        categories = _categories(t.categories_[i], value)
        rare = _infrequent(t, i)
        groups = [
            (c, str(name))
            for j, (c, name) in enumerate(zip(categories, t.categories_[i]))
            if j not in rare
        ]
        if rare:
            groups.append((tuple(s for j in rare for s in categories[j]), "infrequent_sklearn"))
        unknown = {"error": REJECT, "ignore": "zeros"}.get(t.handle_unknown)
        if unknown is None:
            # Before 1.8 "warn" did not find the rare ones.
            found = rare and (t.handle_unknown != "warn" or VERSION >= (1, 8))
            unknown = "other" if found else "zeros"
        dropped: tuple[Scalar, ...] = ()
        if t.drop_idx_ is not None and (drop := t.drop_idx_[i]) is not None:
            at = len(groups) - 1 if drop in rare else int(drop) - sum(j < drop for j in rare)
            dropped, _ = groups.pop(at)
            if unknown == "other" and drop in rare:
                unknown = "zeros"
        slots, labels = tuple(g[0] for g in groups), tuple(g[1] for g in groups)
        onehot = OneHot(slots, labels, dropped, unknown)
        made = replace(value.then(), onehot=onehot, dtype=np.dtype(t.dtype))
        # A one-hot names a category; where all are rare, it would not.
        out += _split(made) if unknown == "other" and len(slots) == 1 else [made]
    return out


def _infrequent(t: OneHotEncoder | OrdinalEncoder, i: int) -> list[int]:
    rare = getattr(t, "_infrequent_indices", None)
    return [] if rare is None or rare[i] is None else [int(j) for j in rare[i]]


def _ordinal_encoder(t: OrdinalEncoder, values: Sequence[Value]) -> list[Value]:
    unknown = REJECT if t.handle_unknown == "error" else _code(t.unknown_value)
    out = []
    for i, value in enumerate(_columns(values)):
        rare = _infrequent(t, i)
        frequent = [j for j in range(len(t.categories_[i])) if j not in rare]
        codes = []
        for j, (category, name) in enumerate(
            zip(_categories(t.categories_[i], value), t.categories_[i])
        ):
            if name is not None and _is_missing(name):
                code = _code(t.encoded_missing_value)
            else:
                code = float(
                    frequent.index(j)
                    if j not in rare
                    else len(frequent) - _has_nan(t.categories_[i])
                )
            codes += [(scalar, code) for scalar in category]
        out.append(replace(_lookup(value, codes, unknown), dtype=np.dtype(t.dtype)))
    return out


def _has_nan(categories: np.ndarray) -> bool:
    return categories[-1] is not None and _is_missing(categories[-1])


def _code(value: Any) -> Scalar:
    return NAN if _is_missing(value) else float(value)


def _target_encoder(t: TargetEncoder, values: Sequence[Value]) -> list[Value]:
    classes = list(t.classes_) if t.target_type_ == "multiclass" else [None]
    means = np.atleast_1d(t.target_mean_)
    out = []
    for i, value in enumerate(_columns(values)):
        categories = _categories(t.categories_[i], value)
        for k, label in enumerate(classes):
            encoding = t.encodings_[i * len(classes) + k]
            codes = [(s, float(code)) for c, code in zip(categories, encoding) for s in c]
            name = value.name if label is None else f"{value.name}_{label}"
            out.append(replace(_lookup(value, codes, float(means[k])), name=name, dtype=DOUBLE))
    return out


def _label_encoder(t: LabelEncoder, values: Sequence[Value]) -> list[Value]:
    (value,) = values
    categories = _categories(t.classes_, value)
    codes = [(scalar, float(i)) for i, category in enumerate(categories) for scalar in category]
    return [replace(_lookup(value, codes, REJECT), dtype=np.dtype(np.int64))]


def _lookup(value: Value, codes: Sequence[tuple[Scalar, Scalar]], unknown: Scalar) -> Value:
    """The number of each category. What is missing and no category is unknown, too."""
    known = {_key(c): code for c, code in codes if c is not None and c != NAN}
    missing = next((code for c, code in codes if c is None), unknown)
    if missing == REJECT:
        return value.then({"fill": REJECT}, _map(known, unknown))
    is_text = value.is_text or any(isinstance(c, (str, bool)) for c, _ in codes)
    if missing != NAN:
        return value.then(_map(known if is_text else known | {".nan": missing}, unknown, missing))
    if is_text or unknown == NAN:
        return value.then(_map(known, unknown), {"fill": NAN})
    # A map gives NaN only by default: a second one makes it of a number that is no code.
    numbers = sorted({*known.values(), *([] if unknown == REJECT else [unknown])})
    none = min(numbers, default=0.0) - 1
    codes_and_none = _map(known | {".nan": none}, unknown, none)
    return value.then(codes_and_none, _map({_key(n): n for n in numbers}, NAN))


def _map(values: dict[str, float], unknown: Scalar, null: float | None = None) -> Step:
    step: Step = {"values": values}
    if unknown != REJECT:
        step["default"] = unknown
    if null is not None:
        step["null"] = null
    return {"map": step}


def _key(category: Scalar) -> str:
    """A category as the key of a map: a whole number without a point."""
    if isinstance(category, bool):
        return str(category).lower()
    if isinstance(category, float) and category.is_integer() and abs(category) < 2**53:
        category = int(category)
    return category if isinstance(category, str) else repr(category)


TRANSFORMERS: dict[type, Callable[[Any, Sequence[Value]], list[Value]]] = {
    Binarizer: _binarizer,
    ColumnTransformer: _column_transformer,
    FeatureUnion: _feature_union,
    FunctionTransformer: _function,
    KBinsDiscretizer: _k_bins,
    LabelEncoder: _label_encoder,
    MaxAbsScaler: _max_abs_scaler,
    MinMaxScaler: _min_max_scaler,
    MissingIndicator: _missing_indicator,
    OneHotEncoder: _one_hot_encoder,
    OrdinalEncoder: _ordinal_encoder,
    Pipeline: _pipeline,
    RobustScaler: _robust_scaler,
    SimpleImputer: _imputer,
    StandardScaler: _standard_scaler,
    TargetEncoder: _target_encoder,
}


# -- Command line ------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description="Writes a fitted scikit-learn transformer down as features for millrace.",
        epilog="A pickle runs the code that it holds: give only files whose maker you trust. Exit "
        "status: 0, or 1 where something cannot be expressed, read or written, 2 for usage.",
    )
    parser.add_argument("model", help="a pipeline or transformer, dumped by joblib or pickle")
    parser.add_argument(
        "--data", metavar="FILE", help="Parquet or Arrow file: the columns' names and types"
    )
    parser.add_argument(
        "--columns", metavar="A,B", help="the columns' names, in the transformer's order"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="the fitted file; default: standard output"
    )
    args = parser.parse_args(arguments)
    if args.data and args.columns:
        parser.error("--data and --columns both name the columns; give one")
    try:
        with warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("always", UserWarning)
            columns = _schema(args.data) if args.data else args.columns and args.columns.split(",")
            text = dumps(export(_load(args.model), columns))
            if args.output:
                Path(args.output).write_text(text, encoding="utf-8")
    except (ValueError, TypeError, OSError) as error:
        print(f"millrace_features.py: {args.model}: {error}", file=sys.stderr)
        return 1
    for note in notes:
        print(f"millrace_features.py: {args.model}: {note.message}", file=sys.stderr)
    if not args.output:
        sys.stdout.write(text)
    return 0


def _load(path: str) -> Any:
    import joblib  # reads plain pickles, too

    try:
        return joblib.load(path)
    except OSError:
        raise
    except Exception as error:  # an unpickled class may raise anything
        raise ValueError(f"it cannot be loaded as a pickle: {error!r}") from error


def _schema(path: str) -> Any:
    import pyarrow.ipc
    import pyarrow.parquet

    if path.endswith(".parquet"):
        return pyarrow.parquet.read_schema(path)
    with pyarrow.ipc.open_file(path) as file:
        return file.schema


if __name__ == "__main__":
    sys.exit(main())
