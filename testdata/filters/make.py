"""Makes rows.parquet and expected.json: which rows pass filters, by DuckDB and pyarrow.

    .venv-peers/bin/python testdata/filters/make.py

Random expressions on random rows are written in three languages: millrace's, SQL for
DuckDB, and calls of pyarrow.compute with Kleene's logic. Where both engines can say what
passes they must agree, or the script fails. DuckDB sorts NaN above all numbers, so what
has to do with the column f, which has some, is pyarrow's alone; arithmetic is DuckDB's.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
ROWS, EXPRESSIONS, GROUP = 600, 500, 50
BIG = 2**53
INTS = [0, 1, -1, 5, 7, BIG, BIG + 1, BIG + 2, -BIG - 1, 2**63 - 1, -(2**63), 12345]
UINTS = [0, 1, 5, 7, BIG, BIG + 1, 2**63 - 1, 2**63, 2**64 - 2, 2**64 - 1]
SMALL = [-128, -5, -1, 0, 1, 2, 3, 5, 100, 127]
FLOATS = [0.0, -0.0, 0.1, 0.5, -1.5, 1e300, -1e300, math.inf, -math.inf, 5.0]
PRICES = ["0.00", "0.01", "-0.01", "10.25", "99.99", "-99999.99", "123456789012.34"]
TEXTS = ["", "a", "aa", "ab", "EWR", "JFK", "LGA", "é", "z" * 20, "a longer text", "100%"]
CODES = ["AA", "UA", "DL", "", "B6"]
DAYS = [dt.date(1969, 12, 31), dt.date(1970, 1, 1), dt.date(2013, 1, 1), dt.date(2013, 7, 4)]
TIMES = [
    dt.datetime(1969, 12, 31, 23, 59, 59, 999000),
    dt.datetime(1970, 1, 1),
    dt.datetime(2013, 1, 1, 5, 0, 0, 1000),
    dt.datetime(2013, 7, 4, 12, 30),
]
UTC = dt.timezone.utc


@dataclass
class Expr:
    """One condition in three languages; sql or calls is None where it cannot be said."""

    text: str
    sql: str | None
    calls: Callable[[pa.Table], pa.ChunkedArray] | None


def table(rng: random.Random) -> pa.Table:
    def column(values: list, kind: pa.DataType) -> pa.Array:
        nulls = [None] * max(1, len(values) // 6)
        # Sorted in stretches, so that statistics of row groups tell something.
        drawn: list = []
        while len(drawn) < ROWS:
            few = rng.sample(values + nulls, 3)
            drawn += [rng.choice(few) for _ in range(rng.choice([7, GROUP, GROUP]))]
        return pa.array(drawn[:ROWS], kind)

    zoned = [t.replace(tzinfo=UTC, microsecond=0) for t in TIMES]
    return pa.table(
        {
            "row": pa.array(range(ROWS), pa.int32()),
            "i": column(INTS, pa.int64()),
            "j": column(INTS, pa.int64()),
            "u": column(UINTS, pa.uint64()),
            "small": column(SMALL, pa.int8()),
            "f": column([*FLOATS, math.nan], pa.float64()),
            "g": column(FLOATS, pa.float64()),
            "f32": column(FLOATS, pa.float32()),
            "price": column([decimal.Decimal(p) for p in PRICES], pa.decimal128(20, 2)),
            "s": column(TEXTS, pa.string()),
            "t": column(TEXTS, pa.large_string()),
            "code": column(CODES, pa.dictionary(pa.int8(), pa.string())),
            "b": column([True, False], pa.bool_()),
            "c": column([True, False], pa.bool_()),
            "day": column(DAYS, pa.date32()),
            "at": column(TIMES, pa.timestamp("ms")),
            "zoned": column(zoned, pa.timestamp("s", "UTC")),
        }
    )


COMPARE = {
    "==": ("=", pc.equal),
    "!=": ("<>", pc.not_equal),
    "<": ("<", pc.less),
    "<=": ("<=", pc.less_equal),
    ">": (">", pc.greater),
    ">=": (">=", pc.greater_equal),
}
FLIPPED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def literals(rng: random.Random, name: str, kind: pa.DataType) -> tuple[str, str, pa.Scalar]:
    """A value of a column's type: as millrace and SQL write it, and pyarrow's."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_decimal(kind):
        value = decimal.Decimal(rng.choice(PRICES)) + rng.choice([0, 0, 1])
        return str(value), f"{value}::DECIMAL(20,2)", pa.scalar(value, kind)
    if pa.types.is_floating(kind):
        most = 1e38 if kind == pa.float32() else 1e308
        value = rng.choice([v for v in FLOATS if abs(v) < most] + [0.1, 2.5])
        sql = f"{value!r}::{'FLOAT' if kind == pa.float32() else 'DOUBLE'}"
        return repr(value), sql, pa.scalar(value, kind)
    if pa.types.is_date(kind):
        value = rng.choice(DAYS) + dt.timedelta(days=rng.choice([-1, 0, 0, 1]))
        return f'"{value}"', f"DATE '{value}'", pa.scalar(value, kind)
    if pa.types.is_timestamp(kind) and kind.tz:
        value = rng.choice(TIMES).replace(microsecond=0, tzinfo=UTC)
        there = value.astimezone(dt.timezone(dt.timedelta(hours=rng.choice([-5, 0, 2]))))
        text = there.isoformat()
        return f'"{text}"', f"TIMESTAMPTZ '{there.isoformat(sep=' ')}'", pa.scalar(value, kind)
    if pa.types.is_timestamp(kind):
        value = rng.choice(TIMES) + dt.timedelta(milliseconds=rng.choice([-1, 0, 0, 1]))
        return f'"{value.isoformat()}"', f"TIMESTAMP '{value}'", pa.scalar(value, kind)
    if pa.types.is_integer(kind):
        values = {"u": UINTS, "small": SMALL}.get(name, INTS)
        value = rng.choice(values)
        return str(value), f"({value})::{'UBIGINT' if name == 'u' else 'BIGINT'}", pa.scalar(value, kind)
    value = rng.choice(CODES if name == "code" else TEXTS)
    return json.dumps(value, ensure_ascii=False), quoted(value), pa.scalar(value, pa.string())


def plain(t: pa.Table, name: str) -> pa.ChunkedArray:
    column = t[name]
    return column.cast(pa.string()) if pa.types.is_dictionary(column.type) else column


COLUMNS = ["i", "j", "u", "small", "f", "g", "f32", "price", "s", "t", "code", "day", "at", "zoned"]
PAIRS = [("i", "j"), ("i", "u"), ("small", "i"), ("u", "small"), ("s", "t"), ("s", "code"), ("at", "day"), ("b", "c")]
TEXT_TESTS = {
    "startsWith": ("starts_with({}, {})", pc.starts_with),
    "endsWith": ("suffix({}, {})", pc.ends_with),
    "contains": ("contains({}, {})", pc.match_substring),
    "matches": ("regexp_matches({}, {})", pc.match_substring_regex),
}


def leaf(rng: random.Random, t: pa.Table) -> Expr:
    name = rng.choice(COLUMNS)
    kind = t.schema.field(name).type
    sql_ok = name != "f"
    match rng.choice(["compare"] * 5 + ["null", "in", "text", "bool", "pair", "arithmetic"]):
        case "compare":
            op = rng.choice(list(COMPARE))
            sql, call = COMPARE[op]
            text, in_sql, scalar = literals(rng, name, kind)
            written = f"{name} {op} {text}"
            if rng.random() < 0.2:
                written = f"{text} {FLIPPED[op]} {name}"
            return Expr(written, f'"{name}" {sql} {in_sql}' if sql_ok else None, lambda t: call(plain(t, name), scalar))
        case "null":
            name = rng.choice(t.schema.names[1:])
            if rng.random() < 0.5:
                return Expr(f"{name} == nil", f'"{name}" IS NULL', lambda t: pc.is_null(t[name]))
            return Expr(f"{name} != nil", f'"{name}" IS NOT NULL', lambda t: pc.is_valid(t[name]))
        case "in":
            values = [literals(rng, name, kind) for _ in range(rng.choice([1, 3, 6]))]
            text = f"{name} in [{', '.join(v[0] for v in values)}]"
            listed = ", ".join(v[1] for v in values)
            sql = f'"{name}" IN ({listed})' if sql_ok else None

            def among(t: pa.Table) -> pa.ChunkedArray:
                out = pc.equal(plain(t, name), values[0][2])
                for v in values[1:]:
                    out = pc.or_kleene(out, pc.equal(plain(t, name), v[2]))
                return out

            return Expr(text, sql, among)
        case "text":
            name = rng.choice(["s", "t", "code"])
            op = rng.choice(list(TEXT_TESTS))
            value = rng.choice([*TEXTS, *CODES])
            if op == "matches":
                value = rng.choice(["^a", "[A-K]", "a.*t$", "^$", "é", "^.{3}$"])
            sql, call = TEXT_TESTS[op]
            written = f"{name} {op} {json.dumps(value, ensure_ascii=False)}"
            return Expr(written, sql.format(name, quoted(value)), lambda t: call(plain(t, name), value))
        case "bool":
            name = rng.choice(["b", "c"])
            return Expr(name, name, lambda t: t[name])
        case "pair":
            a, b = rng.choice(PAIRS)
            op = rng.choice(["==", "!="] if a == "b" else list(COMPARE))
            return Expr(f"{a} {op} {b}", f'"{a}" {COMPARE[op][0]} "{b}"', None)
        case _:
            op = rng.choice(list(COMPARE))
            n, m = rng.choice([1, 2, 3, -7]), rng.choice([0, 1, 5, 100])
            text, sql = rng.choice(
                [
                    (f"small * {n} + {m}", f"small::BIGINT * ({n}) + {m}"),
                    (f"small % {m}", f"small::BIGINT % {m}"),
                    (f"(small ?? {n}) - small", f"COALESCE(small::BIGINT, {n}) - small"),
                    (f"-small / {n}", f"(-small::DOUBLE) / ({n})::DOUBLE"),
                    (f"g * {m} - small", f"g * {m}::DOUBLE - small::DOUBLE"),
                ]
            )
            if "g *" in text and m == 0:
                text, sql = "g + small", "g + small::DOUBLE"  # inf * 0 is NaN
            k = rng.choice([-10, 0, 1, 3, 2.5])
            return Expr(f"{text} {op} {k}", f"{sql} {COMPARE[op][0]} {k}::DOUBLE", None)


def both(a: Expr, b: Expr, sql: str, text: str, call: Callable) -> Expr:
    return Expr(
        text.format(a.text, b.text),
        sql.format(a.sql, b.sql) if a.sql and b.sql else None,
        (lambda t: call(a.calls(t), b.calls(t))) if a.calls and b.calls else None,
    )


def tree(rng: random.Random, t: pa.Table, depth: int) -> Expr:
    if depth == 0 or rng.random() < 0.2:
        return leaf(rng, t)
    a, b = tree(rng, t, depth - 1), tree(rng, t, depth - 1)
    match rng.choice(["and", "and", "or", "or", "not", "choice", "default"]):
        case "and":
            return both(a, b, "({} AND {})", "({} && {})", pc.and_kleene)
        case "or":
            return both(a, b, "({} OR {})", "({} || {})", pc.or_kleene)
        case "not":
            return Expr(f"!({a.text})", f"(NOT ({a.sql}))" if a.sql else None, (lambda t: pc.invert(a.calls(t))) if a.calls else None)
        case "default":
            return both(a, b, "COALESCE({}, {})", "(({}) ?? ({}))", pc.coalesce)
        case _:
            c = tree(rng, t, depth - 1)
            e = both(a, b, "CASE WHEN {} THEN {} ELSE ", "(({}) ? ({}) : ", lambda x, y: (pc.fill_null(x, False), y))
            calls = (lambda t: pc.if_else(*e.calls(t), c.calls(t))) if e.calls and c.calls else None
            return Expr(f"{e.text}({c.text}))", f"{e.sql}{c.sql} END" if e.sql and c.sql else None, calls)


def main() -> None:
    rng = random.Random(6)
    t = table(rng)
    pq.write_table(t, HERE / "rows.parquet", row_group_size=GROUP, compression="zstd")
    db = duckdb.connect()
    db.execute("SET TimeZone = 'UTC'; SET error_on_division_by_zero = false")
    db.register("flights", t)
    cases, agreed = [], 0
    while len(cases) < EXPRESSIONS:
        e = tree(rng, t, rng.choice([0, 1, 2, 3]))
        by_sql = by_calls = None
        if e.sql:
            by_sql = [r for (r,) in db.execute(f"SELECT row FROM flights WHERE {e.sql} ORDER BY row").fetchall()]
        if e.calls:
            by_calls = t.filter(e.calls(t))["row"].to_pylist()
        if by_sql is None and by_calls is None:
            continue
        if by_sql is not None and by_calls is not None:
            agreed += 1
            if by_sql != by_calls:
                raise SystemExit(f"{e.text}\n{e.sql}\nDuckDB {by_sql}\npyarrow {by_calls}")
        rows = by_sql if by_sql is not None else by_calls
        by = "duckdb" if by_calls is None else "pyarrow" if by_sql is None else "both"
        bits = bytearray((ROWS + 7) // 8)
        for r in rows:
            bits[r // 8] |= 1 << r % 8
        cases.append({"where": e.text, "by": by, "count": len(rows), "rows": bits.hex()})
    out = {"duckdb": duckdb.__version__, "pyarrow": pa.__version__, "cases": cases}
    (HERE / "expected.json").write_text(json.dumps(out, ensure_ascii=False, indent=0) + "\n")
    print(len(cases), "expressions,", agreed, "by both")


if __name__ == "__main__":
    main()
