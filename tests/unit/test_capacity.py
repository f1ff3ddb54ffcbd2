"""What is let in follows from the pool, whatever its size."""

import pytest

from service.http.capacity import Capacity

SIZES = range(1, 1001)


@pytest.mark.parametrize("given", [None, 1])
def test_one_user_fills_neither_the_pool_nor_the_wait_for_it(given: int | None) -> None:
    for size in SIZES:
        capacity = Capacity(size, given)
        assert 1 <= capacity.slots_per_user <= max(1, size // 2), size
        assert 1 <= capacity.visible_per_user <= capacity.waiting_max // 4, size


def test_an_operators_figure_fills_the_pool_at_the_most() -> None:
    """More is refused at start; so the next user is always the first in the pool's queue."""
    for size in SIZES:
        capacity = Capacity(size, size)
        assert capacity.slots_per_user == size
        assert capacity.visible_per_user <= capacity.waiting_max // 4


def test_the_pool_never_runs_out_of_requests() -> None:
    for size in SIZES:
        assert Capacity(size).waiting_max >= 2 * size


def test_the_default_pool_has_the_figures_of_the_documentation() -> None:
    capacity = Capacity(20)
    assert (capacity.slots_per_user, capacity.waiting_max, capacity.visible_per_user) == (4, 80, 16)
