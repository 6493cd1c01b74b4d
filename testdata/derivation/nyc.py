"""Flights out of New York in 2013, with their plane and the weather of their hour."""

from __future__ import annotations

import io
import zipfile

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as csv

from derivation.files import RAW

WEATHER = (
    "temp",
    "dewp",
    "humid",
    "wind_dir",
    "wind_speed",
    "wind_gust",
    "precip",
    "pressure",
    "visib",
)

# Column order and types of the result; a null is a value the source lacks.
SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("time_hour", pa.timestamp("us", tz="UTC")),
        ("month", pa.int64()),
        ("day", pa.int64()),
        ("hour", pa.int64()),
        ("minute", pa.int64()),
        ("carrier", pa.string()),
        ("flight", pa.int64()),
        ("tailnum", pa.string()),
        ("origin", pa.string()),
        ("dest", pa.string()),
        ("distance", pa.int64()),
        ("manufacturer", pa.string()),
        ("plane_year", pa.int64()),
        ("seats", pa.int64()),
        *((name, pa.float32()) for name in WEATHER),
        ("arr_delay", pa.float32()),
    ]
)


def nyc_table() -> pa.Table:
    """Joins flights with planes and weather; `id` is the position in flights.csv."""
    with zipfile.ZipFile(RAW / "flights.csv.zip") as archive:
        flights = _read_csv(io.BytesIO(archive.read("flights.csv")))
    planes = _read_csv(RAW / "planes.csv").select(["tailnum", "year", "manufacturer", "seats"])
    planes = planes.rename_columns(["tailnum", "plane_year", "manufacturer", "seats"])
    weather = _read_csv(RAW / "weather.csv").select(["origin", "time_hour", *WEATHER])

    rows = flights.num_rows
    flights = flights.append_column("id", pa.array(range(rows), pa.int64()))
    joined = flights.join(planes, "tailnum").join(weather, ["origin", "time_hour"])
    if joined.num_rows != rows:
        raise ValueError(f"the joins turned {rows} flights into {joined.num_rows}")
    # A hash join promises no order.
    return joined.select(SCHEMA.names).sort_by("id").cast(SCHEMA)


def _read_csv(source: object) -> pa.Table:
    options = csv.ConvertOptions(null_values=["NA"], strings_can_be_null=True)
    return csv.read_csv(source, convert_options=options)
