"""Bytes that no client library sends: never a 5xx, never a smuggled request, and the next client is served."""

import gzip
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.support.raw import SENTINEL, connect, exchange, parse_answers, read_to_end, request
from tests.support.server import Service
from tests.support.users import User, sign_up

GOOD = b'{"title": "x"}'
CHUNKED = b"e\r\n" + GOOD + b"\r\n0\r\n\r\n"
SMUGGLED = request("GET", "/.well-known/jwks.json", "X-Request-Id: smuggled")
JWKS = "/.well-known/jwks.json"


@dataclass(frozen=True)
class Attack:
    """`head` holds header lines of a POST of a task, or a whole request where it ends in an empty line."""

    head: bytes
    body: bytes
    status: int
    """0 where closing without an answer is an answer."""
    stays_open: bool = False


def post(*lines: str, body: bytes = GOOD, status: int = 400, stays_open: bool = False, sized: bool = True) -> Attack:
    head = "\r\n".join([*lines, *([f"Content-Length: {len(body)}"] if sized else [])])
    return Attack(head.encode("utf-8", "surrogateescape"), body, status, stays_open)


def get(data: bytes, status: int, *, stays_open: bool = False) -> Attack:
    return Attack(data, b"", status, stays_open)


def framed(*lines: str, body: bytes = GOOD, status: int = 400) -> Attack:
    """Lines that say themselves where the body ends."""
    return post(*lines, body=body, status=status, sized=False)


SIZE = len(GOOD)

SMUGGLING = {
    "length and chunked": framed(f"Content-Length: {SIZE}", "Transfer-Encoding: chunked", body=CHUNKED),
    "chunked and length": framed("Transfer-Encoding: chunked", f"Content-Length: {SIZE}", body=CHUNKED),
    "chunked hides a request": framed(
        "Content-Length: 200", "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED
    ),
    "two equal lengths": framed(f"Content-Length: {SIZE}", f"Content-Length: {SIZE}"),
    "two lengths, long first": framed("Content-Length: 200", f"Content-Length: {SIZE}", body=GOOD + SMUGGLED),
    "two lengths, short first": framed(f"Content-Length: {SIZE}", "Content-Length: 200", body=GOOD + SMUGGLED),
    "a list of lengths": framed(f"Content-Length: {SIZE}, {SIZE}"),
    "space before the colon": framed(f"Content-Length : {len(SMUGGLED)}", body=SMUGGLED),
    "tab before the colon": framed(f"Content-Length\t: {len(SMUGGLED)}", body=SMUGGLED),
    "space before the coding's colon": framed("Transfer-Encoding : chunked", body=SMUGGLED),
    "space before a name": framed("X-A: b", f" Content-Length: {len(SMUGGLED)}", body=SMUGGLED),
    "length +14": framed(f"Content-Length: +{SIZE}"),
    "length negative": framed("Content-Length: -14"),
    "length hex": framed("Content-Length: 0xe"),
    "length a word": framed("Content-Length: abc"),
    "length 1_4": framed("Content-Length: 1_4"),
    "length empty": framed("Content-Length:"),
    "length in other digits": framed("Content-Length: \u0661\u0664"),
    "length of 5,000 digits": framed("Content-Length: " + "9" * 5000),
    "length fractional": framed("Content-Length: 14.0"),
    "coding identity": framed("Transfer-Encoding: identity"),
    "coding unknown": framed("Transfer-Encoding: xchunked", body=CHUNKED),
    "coding gzip, chunked": framed("Transfer-Encoding: gzip, chunked", body=CHUNKED),
    "coding chunked, identity": framed("Transfer-Encoding: chunked, identity", body=CHUNKED),
    "coding twice": framed("Transfer-Encoding: chunked", "Transfer-Encoding: identity", body=CHUNKED),
    "coding after a vertical tab": framed("Transfer-Encoding: \x0bchunked", body=CHUNKED),
    "chunk of negative size": framed("Transfer-Encoding: chunked", body=b"-1\r\n" + GOOD + b"\r\n0\r\n\r\n"),
    "chunk size 0_e": framed("Transfer-Encoding: chunked", body=CHUNKED.replace(b"e", b"0_e", 1)),
    "chunk size a word": framed("Transfer-Encoding: chunked", body=CHUNKED.replace(b"e", b"zz", 1)),
    "chunk size missing": framed("Transfer-Encoding: chunked", body=CHUNKED[1:]),
    "chunk lines end in LF": framed("Transfer-Encoding: chunked", body=CHUNKED.replace(b"\r", b"") + b"\n\n"),
    "trailer hides a request": framed("Transfer-Encoding: chunked", body=CHUNKED[:-2] + SMUGGLED),
}

TOO_LARGE = {
    "length 163,841": framed("Content-Length: 163841", status=413),
    "length 10^23": framed("Content-Length: " + "9" * 23, status=413),
    "chunk of 16 EiB": framed("Transfer-Encoding: chunked", body=b"ffffffffffffffff\r\n" + GOOD, status=413),
    "many chunks": framed("Transfer-Encoding: chunked", body=(b"4000\r\n" + b" " * 16384 + b"\r\n") * 11, status=413),
    "a header of 33 kB": post("X-A: " + "a" * 33_000, status=431),
    "5,000 headers": post(*["X-A: b"] * 5000, status=431),
    "a URL of 33 kB": get(request("GET", "/" + "a" * 33_000), 414),
}

HEADS = {
    "line without colon": post("garbage"),
    "empty name": post(": x"),
    "folded line": post("X-A: b\r\n c"),
    "NUL in a value": post("X-A: a\0b"),
    "NUL in a name": post("X\0A: ab"),
    "CR in a value": post("X-A: a\rb"),
    "LF in a value": post("X-A: a\nb"),
    "non-ASCII name": post("X-\udcff: a"),
    "lines end in LF": get(b"GET / HTTP/1.1\nHost: x\n\n\r\n\r\n", 400),
    "no host": get(b"GET /openapi.json HTTP/1.1\r\n\r\n", 400),
    "two hosts": get(b"GET /openapi.json HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    "HTTP/2.0": get(b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 400),
    "HTTP/9": get(b"GET / HTTP/9\r\nHost: x\r\n\r\n", 400),
    "HTTP/0.9": get(b"GET /\r\n\r\n", 400),
    "HTTP/2 preface": get(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "TLS": get(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 40 + b"\r\n\r\n", 400),
    "no path": get(b"GET  HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "space in the path": get(b"GET /a b HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "NUL in the path": get(b"GET /\0 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "controls in the path": get(b"GET /\x01\x7f HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "bytes in the path": get(b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    "path without slash": get(request("GET", ".well-known/jwks.json"), 400),
    "CONNECT": get(request("CONNECT", "localhost:1"), 400),
    "unknown expectation": post("Expect: 200-ok", status=417),
    "empty lines": get(b"\r\n\r\n", 400),
    "strange host": get(b"GET /.well-known/jwks.json HTTP/1.1\r\nHost: a b/\\@#[\r\n\r\n", 400),
}

HARMLESS = {
    "bytes in a value": post("X-A: \udcff\udcfe", status=201, stays_open=True),
    "bytes in the id": post("X-Request-Id: \udcff", status=201, stays_open=True),
    "chunks with extensions": Attack(
        b"Transfer-Encoding: chunked", CHUNKED.replace(b"e", b"e;a=b", 1), 201, stays_open=True
    ),
    "bytes in the key": post("Idempotency-Key: \udcff", status=422, stays_open=True),
    "two keys": post("Idempotency-Key: a", "Idempotency-Key: b", status=422, stays_open=True),
    "gzip": post("Content-Encoding: gzip", body=gzip.compress(GOOD), status=415, stays_open=True),
    "gzip by name only": post("Content-Encoding: gzip", status=415, stays_open=True),
    "no encoding by name": post("Content-Encoding: identity", status=201, stays_open=True),
    "nested arrays": post(body=b"[" * 30_000 + b"]" * 30_000, stays_open=True),
    "nested objects": post(body=b'{"title":' * 5000 + b"1" + b"}" * 5000, stays_open=True),
    "nested in a field": post(body=b'{"title":"x","a":' + b"[" * 150 + b"]" * 150 + b"}", status=422, stays_open=True),
    "only brackets": post(body=b"[" * 60_000, stays_open=True),
    "a number of 50,000 digits": post(body=b'{"title":' + b"9" * 50_000 + b"}", status=422, stays_open=True),
    "1e999999": post(body=b'{"title":1e999999}', status=422, stays_open=True),
    "-0.0e-999": post(body=b'{"title":-0.0e-999}', status=422, stays_open=True),
    "the last of two titles": post(body=b'{"title":5,"title":"y"}', status=201, stays_open=True),
    "4,000 fields": post(body=json.dumps({f"k{n}": n for n in range(4000)}).encode(), status=422, stays_open=True),
    "a field of 60 kB": post(body=json.dumps({"k" * 60_000: 1}).encode(), status=422, stays_open=True),
    "escapes of escapes": post(body=rb'{"title":"\u005cu0000 \\u0000"}', status=201, stays_open=True),
    "160 KiB": post(body=b'{"title":"x"' + b" " * 163_827 + b"}", status=201, stays_open=True),
    "percent dots": get(request("GET", "/api/%2e%2e/.well-known/jwks.json"), 404, stays_open=True),
    "dots": get(request("GET", "/api/../.well-known/jwks.json"), 404, stays_open=True),
    "double slashes": get(request("GET", "//.well-known//jwks.json"), 404, stays_open=True),
    "another host by path": get(request("GET", "//evil.example/%2e%2e"), 404, stays_open=True),
    "%00": get(request("GET", f"{JWKS}%00"), 404, stays_open=True),
    "%zz": get(request("GET", "/%zz%"), 404, stays_open=True),
    "%ff": get(request("GET", "/%ff%fe"), 404, stays_open=True),
    "backslashes": get(request("GET", "/\\..\\[]{}|^`<>"), 404, stays_open=True),
    "OPTIONS *": get(request("OPTIONS", "*"), 204, stays_open=True),
    "lower-case method": get(request("get", JWKS), 405, stays_open=True),
    "unknown method": get(request("FOO", JWKS), 405, stays_open=True),
    "long method": get(request("A" * 200, JWKS), 405, stays_open=True),
    "TRACE": get(request("TRACE", JWKS), 405, stays_open=True),
    "the internal method": get(request("NONE", JWKS), 405, stays_open=True),
    "GET with a body": get(request("GET", JWKS, body=b"x" * 10), 200, stays_open=True),
    "strange Accept": get(request("GET", JWKS, "Accept: \udcff;q=x"), 200, stays_open=True),
    "strange cookies": get(request("GET", JWKS, 'Cookie: \udcff=\udcff; a="'), 200, stays_open=True),
    "HTTP/1.0": get(b"GET /.well-known/jwks.json HTTP/1.0\r\n\r\n", 200),
}

ATTACKS = {**SMUGGLING, **TOO_LARGE, **HEADS, **HARMLESS}


def bytes_of(attack: Attack, user: User) -> bytes:
    if attack.body or not attack.head.endswith((b"\r\n\r\n", b"\r\n", b"x" * 10)):
        start = f"POST {user.tasks} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {user.token}\r\n"
        return start.encode() + b"Content-Type: application/json\r\n" + attack.head + b"\r\n\r\n" + attack.body
    return attack.head


@pytest.fixture(scope="module")
def victim(service: Service) -> Iterator[User]:
    """Some of the attacks are good requests, which leave tasks behind."""
    with sign_up(service.url) as user:
        yield user


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_gets_its_answer_and_nothing_else(
    service: Service, victim: User, visitor: httpx.Client, name: str
) -> None:
    attack = ATTACKS[name]
    answers = exchange(service, bytes_of(attack, victim) + SENTINEL)
    assert [answer.status for answer in answers if not answer.is_sentinel] == [attack.status]
    first = answers[0]
    assert "x-request-id" in first.headers
    if attack.status >= 400:
        assert first.headers["content-type"] == "application/problem+json"
        assert first.json()["request_id"] == first.headers["x-request-id"]
    assert [answer.is_sentinel for answer in answers[1:]] == [True] * attack.stays_open
    assert (first.headers["connection"] == "close") != attack.stays_open
    assert visitor.get(JWKS).status_code == 200


def test_a_body_that_is_too_large_is_refused_before_it_is_sent(service: Service, idle_user: User) -> None:
    """The answer comes although not one byte of the body has arrived."""
    start = request("POST", idle_user.tasks, f"Authorization: Bearer {idle_user.token}", "Content-Length: 1000000000")
    with connect(service) as connection:
        connection.sendall(start)
        [answer] = parse_answers(read_to_end(connection))
    assert (answer.status, answer.json()["code"]) == (413, "too_large")
    assert answer.headers["connection"] == "close"


def test_pipelined_requests_are_answered_in_order(service: Service) -> None:
    data = b"".join(request("GET", JWKS, f"X-Request-Id: number-{number}") for number in range(20))
    answers = exchange(service, data + SENTINEL)
    assert [answer.headers["x-request-id"] for answer in answers[:-1]] == [f"number-{number}" for number in range(20)]
    assert answers[-1].is_sentinel


def test_a_client_that_expects_to_be_asked_is_asked(service: Service, victim: User) -> None:
    head = post("Expect: 100-continue", "Connection: close", status=201)
    answers = exchange(service, bytes_of(head, victim))
    assert [answer.status for answer in answers] == [100, 201]


def test_nothing_of_all_this_was_our_fault(service: Service, victim: User) -> None:
    """No attack leaves a 5xx, an unexpected error or a library's complaint in the log."""
    for attack in (*SMUGGLING.values(), *HEADS.values()):
        exchange(service, bytes_of(attack, victim) + SENTINEL)
    exchange(service, request("GET", "/nowhere", "X-Request-Id: the-last-attack", "Connection: close"))
    deadline = time.monotonic() + 5
    while "the-last-attack" not in service.log():  # lines may reach the log a moment after their answer
        assert time.monotonic() < deadline
        time.sleep(0.02)
    events = [json.loads(line) for line in service.log().splitlines()]
    assert [event for event in events if event.get("status", 0) >= 500] == []
    assert [event for event in events if event["level"] in ("error", "critical")] == []
