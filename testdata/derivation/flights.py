"""The wide table: 3 million flights of 2001 with 32 float32 features each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from derivation.files import RAW, float_column
from derivation.history import (
    MINUTES_PER_DAY,
    Daily,
    Floats,
    Ints,
    flights_today,
    last_delay,
)


@dataclass(frozen=True)
class Flights:
    """flights-3m.parquet as whole numbers, in file order (by departure)."""

    minute: Ints  # since 2001-01-01 00:00, local time of the origin
    delay: Ints  # minutes, negative is early
    distance: Ints  # miles
    origin: Ints  # airport codes as indices into `airports`
    destination: Ints
    airports: int

    @property
    def day(self) -> Ints:
        return self.minute // MINUTES_PER_DAY

    @property
    def days(self) -> int:
        return int(self.day.max()) + 1

    @property
    def hour(self) -> Ints:
        return self.minute % MINUTES_PER_DAY // 60

    @property
    def weekday(self) -> Ints:
        return self.day % 7  # 2001-01-01 was a Monday: 0 is Monday

    def daily(self, group: Ints, groups: int) -> Daily:
        return Daily.of(group, groups, self.day, self.days, self.delay)


def read_flights() -> Flights:
    table = pq.read_table(RAW / "flights-3m.parquet")
    codes = pc.unique(pa.chunked_array(table["origin"].chunks + table["destination"].chunks)).sort()
    start = np.datetime64("2001-01-01T00:00", "m")
    minute = table["date"].to_numpy().astype("datetime64[m]") - start

    def index(column: str) -> Ints:
        return pc.index_in(table[column], codes).to_numpy().astype(np.int64)

    return Flights(
        minute=minute.astype(np.int64),
        delay=table["delay"].to_numpy(),
        distance=table["distance"].to_numpy(),
        origin=index("origin"),
        destination=index("destination"),
        airports=len(codes),
    )


def wide_table(flights: Flights) -> pa.Table:
    """Makes columns `id`, the 32 features in their order, and the target `delay`."""
    features = _calendar(flights) | _distance(flights) | _history(flights)
    assert len(features) == 32, len(features)
    columns: dict[str, pa.Array] = {"id": pa.array(np.arange(len(flights.minute)))}
    columns |= {name: float_column(values) for name, values in features.items()}
    columns["delay"] = pa.array(flights.delay.astype(np.float32))
    return pa.table(columns)


def _calendar(f: Flights) -> dict[str, Floats]:
    date = f.day.astype("timedelta64[D]") + np.datetime64("2001-01-01", "D")
    month = date.astype("datetime64[M]")
    minute_of_day = f.minute % MINUTES_PER_DAY
    minute_sin, minute_cos = _circle(minute_of_day, MINUTES_PER_DAY)
    weekday_sin, weekday_cos = _circle(f.weekday, 7)
    columns = {
        "month": month.astype(np.int64) % 12 + 1,
        "day": (date - month).astype(np.int64) + 1,
        "weekday": f.weekday,
        "day_of_year": f.day + 1,
        "hour": f.hour,
        "minute_of_day": minute_of_day,
        "minute_sin": minute_sin,
        "minute_cos": minute_cos,
        "weekday_sin": weekday_sin,
        "weekday_cos": weekday_cos,
        "is_weekend": f.weekday >= 5,
    }
    return {name: values.astype(np.float64) for name, values in columns.items()}


def _distance(f: Flights) -> dict[str, Floats]:
    return {
        "distance": f.distance.astype(np.float64),
        "log_distance": np.round(np.log(f.distance) * 256) / 256,
    }


def _history(f: Flights) -> dict[str, Floats]:
    """History of network, airports and route, from earlier days and flights only."""
    routes, route = np.unique(f.origin * f.airports + f.destination, return_inverse=True)
    by_origin = f.daily(f.origin, f.airports)
    by_dest = f.daily(f.destination, f.airports)
    by_origin_hour = f.daily(f.origin * 24 + f.hour, f.airports * 24)
    by_dest_hour = f.daily(f.destination * 24 + f.hour, f.airports * 24)
    by_route = f.daily(route, len(routes))
    network = f.daily(np.zeros_like(f.day), 1)
    route_last, route_days_ago = last_delay(route, f.minute, f.delay)
    return {
        "network_mean_delay_1d": network.mean_delay(1),
        "network_late_share_1d": network.late_share(1),
        "origin_flights_7d": by_origin.flights_per_day(7),
        "origin_flights_today": flights_today(f.origin, f.minute).astype(np.float64),
        "origin_mean_delay_1d": by_origin.mean_delay(1),
        "origin_mean_delay_7d": by_origin.mean_delay(7),
        "origin_late_share_7d": by_origin.late_share(7),
        "origin_hour_mean_delay_28d": by_origin_hour.mean_delay(28),
        "dest_flights_7d": by_dest.flights_per_day(7),
        "dest_mean_delay_1d": by_dest.mean_delay(1),
        "dest_mean_delay_7d": by_dest.mean_delay(7),
        "dest_late_share_7d": by_dest.late_share(7),
        "dest_hour_mean_delay_28d": by_dest_hour.mean_delay(28),
        "route_flights_7d": by_route.flights_per_day(7),
        "route_mean_delay_28d": by_route.mean_delay(28),
        "route_std_delay_28d": by_route.std_delay(28),
        "route_late_share_28d": by_route.late_share(28),
        "route_last_delay": route_last,
        "route_days_since_last": route_days_ago,
    }


def _circle(position: Ints, period: int) -> tuple[npt.NDArray, npt.NDArray]:
    """Position on a circle. Rounded, so that no libm's last bit shows."""
    angle = 2 * np.pi * position / period
    return np.round(np.sin(angle) * 1024) / 1024, np.round(np.cos(angle) * 1024) / 1024
