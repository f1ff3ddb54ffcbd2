"""What is remembered of lists: bounded in bytes, found by user and query alone."""

from uuid import UUID

from service.tasks.page_cache import OVERHEAD_BYTES, PAGE_BYTES_MAX, KnownPage, PageCache

ALICE, BOB = UUID(int=1), UUID(int=2)


def page(size: int, clock: float = 1.0) -> KnownPage:
    return KnownPage(clock, bytes(size), None)


def test_a_page_is_found_by_its_user_and_its_query_alone() -> None:
    pages = PageCache()
    pages.keep(ALICE, "open", page(10))
    assert pages.get(ALICE, "open") == page(10)
    assert pages.get(BOB, "open") is None
    assert pages.get(ALICE, "done") is None


def test_the_latest_takes_the_place_of_the_one_before() -> None:
    pages = PageCache(2 * (100 + OVERHEAD_BYTES))
    for clock in range(10):
        pages.keep(ALICE, "open", page(100, clock))
    pages.keep(BOB, "open", page(100))
    assert pages.get(ALICE, "open") == page(100, 9)
    assert pages.get(BOB, "open") == page(100)


def test_what_was_not_asked_for_longest_goes_first() -> None:
    pages = PageCache(3 * (100 + OVERHEAD_BYTES))
    for query in ("a", "b", "c"):
        pages.keep(ALICE, query, page(100))
    pages.get(ALICE, "a")
    pages.keep(ALICE, "d", page(100))
    assert [query for query in "abcd" if pages.get(ALICE, query)] == ["a", "c", "d"]


def test_a_large_page_is_not_kept_and_its_predecessor_neither() -> None:
    pages = PageCache()
    pages.keep(ALICE, "open", page(PAGE_BYTES_MAX))
    assert pages.get(ALICE, "open") is not None
    pages.keep(ALICE, "open", page(PAGE_BYTES_MAX + 1))
    assert pages.get(ALICE, "open") is None


def test_more_is_never_kept_than_allowed() -> None:
    pages = PageCache(10_000)
    for number in range(1000):
        pages.keep(UUID(int=number), "open", KnownPage(1.0, bytes(number % 700), bytes(number % 300)))
    kept = [found for number in range(1000) if (found := pages.get(UUID(int=number), "open"))]
    assert 0 < sum(len(p.body) + len(p.last or b"") + OVERHEAD_BYTES for p in kept) <= 10_000
