"""The transformers that the features are compared with, fitted on the flights of 2013.

A case is a transformer and the columns that it takes, fitted on .data/nyc-flights.parquet
or, for the exporter's own tests, on the committed sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.compose import ColumnTransformer, make_column_transformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

Target = Callable[[pd.DataFrame], Any]

# float32, float64, int64, int64 with nulls, text, text with nulls, bool.
SINGLE = ["temp", "dewp", "humid", "pressure", "precip"]
DOUBLE = ["arrival", "wind"]
INTEGERS = ["month", "hour", "distance"]
HOLED = ["plane_year", "seats"]
TEXT = ["carrier", "origin", "dest"]
HOLED_TEXT = ["manufacturer"]
BOOLEAN = ["early"]
COLUMNS = SINGLE + DOUBLE + INTEGERS + HOLED + TEXT + HOLED_TEXT + BOOLEAN


@dataclass(frozen=True)
class Case:
    name: str
    what: str
    transformer: Any
    columns: Sequence[str]
    target: Target | None = None

    def fit(self, frame: pd.DataFrame) -> Any:
        y = None if self.target is None else self.target(frame)
        return self.transformer.fit(frame[self.columns], y)


def raw(flights: pa.Table) -> pa.Table:
    """The columns of the cases; two are made to be float64, one to be bool."""
    wind = pc.multiply(pc.cast(flights["wind_speed"], pa.float64()), 1.609344)  # km/h
    arrival = pc.divide(pc.cast(flights["arr_delay"], pa.float64()), 60.0)  # hours
    early = pc.less(flights["hour"], 9)
    made = {"arrival": arrival, "wind": wind, "early": early}
    return pa.table({name: made[name] if name in made else flights[name] for name in COLUMNS})


def _late(frame: pd.DataFrame) -> Any:
    return (frame["arrival"] > 0.25).to_numpy()


def _delay(frame: pd.DataFrame) -> Any:
    return frame["arrival"].fillna(0.0).to_numpy()


def _season(frame: pd.DataFrame) -> Any:
    return np.array(["winter", "spring", "summer", "autumn"])[(frame["month"].to_numpy() % 12) // 3]


def cases() -> list[Case]:
    return [
        *_scalers(),
        *_imputers(),
        *_one_hots(),
        *_codes(),
        *_bins(),
        *_functions(),
        *_several(),
    ]


def _scalers() -> list[Case]:
    return [
        Case(
            "standard_single", "float32, which scikit-learn computes in", StandardScaler(), SINGLE
        ),
        Case("standard_double", "float64", StandardScaler(), DOUBLE),
        Case(
            "standard_mixed",
            "float32 and int64 together are float64",
            StandardScaler(),
            ["temp", *INTEGERS],
        ),
        Case(
            "standard_mean",
            "without the deviation",
            StandardScaler(with_std=False),
            [*DOUBLE, *INTEGERS],
        ),
        Case("standard_std", "without the mean", StandardScaler(with_mean=False), SINGLE),
        Case("min_max_single", "float32, clipped", MinMaxScaler(clip=True), SINGLE),
        Case("min_max_double", "float64, to a range", MinMaxScaler((-1, 2)), [*DOUBLE, *HOLED]),
        Case("max_abs", "by the largest", MaxAbsScaler(), [*DOUBLE, *INTEGERS]),
        Case(
            "max_abs_single",
            "by the largest, float32, clipped",
            MaxAbsScaler(clip=True),
            SINGLE[:3],
        ),
        Case("robust_single", "median and quartiles, float32", RobustScaler(), SINGLE[:4]),
        Case("robust_double", "as deviations", RobustScaler(unit_variance=True), [*DOUBLE, *HOLED]),
        Case("robust_scale", "without the median", RobustScaler(with_centering=False), DOUBLE),
        Case("robust_center", "the median alone", RobustScaler(with_scaling=False), DOUBLE),
    ]


def _imputers() -> list[Case]:
    rare_fill = SimpleImputer(strategy="constant", fill_value="NONE")
    return [
        Case("fill_mean", "float32", SimpleImputer(), SINGLE),
        Case("fill_median", "float64", SimpleImputer(strategy="median"), [*DOUBLE, *HOLED]),
        Case(
            "fill_most", "the most frequent number", SimpleImputer(strategy="most_frequent"), HOLED
        ),
        Case(
            "fill_zero",
            "a constant",
            SimpleImputer(strategy="constant", fill_value=-1.5),
            [*DOUBLE, *HOLED],
        ),
        Case("fill_indicator", "and where", SimpleImputer(add_indicator=True), [*SINGLE, *HOLED]),
        Case("indicator", "where alone", MissingIndicator(features="all"), [*SINGLE, *HOLED]),
        Case(
            "fill_scale",
            "then a scaler",
            make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
            SINGLE,
        ),
        Case(
            "scale_fill",
            "after a scaler",
            make_pipeline(RobustScaler(), SimpleImputer()),
            [*DOUBLE, *HOLED],
        ),
        Case(
            "text_most",
            "the most frequent text, then a one-hot",
            make_pipeline(
                SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
            ),
            HOLED_TEXT,
        ),
        Case(
            "text_constant",
            "a text, then numbers",
            make_pipeline(rare_fill, OrdinalEncoder()),
            HOLED_TEXT,
        ),
        Case(
            "text_indicator",
            "where a text is missing",
            make_column_transformer((MissingIndicator(features="all"), HOLED_TEXT)),
            HOLED_TEXT,
        ),
    ]


def _one_hots() -> list[Case]:
    few = {"min_frequency": 2000}
    ignored = {"handle_unknown": "ignore"}
    return [
        Case("one_hot_error", "unknown is an error", OneHotEncoder(), TEXT),
        Case("one_hot_ignore", "unknown is all 0", OneHotEncoder(**ignored), TEXT),
        Case("one_hot_null", "a null is a category", OneHotEncoder(**ignored), HOLED_TEXT),
        Case(
            "one_hot_rare",
            "the rare share a value",
            OneHotEncoder(min_frequency=0.02),
            [*TEXT, *HOLED_TEXT],
        ),
        Case(
            "one_hot_other",
            "unknown is rare",
            OneHotEncoder(handle_unknown="infrequent_if_exist", **few),
            [*TEXT, *HOLED_TEXT],
        ),
        Case(
            "one_hot_most", "at most 6", OneHotEncoder(max_categories=6, **ignored), [*TEXT, *HOLED]
        ),
        Case(
            "one_hot_one",
            "all are rare",
            OneHotEncoder(handle_unknown="infrequent_if_exist", max_categories=1),
            ["origin", "seats"],
        ),
        Case("one_hot_first", "without the first", OneHotEncoder(drop="first"), TEXT),
        Case(
            "one_hot_first_rare",
            "without the first, unknown is rare",
            OneHotEncoder(drop="first", handle_unknown="infrequent_if_exist", **few),
            TEXT,
        ),
        Case(
            "one_hot_binary",
            "one value of two",
            OneHotEncoder(drop="if_binary", **ignored),
            [*BOOLEAN, "origin"],
        ),
        Case(
            "one_hot_drop",
            "without one by name",
            OneHotEncoder(drop=["UA", "JFK"], **ignored),
            TEXT[:2],
        ),
        Case("one_hot_numbers", "numbers, and none", OneHotEncoder(**ignored), ["month", *HOLED]),
        Case(
            "one_hot_listed",
            "as listed",
            OneHotEncoder(categories=[["US", "AA", "ZZ"], ["LGA", "EWR"]], **ignored),
            TEXT[:2],
        ),
        Case(
            "one_hot_scale",
            "then a scaler",
            make_pipeline(OneHotEncoder(**ignored, **few), StandardScaler(with_mean=False)),
            TEXT[:2],
        ),
    ]


def _codes() -> list[Case]:
    return [
        Case(
            "ordinal_single",
            "float32, unknown is -1",
            OrdinalEncoder(
                handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
            ),
            ["precip", "humid"],
        ),
        Case("one_hot_single", "float32", OneHotEncoder(handle_unknown="ignore"), ["precip"]),
        Case("ordinal_double", "float64, a null is NaN", OrdinalEncoder(), ["wind"]),
        Case("ordinal_error", "unknown is an error", OrdinalEncoder(), [*TEXT, "month"]),
        Case("ordinal_null", "a null is NaN", OrdinalEncoder(), [*HOLED_TEXT, *HOLED]),
        Case(
            "ordinal_unknown",
            "unknown is -1",
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
            [*TEXT, *INTEGERS],
        ),
        Case(
            "ordinal_nan",
            "unknown is NaN, a null -2",
            OrdinalEncoder(
                handle_unknown="use_encoded_value", unknown_value=np.nan, encoded_missing_value=-2
            ),
            [*HOLED_TEXT, *HOLED],
        ),
        Case(
            "ordinal_gap",
            "unknown is -1, a null NaN",
            OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
            [*HOLED_TEXT, *HOLED],
        ),
        Case(
            "ordinal_rare",
            "the rare share a number",
            OrdinalEncoder(min_frequency=2000),
            [*TEXT, *HOLED],
        ),
        Case(
            "ordinal_one_hot",
            "then a one-hot",
            make_pipeline(OrdinalEncoder(), OneHotEncoder()),
            ["origin", "month"],
        ),
        Case(
            "ordinal_scale",
            "then a scaler",
            make_pipeline(OrdinalEncoder(), StandardScaler()),
            [*HOLED_TEXT, "month"],
        ),
        Case("target_binary", "by a share", TargetEncoder(), [*TEXT, *HOLED_TEXT, "seats"], _late),
        Case("target_mean", "by a mean", TargetEncoder(target_type="continuous"), TEXT, _delay),
        Case(
            "target_classes",
            "by shares of four",
            TargetEncoder(),
            ["carrier", "manufacturer"],
            _season,
        ),
    ]


def _bins() -> list[Case]:
    filled = SimpleImputer(strategy="median")
    return [
        Case(
            "bins_uniform",
            "the number of the bin",
            KBinsDiscretizer(7, random_state=0, encode="ordinal", strategy="uniform"),
            INTEGERS,
        ),
        Case(
            "bins_single",
            "of float32",
            make_pipeline(
                filled,
                StandardScaler(),
                KBinsDiscretizer(9, random_state=0, encode="ordinal", strategy="uniform"),
            ),
            SINGLE,
        ),
        Case(
            "bins_quantile",
            "one-hot",
            make_pipeline(
                filled,
                KBinsDiscretizer(
                    5, random_state=0, encode="onehot", quantile_method="averaged_inverted_cdf"
                ),
            ),
            [*DOUBLE, *HOLED],
        ),
        Case(
            "bins_k_means",
            "dense",
            KBinsDiscretizer(4, random_state=0, encode="onehot-dense", strategy="kmeans"),
            ["distance"],
        ),
        Case(
            "bins_constant",
            "one bin",
            make_pipeline(
                MinMaxScaler((3, 4), clip=True),
                FunctionTransformer(np.clip, kw_args={"a_min": 5, "a_max": 6}),
                KBinsDiscretizer(3, random_state=0, encode="onehot-dense", strategy="uniform"),
            ),
            ["distance"],
        ),
        Case("binarize", "above a number", Binarizer(threshold=1000.0), ["distance"]),
    ]


def _functions() -> list[Case]:
    named = {"feature_names_out": "one-to-one"}
    return [
        Case(
            "log1p",
            "ln(1 + x)",
            FunctionTransformer(np.log1p, **named),
            [*SINGLE, *DOUBLE, *INTEGERS],
        ),
        Case("abs", "without the sign", FunctionTransformer(np.abs, **named), [*SINGLE, *DOUBLE]),
        Case(
            "clip",
            "between",
            FunctionTransformer(np.clip, kw_args={"a_min": -0.5, "a_max": 80.1}, **named),
            [*SINGLE, *DOUBLE],
        ),
        Case(
            "log_scale",
            "then a scaler",
            make_pipeline(FunctionTransformer(np.log1p, **named), StandardScaler()),
            ["distance", "hour"],
        ),
    ]


def _several() -> list[Case]:
    weather = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    mixed = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), TEXT),
        (StandardScaler(), INTEGERS),
        (weather, SINGLE),
        ("drop", DOUBLE),
        remainder="passthrough",
        verbose_feature_names_out=False,
    )
    twice = make_union(StandardScaler(), KBinsDiscretizer(3, random_state=0, encode="onehot-dense"))
    chain = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), ["origin"]), (MinMaxScaler(), INTEGERS)
        ),
        MaxAbsScaler(),
        StandardScaler(),
    )
    weighted = ColumnTransformer(
        [("single", MinMaxScaler(), SINGLE), ("text", OneHotEncoder(), ["origin"])],
        transformer_weights={"single": 0.3, "text": 2},
    )
    return [
        Case("weights", "times a number", weighted, [*SINGLE, "origin"]),
        Case(
            "columns",
            "a column transformer with a remainder",
            mixed,
            [*TEXT, *INTEGERS, *SINGLE, *DOUBLE, *HOLED, *BOOLEAN],
        ),
        Case("union", "two of one column", twice, ["distance", "month"]),
        Case("chain", "one-hots among numbers, scaled twice", chain, ["origin", *INTEGERS]),
    ]
