"""A FixedSizeList column: how late the two airports of a flight have been running."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from derivation.flights import Flights
from derivation.history import Floats, Ints

EVERY = 10  # one flight in ten: 300,000 rows
HOURS, WEEKDAYS = 24, 7
WIDTH = 2 * (HOURS + WEEKDAYS + 1)


def embed_table(flights: Flights) -> pa.Table:
    """Makes columns `id` and `profile`, 64 float32 without nulls.

    The profile of a flight knows the weeks before its own:
    mean delay in minutes by hour, origin [0, 24) and destination [24, 48); by
    weekday, origin [48, 55) and destination [55, 62); ln(1 + flights a week) of
    origin [62] and destination [63].
    """
    by_hour = _mean_delay(flights, flights.hour, HOURS)
    by_weekday = _mean_delay(flights, flights.weekday, WEEKDAYS)
    volume = _log_volume(flights)[:, :, None]

    rows = slice(None, None, EVERY)
    week = _week(flights)[rows]
    ends = flights.origin[rows], flights.destination[rows]
    blocks = [table[end, week] for table in (by_hour, by_weekday, volume) for end in ends]
    profile = np.concatenate(blocks, axis=1).astype(np.float32)
    assert profile.shape[1] == WIDTH

    ids = np.arange(len(flights.minute))[rows]
    lists = pa.FixedSizeListArray.from_arrays(pa.array(profile.reshape(-1)), WIDTH)
    return pa.table({"id": pa.array(ids), "profile": lists})


def _week(flights: Flights) -> Ints:
    return flights.day // 7


def _earlier_weeks(flights: Flights, at_origin: Ints, bins: int) -> tuple[Ints, Ints]:
    """Flights and minutes of delay [airport, week, bin], summed over the weeks before.

    An airport's flights are those that left it and those that went there.
    """
    week = _week(flights)
    weeks = int(week.max()) + 1
    shape = (flights.airports, weeks, bins)
    counts = np.zeros(shape, np.int64)
    delays = np.zeros(shape, np.int64)
    for airport in (flights.origin, flights.destination):
        cell = (airport * weeks + week) * bins + at_origin
        size = counts.size
        counts += np.bincount(cell, minlength=size).reshape(shape)
        # Exact: float64 holds every whole number that these sums can reach.
        delays += np.bincount(cell, flights.delay, size).astype(np.int64).reshape(shape)
    counts = np.cumsum(counts, axis=1) - counts
    delays = np.cumsum(delays, axis=1) - delays
    return counts, delays


def _mean_delay(flights: Flights, at_origin: Ints, bins: int) -> Floats:
    """Mean delay [airport, week, bin]; a bin without flights takes the airport's mean, or 0."""
    counts, delays = _earlier_weeks(flights, at_origin, bins)
    overall = delays.sum(2, keepdims=True) / np.maximum(counts.sum(2, keepdims=True), 1)
    mean = np.where(counts > 0, delays / np.maximum(counts, 1), overall)
    return np.round(mean * 2) / 2


def _log_volume(flights: Flights) -> Floats:
    counts, _ = _earlier_weeks(flights, np.zeros_like(flights.day), 1)
    weeks = np.maximum(np.arange(counts.shape[1]), 1)
    return np.round(np.log1p(counts[:, :, 0] / weeks) * 16) / 16
