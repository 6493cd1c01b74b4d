"""What was known before a flight left: sums over earlier days, and earlier flights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

LATE_MINUTES = 15  # the usual definition of a late flight
MINUTES_PER_DAY = 1440

# "The last flight" must have left this long ago, so that its delay was known.
LAG_MINUTES = 12 * 60


@dataclass(frozen=True)
class Daily:
    """Sums per group and day, and the cell of each flight in them.

    A group is an airport, a route, an airport at one hour, ... All sums are of
    whole minutes, so they are exact and do not depend on the order of addition.
    """

    cell: Ints  # per flight: group * days + day
    days: int
    flights: Ints  # [groups, days]
    delay: Ints
    delay_squared: Ints
    late: Ints

    @classmethod
    def of(cls, group: Ints, groups: int, day: Ints, days: int, delay: Ints) -> Daily:
        cell = group * days + day
        size = groups * days

        def total(weights: npt.NDArray[np.generic] | None = None) -> Ints:
            # bincount adds in float64: exact below 2**53, far above any sum here.
            return np.bincount(cell, weights, size).astype(np.int64).reshape(groups, days)

        return cls(
            cell,
            days,
            flights=total(),
            delay=total(delay),
            delay_squared=total(delay * delay),
            late=total(delay >= LATE_MINUTES),
        )

    def mean_delay(self, window: int) -> Floats:
        """Mean delay in minutes over the previous `window` days; NaN without flights."""
        return _round(self._at(self._ratio(self.delay, window)), 0.25)

    def late_share(self, window: int) -> Floats:
        """Share of flights that were late over the previous `window` days."""
        return _round(self._at(self._ratio(self.late, window)), 1 / 64)

    def std_delay(self, window: int) -> Floats:
        """Standard deviation of the delay in minutes; NaN below two flights."""
        n = _before(self.flights, window)
        s = _before(self.delay, window)
        squares = _before(self.delay_squared, window)
        with np.errstate(divide="ignore", invalid="ignore"):
            # n * squares - s * s is a whole number: no cancellation to speak of.
            variance = (n * squares - s * s) / (n * (n - 1.0))
        std = np.sqrt(np.where(n >= 2, variance, np.nan))
        return _round(self._at(std), 0.5)

    def flights_per_day(self, window: int) -> Floats:
        """Mean number of flights a day over the previous `window` days; NaN on day one."""
        known = np.minimum(np.arange(self.days), window).astype(np.float64)
        known[0] = np.nan
        return _round(self._at(_before(self.flights, window) / known), 1.0)

    def _ratio(self, numerator: Ints, window: int) -> Floats:
        n = _before(self.flights, window)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(n > 0, _before(numerator, window) / n, np.nan)

    def _at(self, per_cell: Floats) -> Floats:
        return per_cell.reshape(-1)[self.cell]


def last_delay(group: Ints, minute: Ints, delay: Ints) -> tuple[Floats, Floats]:
    """Delay of the group's last known flight, and how many days ago it left.

    Known means: it left at least LAG_MINUTES before. Both are NaN without one.
    """
    keys, order = _sorted_keys(group, minute)
    key = _key(group, minute)
    at = np.searchsorted(keys, key - LAG_MINUTES, side="right") - 1
    last = order[np.maximum(at, 0)]
    found = (at >= 0) & (group[last] == group)
    ago = (minute - minute[last]) / MINUTES_PER_DAY
    return np.where(found, delay[last], np.nan), _round(np.where(found, ago, np.nan), 0.25)


def flights_today(group: Ints, minute: Ints) -> Ints:
    """How many flights of the group left earlier on the same day."""
    keys, _ = _sorted_keys(group, minute)
    midnight = minute - minute % MINUTES_PER_DAY
    earlier = np.searchsorted(keys, _key(group, minute), side="left")
    return earlier - np.searchsorted(keys, _key(group, midnight), side="left")


def _before(per_day: Ints, window: int) -> Ints:
    """Sums over days [d - window, d) for each day d: today is never in its own history."""
    groups, days = per_day.shape
    running = np.zeros((groups, days + 1), np.int64)
    np.cumsum(per_day, axis=1, out=running[:, 1:])
    end = np.arange(days)
    return running[:, end] - running[:, np.maximum(end - window, 0)]


def _round(values: Floats, step: float) -> Floats:
    """Rounds to a precision that means something; `step` is a power of two times a minute."""
    return np.round(values / step) * step


def _key(group: Ints, minute: Ints) -> Ints:
    # Groups lie a year apart, so a lag never reaches into the group before.
    return group * (366 * MINUTES_PER_DAY) + minute + LAG_MINUTES


def _sorted_keys(group: Ints, minute: Ints) -> tuple[Ints, Ints]:
    key = _key(group, minute)
    order = np.argsort(key, kind="stable")
    return key[order], order
