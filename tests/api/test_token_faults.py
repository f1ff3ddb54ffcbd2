"""Whatever is wrong with a token, the answer is the same 401."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import jwt
import pytest

from tests.support.problems import assert_problem, comparable
from tests.support.raw import exchange, request
from tests.support.server import SECRET, Service
from tests.support.users import User, client

Claims = dict[str, Any]
ABSENT = object()


def valid_claims(user: User) -> Claims:
    now = int(time.time())
    return {
        "iss": "tasks-service",
        "aud": "tasks-service",
        "sub": user.id,
        "sid": str(uuid4()),
        "jti": str(uuid4()),
        "iat": now,
        "exp": now + 900,
    }


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def hs256(header: dict[str, Any], payload: bytes, secret: str = SECRET) -> str:
    """Signed by hand, so that neither header nor claims have to make sense."""
    signed = f"{b64(json.dumps(header).encode())}.{b64(payload)}"
    algorithm = jwt.get_algorithm_by_name("HS256")
    return f"{signed}.{b64(algorithm.sign(signed.encode(), algorithm.prepare_key(secret)))}"


def with_header(user: User, **header: Any) -> str:
    return hs256({"alg": "HS256", "typ": "JWT", **header}, json.dumps(valid_claims(user)).encode())


def with_claims(user: User, **changed: Any) -> str:
    claims = {k: v for k, v in {**valid_claims(user), **changed}.items() if v is not ABSENT}
    return hs256({"alg": "HS256"}, json.dumps(claims).encode())


def unsigned(user: User, algorithm: str) -> str:
    return f"{b64(json.dumps({'alg': algorithm}).encode())}.{b64(json.dumps(valid_claims(user)).encode())}."


def swapped(user: User) -> str:
    """Another user's claims under a signature that is right for one's own."""
    head, _, signature = user.token.split(".")
    return f"{head}.{b64(json.dumps({**valid_claims(user), 'sub': str(uuid4())}).encode())}.{signature}"


def absurd_claim(name: str, literal: str) -> Callable[[User], str]:
    """A claim that Python's own JSON would not write."""

    def make(user: User) -> str:
        text = json.dumps({**valid_claims(user), name: "HERE"}).replace('"HERE"', literal)
        return hs256({"alg": "HS256"}, text.encode())

    return make


def claims(**changed: Any) -> Callable[[User], str]:
    return lambda user: with_claims(user, **changed)


def in_seconds(**offsets: float) -> Callable[[User], str]:
    return lambda user: with_claims(user, **{name: time.time() + offset for name, offset in offsets.items()})


def header(**fields: Any) -> Callable[[User], str]:
    return lambda user: with_header(user, **fields)


FAULTS: dict[str, Callable[[User], str]] = {
    "garbage": lambda _: "garbage",
    "three dots": lambda _: "a.b.c",
    "four parts": lambda user: user.token + ".x",
    "two parts": lambda user: user.token.rpartition(".")[0],
    "no signature": lambda user: user.token.rpartition(".")[0] + ".",
    "broken signature": lambda user: user.token[:-6] + "AAAAAA",
    "another user's claims": swapped,
    "alg none": lambda user: unsigned(user, "none"),
    "alg None": lambda user: unsigned(user, "None"),
    "alg NONE with a signature": lambda user: unsigned(user, "NONE") + "eA",
    "alg missing": lambda user: hs256({"typ": "JWT"}, json.dumps(valid_claims(user)).encode()),
    "alg a list": header(alg=["HS256"]),
    "alg an object": header(alg={"HS256": 1}),
    "alg null": header(alg=None),
    "alg HS512": lambda user: jwt.encode(valid_claims(user), SECRET * 2, algorithm="HS512"),
    "alg RS256": header(alg="RS256"),
    "header a list": lambda user: hs256([], json.dumps(valid_claims(user)).encode()),  # type: ignore[arg-type]  # a wrong type is the fault
    "crit unknown": header(crit=["x-unknown"], **{"x-unknown": 1}),
    "crit empty": header(crit=[]),
    "b64 false": header(crit=["b64"], b64=False),
    "kid a number": header(kid=5),
    "kid an object": header(kid={"$ne": 1}),
    "other secret": lambda user: jwt.encode(valid_claims(user), SECRET + "x", algorithm="HS256"),
    "short secret": lambda user: hs256({"alg": "HS256"}, json.dumps(valid_claims(user)).encode(), secret=SECRET[:31]),
    "claims a list": lambda _: hs256({"alg": "HS256"}, b"[]"),
    "claims not JSON": lambda _: hs256({"alg": "HS256"}, b"{"),
    "claims not UTF-8": lambda _: hs256({"alg": "HS256"}, b'{"sub": "\xff"}'),
    "claims nested deep": lambda _: hs256({"alg": "HS256"}, b'{"a":' * 450 + b"1" + b"}" * 450),
    **{f"no {name}": claims(**{name: ABSENT}) for name in ("iss", "aud", "sub", "jti", "iat", "exp")},
    **{f"{name} null": claims(**{name: None}) for name in ("iss", "aud", "sub", "jti", "iat", "exp", "sid")},
    "iss other": claims(iss="tasks-service-2"),
    "iss a list": claims(iss=["tasks-service"]),
    "iss a number": claims(iss=5),
    "aud other": claims(aud="another-service"),
    "aud a list": claims(aud=["tasks-service"]),
    "aud a list with more": claims(aud=["tasks-service", "x"]),
    "aud empty": claims(aud=[]),
    "aud an object": claims(aud={"tasks-service": 1}),
    "expired": in_seconds(exp=-60, iat=-960),
    "expired long ago": claims(exp=1, iat=0),
    "exp negative": claims(exp=-1),
    "nbf in future": in_seconds(nbf=120),
    "nbf a word": claims(nbf="now"),
    "iat in future": in_seconds(iat=120, exp=1000),
    "iat a word": claims(iat="now"),
    "iat a bool": claims(iat=True),
    "iat after exp": in_seconds(iat=5, exp=3),
    "exp a string": lambda user: with_claims(user, exp=str(int(time.time()) + 900)),
    "exp a bool": claims(exp=True),
    "exp a list": claims(exp=[1]),
    "exp 1e18": claims(exp=10**18),
    "exp in ten years": in_seconds(exp=10 * 365 * 86400),
    "exp 1e400": absurd_claim("exp", "1e400"),
    "exp NaN": absurd_claim("exp", "NaN"),
    "exp Infinity": absurd_claim("exp", "Infinity"),
    "exp 5000 digits": absurd_claim("exp", "9" * 2500),
    "iat NaN": absurd_claim("iat", "NaN"),
    "iat -Infinity": absurd_claim("iat", "-Infinity"),
    "sub NUL": lambda user: with_claims(user, sub=user.id[:-1] + "\0"),
    "sub lone surrogate": absurd_claim("sub", '"\\ud800"'),
    "sub no uuid": claims(sub="ada"),
    "sub empty": claims(sub=""),
    "sub a number": claims(sub=5),
    "sub a list": lambda user: with_claims(user, sub=[user.id]),
    "sid no uuid": claims(sid="x"),
    "sid a number": claims(sid=5),
    "jti a number": claims(jti=5),
    "oversize": lambda user: with_claims(user, more="x" * 4000),
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_token_fault_is_the_same_401(service: Service, idle_user: User, name: str) -> None:
    token = FAULTS[name](idle_user)
    with client(service.url) as visitor:
        garbage = visitor.get(idle_user.tasks, headers={"Authorization": "Bearer garbage"})
        response = visitor.get(idle_user.tasks, headers={"Authorization": f"Bearer {token}"})
    assert_problem(response, 401, "unauthorized")
    assert comparable(response) == comparable(garbage)
    assert idle_user.list() == []


def test_the_faults_above_start_from_a_token_that_is_good(service: Service, user: User) -> None:
    tokens = [
        with_claims(user),
        with_header(user),
        with_header(user, kid="x", jku="http://127.0.0.1:1/", x5u="x", jwk={}),
    ]
    for token in tokens:
        with client(service.url, Authorization=f"Bearer {token}") as visitor:
            assert visitor.get(user.tasks).status_code == 200


@pytest.mark.parametrize(
    "lines",
    [
        [],
        [""],
        ["Bearer"],
        ["Bearer "],
        ["Basic dXNlcjpwYXNz"],
        ["Token {token}"],
        ["{token}"],
        ["Bearer Bearer {token}"],
        ["Bearer {token} {token}"],
        ["Bearer {token},Bearer {token}"],
        ["Bearer\t{token}"],
        ['Bearer "{token}"'],
        ["Bearer \udcff.a.b"],
        ["Bearer {token}\udcff"],
        ["Bearer \u00e9\u4e2d.\u00e9.\u00e9"],
        ["\udc80\udcfe {token}"],
        ["Bearer {token}", "Bearer {token}"],
        ["Bearer garbage", "Bearer {token}"],
        ["Bearer {token}", "Bearer garbage"],
        ["Basic dXNlcjpwYXNz", "Bearer {token}"],
    ],
)
def test_a_header_that_is_no_single_bearer_token_is_the_same_401(
    service: Service, idle_user: User, lines: list[str]
) -> None:
    headers = [f"Authorization: {line.format(token=idle_user.token)}" for line in lines]
    answers = exchange(service, request("GET", idle_user.tasks, "Connection: close", *headers))
    plain = exchange(service, request("GET", idle_user.tasks, "Connection: close"))
    assert [answer.status for answer in (*answers, *plain)] == [401, 401]
    bodies = [{k: v for k, v in answer.json().items() if k != "request_id"} for answer in (*answers, *plain)]
    assert bodies[0] == bodies[1]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_scheme_is_read_in_any_case(service: Service, idle_user: User, scheme: str) -> None:
    with client(service.url, Authorization=f"{scheme} {idle_user.token}") as visitor:
        assert visitor.get(idle_user.tasks).status_code == 200


def test_a_token_in_the_url_or_a_cookie_is_none(service: Service, idle_user: User) -> None:
    with client(service.url, Cookie=f"access_token={idle_user.token}") as visitor:
        response = visitor.get(idle_user.tasks, params={"access_token": idle_user.token})
    assert_problem(response, 401, "unauthorized")
