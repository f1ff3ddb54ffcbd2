"""Slots: alone one may have everything, beside others so many; and nothing stays behind whatever ends a wait."""

import asyncio
import itertools

import pytest

from service.http.capacity import Capacity
from service.http.slots import Slot, Slots
from service.http.unsent import Backlog, Unsent
from service.problems import TooManyRequests


def make(slots: int, queue: int, *, timeout_seconds: float = 1, unsent: Unsent | None = None) -> Slots:
    return Slots(Capacity(20, slots, queue), unsent or Unsent(), timeout_seconds=timeout_seconds)


async def acquire(slots: Slots, user: str) -> Slot:
    slot = Slot(slots)
    await slot.acquire(user)
    return slot


async def settled() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_user_who_is_alone_has_everything() -> None:
    slots = make(2, 0)
    for slot in [await acquire(slots, "ada") for _ in range(50)]:
        slot.release()
    assert slots._users == {}


async def test_beside_another_user_the_slots_bind_and_the_rest_waits_in_turn() -> None:
    slots = make(2, 10)
    other = await acquire(slots, "bob")
    taken = [await acquire(slots, "ada") for _ in range(2)]
    order: list[int] = []

    async def wait(number: int) -> Slot:
        slot = await acquire(slots, "ada")
        order.append(number)
        return slot

    waiting = [asyncio.create_task(wait(number)) for number in range(3)]
    await settled()
    assert order == []
    second = await acquire(slots, "bob")  # overtakes all of them
    taken[0].release()
    await settled()
    assert order == [0]
    other.release()
    second.release()  # ada is alone now
    await settled()
    assert order == [0, 1, 2]
    for slot in (taken[1], *[task.result() for task in waiting]):
        slot.release()
    assert slots._users == {}


async def test_beyond_the_queue_a_request_is_refused() -> None:
    slots = make(1, 1)
    others = [await acquire(slots, user) for user in ("bob", "ada")]
    queued = asyncio.create_task(acquire(slots, "ada"))
    await settled()
    with pytest.raises(TooManyRequests):
        await acquire(slots, "ada")
    others[1].release()
    (await queued).release()
    others[0].release()
    assert slots._users == {}


@pytest.mark.parametrize("order", list(itertools.permutations(["cancel", "release", "turn"])))
async def test_one_who_leaves_the_queue_leaves_nothing_behind(order: tuple[str, ...]) -> None:
    """Cancelled before or after the slot is free, in the same turn of the loop or not."""
    slots = make(1, 5)
    bob, ada = [await acquire(slots, user) for user in ("bob", "ada")]
    leaving = asyncio.create_task(acquire(slots, "ada"))
    await settled()
    for step in order:
        if step == "cancel":
            leaving.cancel()
        elif step == "release":
            ada.release()
        else:
            await settled()
    result = (await asyncio.gather(leaving, return_exceptions=True))[0]
    if isinstance(result, Slot):
        result.release()
    assert slots.waiting() == 0
    assert set(slots._users) == {"bob"}, "else nobody would ever be alone again"
    alone = [await acquire(slots, "bob") for _ in range(5)]
    for slot in (bob, *alone):
        slot.release()
    assert slots._users == {}


@pytest.mark.parametrize("released_first", [False, True])
async def test_one_who_leaves_in_the_queue_takes_no_turn_along(*, released_first: bool) -> None:
    slots = make(1, 10)
    bob, ada = [await acquire(slots, user) for user in ("bob", "ada")]
    leaving, staying = (asyncio.create_task(acquire(slots, "ada")) for _ in range(2))
    await settled()
    if released_first:
        ada.release()
    leaving.cancel()
    if not released_first:
        ada.release()
    slot = await staying
    assert leaving.cancelled()
    assert slots._users["ada"].running == 1
    for one in (bob, slot):
        one.release()
    assert slots._users == {}


async def test_a_request_that_is_over_takes_no_slot_any_more() -> None:
    slots = make(1, 0)
    slot = Slot(slots)
    slot.release()
    await slot.acquire("ada")
    assert slots._users == {}


async def test_a_slot_that_does_not_come_in_time_is_refused_and_leaves_nothing_behind() -> None:
    slots = make(1, 10, timeout_seconds=0.05)
    others = [await acquire(slots, user) for user in ("bob", "ada")]
    for answer in await asyncio.gather(*(acquire(slots, "ada") for _ in range(3)), return_exceptions=True):
        assert isinstance(answer, TooManyRequests)
    assert slots.waiting() == 0
    for slot in others:
        slot.release()
    assert slots._users == {}


async def test_one_user_alone_does_not_make_the_service_look_full() -> None:
    slots = make(1, 100)
    visible = Capacity(20).visible_per_user
    others = [await acquire(slots, user) for user in ("bob", "ada", "eve")]
    queued = [asyncio.create_task(acquire(slots, "ada")) for _ in range(50)]
    await settled()
    assert slots.waiting() == visible
    queued.append(asyncio.create_task(acquire(slots, "eve")))
    await settled()
    assert slots.waiting() == visible + 1
    for task in queued:
        task.cancel()
    await asyncio.gather(*queued, return_exceptions=True)
    assert slots.waiting() == 0
    for slot in others:
        slot.release()
    assert slots._users == {}


class Reader:
    """A connection whose client is behind by `left` bytes."""

    def __init__(self, unsent: Unsent, left: int) -> None:
        self._unsent = unsent
        self.left = left
        self.backlog = Backlog(lambda: self.left)
        self.reason = ""

    def cut(self, reason: str) -> None:
        self.reason = reason
        self.left = 0
        self._unsent.remove(self)


async def test_a_user_whose_answers_are_not_taken_waits_until_they_are() -> None:
    unsent = Unsent(user_max=100, total_max=1000)
    slots = make(4, 10, unsent=unsent)
    readers = [Reader(unsent, 60), Reader(unsent, 60)]
    for reader in readers:
        unsent.add(reader, "ada")
    queued = asyncio.create_task(acquire(slots, "ada"))
    await settled()
    assert not queued.done()
    (await acquire(slots, "bob")).release()
    readers[0].left = 0
    unsent.remove(readers[0])
    (await queued).release()
    assert slots._users == {}
    assert [reader.reason for reader in readers] == ["", ""]


async def test_a_user_whose_answers_are_never_taken_is_refused() -> None:
    unsent = Unsent(user_max=100, total_max=1000)
    slots = make(4, 10, unsent=unsent, timeout_seconds=0.02)
    unsent.add(Reader(unsent, 100), "ada")
    with pytest.raises(TooManyRequests):
        await acquire(slots, "ada")
    assert slots._users == {}


async def test_when_all_leave_too_much_whoever_takes_nothing_for_longest_is_cut() -> None:
    unsent = Unsent(user_max=100, total_max=250)
    stalled, reading = Reader(unsent, 100), Reader(unsent, 100)
    unsent.add(stalled, "ada")
    unsent.add(reading, None)
    await asyncio.sleep(0.02)
    reading.left = 90
    last = Reader(unsent, 100)
    unsent.add(last, "bob")
    assert (stalled.reason, reading.reason, last.reason) == ("unsent_limit", "", "")
    assert unsent.total() == 190
    unsent.add(Reader(unsent, 50), "bob")
    another = Reader(unsent, 60)
    unsent.add(another, "bob")
    assert (last.reason, another.reason) == ("unsent_limit", ""), "twice what one user may have"
