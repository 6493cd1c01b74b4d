"""Writes texts of CSV and JSON Lines, and what pyarrow and DuckDB read of them.

    .venv-peers/bin/python testdata/lines/make.py

expected.json has, for each file, the columns and the rows, a value as text and a null as
null. A file is kept only where both readers agree on every value.
"""

import datetime
import decimal
import gzip
import json
import pathlib
import random

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.json

here = pathlib.Path(__file__).parent
random.seed(7)


def texts() -> dict[str, bytes]:
    """The files, by name."""
    words = ["plain", "two words", "com,ma", 'quo"te', "two\nlines", "cr\r\nlf", "é", "日本", "😀", ""]
    files = {
        "quotes.csv": 'id,text,x\n1,"a ""b"" c",1.5\n2,"x,y",\n3,"l1\nl2",-2e-3\n4,"",4\n5,"é😀",5\n',
        "crlf.csv": 'a,b\r\n1,"x\r\ny"\r\n2,z\r\n',
        "nolast.csv": "a,b\n1,2\n3,4",
        "mark.csv": "\ufeffa,b\n1,2\n",
        "blank.csv": "a,b\n\n1,2\n\n\n3,4\n\n",
        "tabs.tsv": "a\tb\n1\tx,y\n2\t\"t\tu\"\n",
        "numbers.csv": "i,f\n" + "".join(
            f"{random.randrange(-2**63, 2**63)},{random.choice([random.random, lambda: random.gauss(0, 1e300), lambda: random.gauss(0, 1e-300), lambda: float(random.randrange(10**15))])()!r}\n"
            for _ in range(500)),
        "times.csv": "d,t\n" + "".join(
            f"{datetime.date(1900, 1, 1) + datetime.timedelta(days=random.randrange(80000))},"
            f"{datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=random.randrange(10**15))}\n"
            for _ in range(200)),
        "truth.csv": "a,b\ntrue,FALSE\nFalse,true\n,true\n",
    }
    rows = ["id,text,n"]
    for i in range(3000):
        word = random.choice(words)
        rows.append(f'{i},"{word.replace(chr(34), chr(34) * 2)}",{random.randrange(1000)}')
    files["long.csv"] = "\n".join(rows) + "\n"
    lines = []
    for i in range(1000):
        row = {"id": 2**53 + i, "x": random.random(), "s": random.choice(words), "ok": i % 3 == 0}
        if i % 7 == 0:
            del row["x"]
        if i % 5 == 0:
            row["s"] = None
        lines.append(json.dumps(row, ensure_ascii=i % 2 == 0))
    files["rows.jsonl"] = "\n".join(lines) + "\n"
    made = {name: text.encode() for name, text in files.items()}
    made["long.csv.gz"] = gzip.compress(made.pop("long.csv"), mtime=0)
    return made


def word(value) -> str | None:
    """A value as text, as the test writes it."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime.datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S.%f")
    if isinstance(value, float):
        return repr(value)
    return str(int(value) if isinstance(value, decimal.Decimal) else value)


def by_pyarrow(path: pathlib.Path) -> tuple[list[str], list[list]]:
    """All columns of a file."""
    if path.name.endswith(".jsonl"):
        table = pa.json.read_json(path)
    else:
        table = pa.csv.read_csv(path, parse_options=pa.csv.ParseOptions(delimiter="\t" if path.suffix == ".tsv" else ",", newlines_in_values=True),
                                convert_options=pa.csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""]))
    return table.column_names, [[word(v) for v in row.values()] for row in table.to_pylist()]


def by_duckdb(path: pathlib.Path, names: list[str]) -> list[list]:
    """The same columns; DuckDB takes an empty text in quotes for null unless it is told not to."""
    if path.name.endswith(".jsonl"):
        relation = duckdb.sql(f"select * from read_json('{path}', format='newline_delimited')")
    else:
        relation = duckdb.sql(f"select * from read_csv('{path}', header=true, quote='\"', escape='\"', allow_quoted_nulls=false, delim='{chr(9) if path.suffix == '.tsv' else ','}', sample_size=-1)")
    assert relation.columns == names, (path, relation.columns, names)
    return [[word(v) for v in row] for row in relation.fetchall()]


def main() -> None:
    """Writes all files, and what they hold."""
    expected = {}
    for name, text in texts().items():
        path = here / name
        path.write_bytes(text)
        names, rows = by_pyarrow(path)
        other = by_duckdb(path, names)
        if rows != other:
            for i, (a, b) in enumerate(zip(rows, other)):
                if a != b:
                    print(f"{name}: row {i}: pyarrow {a}, DuckDB {b}")
                    break
            raise SystemExit(f"{name}: the readers do not agree ({len(rows)} and {len(other)} rows)")
        expected[name] = {"columns": names, "rows": rows}
    (here / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, separators=(",", ":")) + "\n")


main()
