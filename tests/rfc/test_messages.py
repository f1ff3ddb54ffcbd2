"""RFC 9112: where messages begin and end, and what of their heads is taken in which way."""

import socket
from collections.abc import Iterator

import pytest

from tests.support.raw import SENTINEL, Answer, connect, exchange, parse_answers, read_to_end, request
from tests.support.server import Service
from tests.support.users import User, sign_up

JWKS = "/.well-known/jwks.json"
GOOD = b'{"title": "x"}'
CHUNKED = b"e\r\n" + GOOD + b"\r\n0\r\n\r\n"


@pytest.fixture(scope="module")
def writer(service: Service) -> Iterator[User]:
    """Somebody whose tasks do not matter."""
    with sign_up(service.url) as user:
        yield user


def create(user: User, *lines: str, body: bytes) -> bytes:
    """A POST of a task whose framing is in `lines`."""
    head = request("POST", user.tasks, f"Authorization: Bearer {user.token}", "Content-Type: application/json", *lines)
    return head + body


def first(service: Service, data: bytes, *, stays_open: bool) -> Answer:
    """The answer to `data`, and whether the connection then answers another request."""
    answers = exchange(service, data + SENTINEL)
    assert [answer.is_sentinel for answer in answers[1:]] == [True] * stays_open
    assert (answers[0].headers["connection"] == "keep-alive") == stays_open
    return answers[0]


def test_an_empty_line_before_a_request_is_ignored(service: Service, writer: User) -> None:
    assert first(service, b"\r\n" + request("GET", JWKS), stays_open=True).status == 200
    stray = create(writer, f"Content-Length: {len(GOOD)}", body=GOOD + b"\r\n")  # as some clients end a body
    assert first(service, stray, stays_open=True).status == 201


def test_an_empty_line_may_come_long_before_the_request_and_in_pieces(service: Service) -> None:
    with connect(service) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (b"\r", b"\n", *(bytes([byte]) for byte in SENTINEL)):
            connection.sendall(piece)
        [answer] = parse_answers(read_to_end(connection))
    assert (answer.status, answer.is_sentinel) == (200, True)


@pytest.mark.parametrize("coding", ["Chunked", "CHUNKED", "\tchunked \t", ", chunked", "chunked ,,"])
def test_the_chunked_coding_is_known_in_any_case_and_list(service: Service, writer: User, coding: str) -> None:
    answer = first(service, create(writer, f"Transfer-Encoding:{coding}", body=CHUNKED), stays_open=True)
    assert (answer.status, answer.json()["title"]) == (201, "x")


@pytest.mark.parametrize(
    "body",
    [
        CHUNKED.replace(b"e", b"E", 1),
        CHUNKED.replace(b"e", b"000000000000000000000000e", 1),
        CHUNKED.replace(b"e", b'e;a=b;c="d;e"', 1),
        CHUNKED.replace(b"e", b"e ;\ta = b", 1),
        CHUNKED.replace(b"e", b"e;" + b"x" * 1000, 1),
        CHUNKED.replace(b"\r\n0", b"\r\n00;last", 1),
        CHUNKED[:-2] + b"X-Sum: 1\r\nX-More:\r\n\r\n",
        b"".join(b"1\r\n%c\r\n" % byte for byte in GOOD) + b"0\r\n\r\n",
    ],
)
def test_chunks_extensions_and_trailers_are_read(service: Service, writer: User, body: bytes) -> None:
    answer = first(service, create(writer, "Transfer-Encoding: chunked", body=body), stays_open=True)
    assert (answer.status, answer.json()["title"]) == (201, "x")


def test_chunks_are_read_in_whatever_pieces_they_come(service: Service, writer: User) -> None:
    data = create(writer, "Transfer-Encoding: chunked", body=CHUNKED[:-2] + b"X-Sum: 1\r\n\r\n") + SENTINEL
    with connect(service) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in data:
            connection.sendall(bytes([byte]))
        answers = parse_answers(read_to_end(connection))
    assert [answer.status for answer in answers] == [201, 200]


@pytest.mark.parametrize(
    "body",
    [
        CHUNKED.replace(b"e", b"0xe", 1),
        CHUNKED.replace(b"e", b" e", 1),
        CHUNKED.replace(b"e", b"e ", 1),
        CHUNKED.replace(b"e", b"+e", 1),
        CHUNKED.replace(b"e", "\u0661\u0664".encode(), 1),
        CHUNKED.replace(b"e", b"e;a=\nb", 1),
        CHUNKED.replace(b"e", b"e;a=\0", 1),
        CHUNKED.replace(b"e", b"e;" + b"x" * 5000, 1),
        CHUNKED.replace(b"}\r\n", b"}XX", 1),
        CHUNKED.replace(b"}", b"}X", 1),
        CHUNKED.replace(b"e", b"d", 1),
        CHUNKED[:-2] + b"no field\r\n\r\n",
        CHUNKED[:-2] + b"X-Sum: a\0\r\n\r\n",
        CHUNKED[:-2] + b"X-Sum: 1\r\n" * 3000 + b"\r\n",
    ],
)
def test_a_chunk_that_two_servers_could_read_in_two_ways_is_refused(
    service: Service, writer: User, body: bytes
) -> None:
    before = len(writer.list(limit=500))
    answer = first(service, create(writer, "Transfer-Encoding: chunked", body=body), stays_open=False)
    assert (answer.status, answer.json()["code"]) == (400, "bad_request")
    assert len(writer.list(limit=500)) == before


@pytest.mark.parametrize(
    "lines",
    [
        ["Transfer-Encoding: gzip, chunked"],
        ["Transfer-Encoding: chunked, chunked"],
        ["Transfer-Encoding: chunked;a=b"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding:"],
        ["Transfer-Encoding: \u00a0chunked"],
        ["Transfer-Encoding: \u3000chunked"],
    ],
)
def test_any_other_coding_is_refused(service: Service, writer: User, lines: list[str]) -> None:
    assert first(service, create(writer, *lines, body=CHUNKED), stays_open=False).status == 400


def test_a_length_behind_any_other_space_is_refused(service: Service, writer: User) -> None:
    for space in ("\u00a0", "\u3000", "\u0085"):
        data = create(writer, f"Content-Length: {space}{len(GOOD)}", body=GOOD)
        assert first(service, data, stays_open=False).status == 400, space


def test_a_coding_in_http_1_0_is_refused(service: Service, writer: User) -> None:
    for lines in (["Transfer-Encoding: chunked"], ["Transfer-Encoding: chunked", "Connection: keep-alive"]):
        data = create(writer, *lines, body=CHUNKED).replace(b" HTTP/1.1", b" HTTP/1.0", 1)
        assert first(service, data, stays_open=False).status == 400


@pytest.mark.parametrize("space", [" ", "\t", " \t "])
def test_space_around_a_value_is_no_part_of_it(service: Service, writer: User, space: str) -> None:
    data = create(writer, f"Content-Length:{space}{len(GOOD)}{space}", body=GOOD)
    assert first(service, data, stays_open=True).status == 201
    fields = (f"Authorization:{space}Bearer {writer.token}{space}", f"If-None-Match:{space}*{space}")
    assert first(service, request("GET", writer.tasks, *fields), stays_open=True).status == 304


@pytest.mark.parametrize(
    "host", ["", "a", "a:80", "a:", ":80", "a.b-c_d~e", "A.EXAMPLE.", "%41", "127.0.0.1:8000", "[::1]:80", "[v1.x]"]
)
def test_a_host_of_the_right_shape_is_taken(service: Service, host: str) -> None:
    data = f"GET {JWKS} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    assert first(service, data, stays_open=True).status == 200


@pytest.mark.parametrize(
    "host", ["a b", "a/b", "a@b", "http://a", "a:b", "a:80:80", "::1", "[::1", "[::1]x", "%zz", "a#", "\u00e9"]
)
def test_any_other_host_is_refused(service: Service, host: str) -> None:
    data = f"GET {JWKS} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
    assert first(service, data, stays_open=False).status == 400


@pytest.mark.parametrize("target", [f"http://other.example{JWKS}", f"HTTP://[::1]:8000{JWKS}", f"https://a{JWKS}?x=y"])
def test_a_target_in_absolute_form_is_taken_whatever_the_host_says(service: Service, target: str) -> None:
    assert first(service, request("GET", target), stays_open=True).status == 200
    assert first(service, request("GET", target, "Host: again"), stays_open=False).status == 400
    missing = f"GET {target} HTTP/1.1\r\n\r\n".encode()
    assert first(service, missing, stays_open=False).status == 400


def test_a_character_is_the_same_however_it_is_spelt(service: Service, writer: User) -> None:
    task = writer.create()
    for path, spelt in ((writer.path(task), "-"), (JWKS, "."), (JWKS, "w"), ("/api/auth/me", "a")):
        for encoded in (f"%{ord(spelt):02x}", f"%{ord(spelt):02X}"):
            answer = writer.http.get(path.replace(spelt, encoded))
            assert (answer.status_code, answer.content) == (200, writer.http.get(path).content), encoded
    for reserved in ("%2F", "%2f", "%25", "%3A", "%00", "%"):
        assert writer.http.get(f"{writer.path(task)}{reserved}").status_code in (404, 422), reserved


@pytest.mark.parametrize("target", ["http://a", "http://a?x"])
def test_a_target_without_a_path_asks_for_the_root(service: Service, target: str) -> None:
    assert first(service, request("GET", target), stays_open=True).headers["location"] == "/docs"


@pytest.mark.parametrize(
    "line",
    [
        f"GET http://user@a{JWKS}",
        f"GET ftp://a{JWKS}",
        "GET http://a b/",
        f"GET a:80{JWKS}",
        "GET *",
        "CONNECT a:443",
        f"GET {JWKS}#part",
        f"GE(T {JWKS}",
        f"\u00e9 {JWKS}",
    ],
)
def test_any_other_request_line_is_refused(service: Service, line: str) -> None:
    data = f"{line} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
    assert first(service, data, stays_open=False).status == 400


def test_options_of_the_server_itself_lists_what_it_implements(service: Service) -> None:
    answer = first(service, request("OPTIONS", "*"), stays_open=True)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"


def test_a_request_line_of_8000_octets_is_read_and_an_endless_one_is_a_414(service: Service) -> None:
    long = f"{JWKS}?{'x' * (8000 - len(JWKS) - len('GET ? HTTP/1.1'))}"
    assert first(service, request("GET", long), stays_open=True).status == 200
    answer = first(service, request("GET", f"{JWKS}?{'x' * 40_000}"), stays_open=False)
    assert (answer.status, answer.json()["code"]) == (414, "uri_too_long")


def test_http_1_0_closes_unless_asked_not_to(service: Service) -> None:
    plain = f"GET {JWKS} HTTP/1.0\r\n\r\n".encode()
    assert first(service, plain, stays_open=False).status == 200
    kept = f"GET {JWKS} HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n".encode()
    assert first(service, kept, stays_open=True).status == 200


@pytest.mark.parametrize(
    ("lines", "stays_open"),
    [
        (["Connection: close"], False),
        (["Connection: Close"], False),
        (["Connection: close, keep-alive"], False),
        (["Connection: keep-alive,close"], False),
        (["Connection: close", "Connection: keep-alive"], False),
        (["Connection: x-option, close"], False),
        (["Connection: keep-alive"], True),
        (["Connection: x-option"], True),
        (["Connection: keep-alive, x-option"], True),
        (["Connection:"], True),
    ],
)
def test_the_close_option_decides_wherever_it_stands(service: Service, lines: list[str], *, stays_open: bool) -> None:
    assert first(service, request("GET", JWKS, *lines), stays_open=stays_open).status == 200


def test_a_client_of_http_1_0_is_never_told_to_continue(service: Service, writer: User) -> None:
    for expectation in ("100-continue", "nonsense"):
        data = create(writer, f"Expect: {expectation}", f"Content-Length: {len(GOOD)}", body=GOOD)
        assert first(service, data.replace(b" HTTP/1.1", b" HTTP/1.0", 1), stays_open=False).status == 201


def test_the_expectation_to_be_told_is_met_in_any_case(service: Service, writer: User) -> None:
    lines = ("Expect: 100-Continue", "Connection: close", f"Content-Length: {len(GOOD)}")
    with connect(service) as connection:
        connection.sendall(create(writer, *lines, body=b""))
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(GOOD)
        [answer] = parse_answers(read_to_end(connection))
    assert answer.status == 201


@pytest.mark.parametrize(
    ("line", "length", "status"),
    [("POST {tasks}", 200_000, 413), ("POST /nowhere", 5, 404), ("PUT {tasks}", 5, 405)],
)
def test_who_is_refused_by_the_head_alone_is_not_told_to_continue(
    service: Service, writer: User, line: str, length: int, status: int
) -> None:
    method, target = line.format(tasks=writer.tasks).split()
    lines = ("Expect: 100-continue", f"Authorization: Bearer {writer.token}", f"Content-Length: {length}")
    with connect(service) as connection:
        connection.sendall(request(method, target, *lines))
        connection.shutdown(socket.SHUT_WR)
        answers = parse_answers(read_to_end(connection))
    assert [answer.status for answer in answers] == [status]
    assert answers[0].headers["connection"] == "close"


def test_no_other_protocol_is_switched_to(service: Service) -> None:
    for protocol in ("h2c", "TLS/1.0", "nonsense/1"):
        lines = (f"Upgrade: {protocol}", "Connection: Upgrade")
        answer = exchange(service, request("GET", JWKS, *lines) + SENTINEL)[0]
        assert answer.status == 200
        assert "upgrade" not in answer.headers
