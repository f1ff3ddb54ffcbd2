"""A histogram that costs little to observe, and the bounds of the buckets that ours have."""

from bisect import bisect_left

import prometheus_client
from prometheus_client.samples import Exemplar

# Seconds.
FINE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0)
REQUEST_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
# Numbers of things.
SIZE_BUCKETS = (1, 2, 4, 8, 16, 32)


class _Value:
    """A number without the lock of prometheus_client's: all observing and all scraping is the event loop's."""

    __slots__ = ("exemplar", "value")

    def __init__(self) -> None:
        self.value = 0.0
        self.exemplar: Exemplar | None = None

    def inc(self, amount: float) -> None:
        self.value += amount

    def get(self) -> float:
        return self.value

    def set_exemplar(self, exemplar: Exemplar) -> None:
        self.exemplar = exemplar

    def get_exemplar(self) -> Exemplar | None:
        return self.exemplar


class Histogram(prometheus_client.Histogram):
    """prometheus_client's, at a fifth of the cost: seven are observed for every request."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._sum = _Value()
        self._buckets = [_Value() for _ in self._upper_bounds]

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        if exemplar is not None:
            super().observe(amount, exemplar)
            return
        self._sum.value += amount
        self._buckets[bisect_left(self._upper_bounds, amount)].value += 1
