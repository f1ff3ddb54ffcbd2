"""Fair shares: alone one may have everything, beside others a share."""

import asyncio

import pytest

from service.http.shares import SEEN_PER_SHARE, Share, Shares
from service.problems import TooManyRequests


async def enter(shares: Shares, user: str) -> Share:
    share = Share(shares)
    await share.enter(user)
    return share


async def settled() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_user_who_is_alone_has_everything() -> None:
    shares = Shares(2, 0, patience=1)
    for share in [await enter(shares, "ada") for _ in range(50)]:
        share.leave()
    assert shares._users == {}


async def test_beside_another_user_a_share_binds_and_the_rest_waits_in_turn() -> None:
    shares = Shares(2, 10, patience=1)
    other = await enter(shares, "bob")
    held = [await enter(shares, "ada") for _ in range(2)]
    order: list[int] = []

    async def wait(number: int) -> Share:
        share = await enter(shares, "ada")
        order.append(number)
        return share

    waiting = [asyncio.create_task(wait(number)) for number in range(3)]
    await settled()
    assert order == []
    second = await enter(shares, "bob")  # overtakes all of them
    held[0].leave()
    await settled()
    assert order == [0]
    other.leave()
    second.leave()  # ada is alone now
    await settled()
    assert order == [0, 1, 2]
    for share in (held[1], *[task.result() for task in waiting]):
        share.leave()
    assert shares._users == {}


async def test_beyond_the_queue_a_request_is_refused() -> None:
    shares = Shares(1, 1, patience=1)
    others = [await enter(shares, user) for user in ("bob", "ada")]
    queued = asyncio.create_task(enter(shares, "ada"))
    await settled()
    with pytest.raises(TooManyRequests):
        await enter(shares, "ada")
    others[1].leave()
    (await queued).leave()
    others[0].leave()
    assert shares._users == {}


@pytest.mark.parametrize("called_up", [False, True])
async def test_a_client_that_leaves_the_queue_blocks_nobody(*, called_up: bool) -> None:
    shares = Shares(1, 5, patience=1)
    others = [await enter(shares, user) for user in ("bob", "ada")]
    gone, patient = asyncio.create_task(enter(shares, "ada")), asyncio.create_task(enter(shares, "ada"))
    await settled()
    if called_up:
        others[1].leave()  # its turn has come, and in the same moment it leaves
    gone.cancel()
    await settled()
    if not called_up:
        others[1].leave()
    (await patient).leave()
    others[0].leave()
    assert gone.cancelled()
    assert shares._users == {}


async def test_a_request_that_is_over_takes_no_share_any_more() -> None:
    shares = Shares(1, 0, patience=1)
    share = Share(shares)
    share.leave()
    await share.enter("ada")
    assert shares._users == {}


async def test_a_turn_that_does_not_come_in_time_is_refused_and_leaves_nothing_behind() -> None:
    shares = Shares(1, 10, patience=0.05)
    others = [await enter(shares, user) for user in ("bob", "ada")]
    for answer in await asyncio.gather(*(enter(shares, "ada") for _ in range(3)), return_exceptions=True):
        assert isinstance(answer, TooManyRequests)
    assert shares.waiting() == 0
    for share in others:
        share.leave()
    assert shares._users == {}


async def test_one_who_leaves_in_the_queue_takes_no_turn_along() -> None:
    """Cancelled, but not yet told so, when the turn comes."""
    shares = Shares(1, 10, patience=1)
    bob, ada = [await enter(shares, user) for user in ("bob", "ada")]
    leaving, staying = (asyncio.create_task(enter(shares, "ada")) for _ in range(2))
    await settled()
    leaving.cancel()
    ada.leave()
    share = await staying
    assert leaving.cancelled()
    assert shares._users["ada"].running == 1
    for one in (bob, share):
        one.leave()
    assert shares._users == {}


async def test_one_user_alone_does_not_make_the_service_look_full() -> None:
    shares = Shares(1, 100, patience=1)
    others = [await enter(shares, user) for user in ("bob", "ada", "eve")]
    queued = [asyncio.create_task(enter(shares, "ada")) for _ in range(50)]
    await settled()
    assert shares.waiting() == SEEN_PER_SHARE
    queued.append(asyncio.create_task(enter(shares, "eve")))
    await settled()
    assert shares.waiting() == SEEN_PER_SHARE + 1
    for task in queued:
        task.cancel()
    await asyncio.gather(*queued, return_exceptions=True)
    assert shares.waiting() == 0
    for share in others:
        share.leave()
    assert shares._users == {}
