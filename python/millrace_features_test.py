"""The exporter against scikit-learn itself, by a plain loop over what it writes.

make check-features
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
import unittest
import warnings
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.impute import KNNImputer, MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    LabelEncoder,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)

ROOT = Path(__file__).resolve().parents[1]
FEATURES = ROOT / "testdata" / "features"
sys.path.insert(0, str(FEATURES))

import cases  # noqa: E402
import loop  # noqa: E402
import make  # noqa: E402
import millrace_features as mf  # noqa: E402

warnings.simplefilter("ignore")  # of overflows and unknown categories, which are meant

REAL_ROWS = 60  # of rows.parquet, besides its awkward ones

FRAME = pd.DataFrame(
    {
        "x": np.array([0.5, 1.5, 4.0, 8.0], np.float32),
        "y": [1.0, 2.0, 3.0, np.nan],
        "n": [1, 2, 3, 4],
        "s": ["a", "b", "b", "c"],
    }
)


class Sklearn(unittest.TestCase):
    def test_values_and_errors_are_those_of_sklearn(self) -> None:
        frame = cases.raw(pq.read_table(ROOT / "testdata" / "nyc-sample.parquet")).to_pandas()
        table = pq.read_table(FEATURES / "rows.parquet")
        table = table.slice(make.REAL_ROWS - REAL_ROWS)
        for case in cases.cases():
            with self.subTest(case.name):
                transformer = case.fit(frame)
                fitted = json.loads(mf.dumps(mf.export(transformer, frame)))
                want, outcomes = make.transform(transformer, table.to_pandas()[case.columns])
                self._compare(fitted["features"], table.to_pylist(), want, outcomes)

    def test_the_committed_files_are_what_the_exporter_writes_for_what_sklearn_gave(self) -> None:
        table = pq.read_table(FEATURES / "rows.parquet").slice(make.REAL_ROWS - REAL_ROWS)
        expected = pq.read_table(FEATURES / "expected.parquet").slice(make.REAL_ROWS - REAL_ROWS)
        names = [case.name for case in cases.cases()]
        self.assertEqual(
            sorted(f"{name}.json" for name in names),
            sorted(p.name for p in (FEATURES / "fitted").iterdir()),
        )
        for name in names:
            with self.subTest(name):
                fitted = json.loads(
                    (FEATURES / "fitted" / f"{name}.json").read_text(encoding="utf-8")
                )
                want = np.array(expected[name].to_pylist())
                self._compare(
                    fitted["features"],
                    table.to_pylist(),
                    want,
                    expected[f"{name}.outcome"].to_pylist(),
                )

    def _compare(
        self, features: list[Any], rows: list[Any], want: np.ndarray, outcomes: list[int]
    ) -> None:
        for row, values, outcome in zip(rows, want, outcomes):
            if outcome == make.INFINITY:
                continue  # millrace refuses them by --finite
            try:
                got = loop.compute(features, row)
            except loop.BadRow as bad:
                self.assertEqual(outcome, make.ERROR, f"{bad} in {row}")
                continue
            self.assertEqual(outcome, make.VALUES, row)
            self.assertTrue(_within_one_ulp(got, values).all(), f"{got}, want {values}, of {row}")


def _within_one_ulp(got: Any, want: Any) -> Any:
    """Of float32: NumPy's log1p is not rounded to the nearest."""
    with np.errstate(over="ignore"):
        got, want = np.float32(got), np.float32(want)
    return (np.nextafter(want, got) == got) | (np.isnan(got) & np.isnan(want))


class Export(unittest.TestCase):
    def test_names_are_unique_and_hide_no_column(self) -> None:
        bins = make_pipeline(
            SimpleImputer(), cases.KBinsDiscretizer(2, encode="onehot-dense", strategy="uniform")
        )
        twice = make_column_transformer(
            (StandardScaler(), ["x"]), (bins, ["x"]), verbose_feature_names_out=False
        )
        names = [f.get("name", f["column"]) for f in mf.export(twice.fit(FRAME), FRAME)["features"]]
        self.assertEqual(names, ["x_2", "x_3"])

    def test_a_model_at_the_end_is_left_out(self) -> None:
        pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(
            FRAME[["x", "n"]], [0, 1, 0, 1]
        )
        alone = mf.export(pipeline[0], FRAME)
        self.assertEqual(mf.export(pipeline, FRAME), alone)

    def test_columns_are_renamed_by_position(self) -> None:
        fitted = mf.export(StandardScaler().fit(FRAME[["x", "n"]]), {"a": "float32", "b": "int64"})
        self.assertEqual([f["column"] for f in fitted["features"]], ["a", "b"])

    def test_types_come_from_any_frame(self) -> None:
        t = StandardScaler().fit(FRAME[["x"]])
        table = cases.pa.Table.from_pandas(FRAME)
        want = mf.export(t, {"x": np.float32})
        self.assertIn({"cast": {"to": "float32"}}, want["features"][0]["transforms"])
        for columns in (FRAME, FRAME.head(0), table, table.schema):
            self.assertEqual(mf.export(t, columns), want)

    def test_the_fitted_values_tell_the_type_where_they_can(self) -> None:
        for t in (
            MinMaxScaler(),
            RobustScaler(),
            cases.MaxAbsScaler(),
            make_pipeline(SimpleImputer(), MinMaxScaler()),
        ):
            t.fit(FRAME[["x"]])
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                self.assertEqual(mf.export(t), mf.export(t, FRAME))
        with self.assertWarnsRegex(UserWarning, "StandardScaler does not tell the type"):
            mf.export(StandardScaler().fit(FRAME[["x"]]))
        for columns in (["x"], ["y"], ["x", "y"]):  # float32, float64, both
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                mf.export(StandardScaler().fit(FRAME[columns]), FRAME[columns])

    def test_float16_is_exact_where_nothing_is_computed_in_it(self) -> None:
        half = np.array([0.85253906, 1.5, -2.25, np.nan, 1000.5], np.float16)
        frame = pd.DataFrame({"h": half, "x": np.array([3, 1, 4, 1, 5], np.float32)})
        for t in (
            make_column_transformer((SimpleImputer(), ["h"]), (np_abs(), ["h"])),
            make_pipeline(SimpleImputer(), cases.KBinsDiscretizer(3, encode="ordinal")),
            StandardScaler(),  # in float32, with x
        ):
            want = np.asarray(t.fit_transform(frame))
            for row, values in zip(frame.to_dict("records"), want):
                got = loop.compute(mf.export(t, frame)["features"], row)
                self.assertTrue(_within_one_ulp(got, values).all(), f"{t}: {got}, want {values}")

    def test_an_indicator_is_a_number_of_the_type_beside_it(self) -> None:
        fill = SimpleImputer(strategy="most_frequent", add_indicator=True, missing_values=np.nan)
        single = pd.DataFrame({"x": np.array([1e6, 1e6 + 0.1, np.nan, 1e6 + 3], np.float32)})
        texts = pd.DataFrame({"s": pd.Series(["b", np.nan, "a", "b"], dtype=object)})
        encoder = OneHotEncoder(sparse_output=False)
        for t, frame in (
            (make_pipeline(fill, MinMaxScaler(), StandardScaler()), single),  # in float32
            (make_pipeline(fill, encoder), texts),  # which tells False from True
        ):
            want = np.asarray(t.fit_transform(frame))
            features = json.loads(mf.dumps(mf.export(t, frame)))["features"]
            for row, values in zip(frame.to_dict("records"), want):
                row = {name: None if value != value else value for name, value in row.items()}
                got = loop.compute(features, row)
                self.assertTrue(_within_one_ulp(got, values).all(), f"{got}, want {values}")

    def test_a_feature_without_values_is_left_out(self) -> None:
        t = OneHotEncoder(drop="first").fit(FRAME.assign(s="a")[["s", "n"]])
        with self.assertWarnsRegex(UserWarning, "s: every category is dropped"):
            fitted = mf.export(t)
        self.assertEqual([f["column"] for f in fitted["features"]], ["n"])

    def test_a_label_encoder_is_a_map(self) -> None:
        fitted = mf.export(LabelEncoder().fit(["b", "a"]), ["s"])
        steps = [{"fill": "reject"}, {"map": {"values": {"a": 0.0, "b": 1.0}}}]
        self.assertEqual(fitted["features"], [{"column": "s", "transforms": steps}])

    def test_any_text_may_be_a_category(self) -> None:
        words = pd.DataFrame({"s": ["nan", "reject", "null", ".nan", "", "true", "1"]})
        for t in (OneHotEncoder(handle_unknown="ignore", sparse_output=False), OrdinalEncoder()):
            with self.subTest(str(t)):
                fitted = json.loads(mf.dumps(mf.export(t.fit(words), words)))
                got = [loop.compute(fitted["features"], row) for row in words.to_dict("records")]
                np.testing.assert_array_equal(got, t.transform(words))

    def test_numbers_keep_every_digit(self) -> None:
        t = StandardScaler().fit(FRAME[["n"]] / 3)
        scale = json.loads(mf.dumps(mf.export(t, ["n"])))["features"][0]["transforms"][1]["scale"]
        self.assertEqual((scale["mean"], scale["std"]), (t.mean_[0], t.scale_[0]))


def np_abs() -> FunctionTransformer:
    return FunctionTransformer(np.abs, feature_names_out="one-to-one")


class Doubled(StandardScaler):
    def transform(self, X: Any, copy: Any = None) -> Any:
        return 2 * super().transform(X, copy)


class Refusals(unittest.TestCase):
    def test_what_is_computed_in_float16_is_refused(self) -> None:
        frame = pd.DataFrame({"h": np.array([0.85253906, 1.5, -2.25, 1000.5], np.float16)})
        weighted = make_column_transformer(("passthrough", ["h"]))
        weighted.transformer_weights = {"passthrough": 3}
        for t in (
            StandardScaler(),
            MinMaxScaler(),
            RobustScaler(),
            cases.MaxAbsScaler(),
            cases.Binarizer(threshold=0.1),
            make_pipeline(SimpleImputer(), StandardScaler()),
            FunctionTransformer(np.clip, kw_args={"a_min": 0.1, "a_max": 1}),
            FunctionTransformer(np.log1p),
            weighted,
        ):
            with self.subTest(t), self.assertRaisesRegex(mf.NotExpressible, "^h: .*float16"):
                mf.export(t.fit(frame), frame)
        with self.assertRaisesRegex(mf.NotExpressible, "^h: .*float16"):
            mf.export(MinMaxScaler().fit(frame))  # whose fitted values tell the type

    def test_what_cannot_be_expressed_is_named(self) -> None:
        x, s = FRAME[["x"]], FRAME[["s"]]
        holed = pd.DataFrame({"s": pd.Series(["a", None, np.nan], dtype=object)})
        times = pd.DataFrame({"x": [1.0, 2.0, 4.0], "t": pd.date_range("2013-01-01", periods=3)})
        table: list[tuple[str, BaseEstimator, Any, str]] = [
            (
                "a transformer without a counterpart",
                PowerTransformer().fit(x),
                None,
                "^PowerTransformer: .*Leave it",
            ),
            (
                "one inside of others",
                make_pipeline(make_column_transformer((KNNImputer(), ["x"]))).fit(x),
                None,
                "^KNNImputer: ",
            ),
            ("a class of the user's own", Doubled().fit(x), None, "^Doubled: "),
            (
                "another function",
                FunctionTransformer(np.sqrt).fit(x),
                None,
                "^FunctionTransformer: sqrt is none of",
            ),
            (
                "a function of the user's own",
                FunctionTransformer(lambda x: x).fit(x),
                None,
                "<lambda> is none of",
            ),
            (
                "another missing value",
                SimpleImputer(missing_values=-1).fit(x),
                None,
                "^SimpleImputer: missing_values=-1; ",
            ),
            (
                "an indicator that raises",
                MissingIndicator().fit(FRAME[["x", "y"]]),
                None,
                "error_on_new=False",
            ),
            (
                "None and NaN as two categories",
                OneHotEncoder().fit(holed),
                None,
                "^s: None and NaN are both",
            ),
            (
                "a column without a value",
                StandardScaler().fit(x * np.nan),
                FRAME,
                "^x: a fitted parameter is nan",
            ),
            (
                "no names",
                StandardScaler().fit(x.to_numpy()),
                None,
                "was fitted without column names",
            ),
            (
                "too few names",
                StandardScaler().fit(FRAME[["x", "n"]]),
                ["x"],
                r"fitted on 2 columns \(x, n\); 1 are named: x",
            ),
            (
                "dates as categories",
                OrdinalEncoder().fit(pd.DataFrame({"d": pd.to_datetime(["2013-01-01"])})),
                None,
                "^d: .*no text, number",
            ),
            (
                "times that are scaled",
                StandardScaler().fit(times[["t"]]),
                times,
                r"^t is a time \(datetime64.*\), .*part: epoch",
            ),
            (
                "times with a zone, of which Arrow's schema tells",
                RobustScaler().fit(times[["t"]]),
                pa.schema({"t": pa.timestamp("us", "UTC")}),
                "^t is a time .*part: epoch",
            ),
            (
                "times that pass",
                make_column_transformer(("passthrough", ["t"])).fit(times),
                {"x": "float32", "t": "datetime64[ns]"},
                "^t is a time",
            ),
            (
                "a text that is a word of fill",
                SimpleImputer(strategy="constant", fill_value="reject").fit(s),
                None,
                "^s: 'reject'",
            ),
        ]
        for sentence, transformer, columns, message in table:
            with (
                self.subTest(sentence),
                self.assertRaisesRegex(mf.NotExpressible, message),
                np.errstate(all="ignore"),
            ):
                mf.export(transformer, columns)

    def test_what_is_not_fitted_is_refused_by_sklearn(self) -> None:
        with self.assertRaises(NotFittedError):
            mf.export(StandardScaler(), ["x"])


class CommandLine(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        self.model = str(self.folder / "model.joblib")

    def test_what_is_assumed_is_said(self) -> None:
        joblib.dump(StandardScaler().fit(FRAME[["x"]]), self.model)
        code, out, err = self.run_main()
        self.assertEqual((code, out[:1]), (0, "{"))
        self.assertRegex(err, "float64 is assumed")

    def run_main(self, *arguments: str) -> tuple[int, str, str]:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = mf.main([self.model, *arguments])
        return code, out.getvalue(), err.getvalue()

    def test_a_dumped_pipeline_becomes_a_file(self) -> None:
        t = make_pipeline(SimpleImputer(), StandardScaler()).fit(FRAME[["x"]])
        joblib.dump(t, self.model)
        cases.pa.parquet.write_table(
            cases.pa.Table.from_pandas(FRAME), self.folder / "train.parquet"
        )
        file = self.folder / "fitted.json"
        code, out, err = self.run_main(
            "--data", str(self.folder / "train.parquet"), "-o", str(file)
        )
        self.assertEqual((code, out, err), (0, "", ""))
        self.assertEqual(json.loads(file.read_text()), mf.export(t, FRAME))

    def test_it_goes_to_standard_output_by_default(self) -> None:
        joblib.dump(MinMaxScaler().fit(FRAME[["n"]].to_numpy()), self.model)
        code, out, err = self.run_main("--columns", "n")
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(json.loads(out)["features"][0]["column"], "n")

    def test_what_fails_says_why(self) -> None:
        joblib.dump(PowerTransformer().fit(FRAME[["x"]]), self.model)
        code, out, err = self.run_main()
        self.assertEqual((code, out), (1, ""))
        self.assertRegex(err, r"^millrace_features.py: .*model.joblib: PowerTransformer: ")
        joblib.dump(MinMaxScaler().fit(FRAME[["x"]]), self.model)
        code, out, err = self.run_main("-o", str(self.folder / "gone" / "fitted.json"))
        self.assertEqual((code, out), (1, ""))
        self.assertRegex(err, "^millrace_features.py: .*No such file or directory: .*fitted.json")
        Path(self.model).write_text("no pickle")
        self.assertRegex(self.run_main()[2], "cannot be loaded as a pickle")
        self.model += ".gone"
        self.assertRegex(self.run_main()[2], "No such file")


if __name__ == "__main__":
    unittest.main()
