"""Every fault of an external issuer's token is the same 401."""

import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from tests.support.issuer import ABSENT, AUDIENCE, Key, b64, public_pem
from tests.support.problems import assert_problem, comparable
from tests.support.provider import API, Provider
from tests.support.server import Service
from tests.support.users import me


def _hs256_with_the_public_key(provider: Provider) -> str:
    head, claims = {"alg": "HS256", "kid": "main"}, provider.claims()
    signed = f"{b64(json.dumps(head).encode())}.{b64(json.dumps(claims).encode())}"
    algorithm: Any = jwt.get_algorithm_by_name("HS256")
    return f"{signed}.{b64(algorithm.sign(signed.encode(), public_pem(provider.key)))}"


def _oct(provider: Provider) -> str:
    return jwt.encode(provider.claims(), "a secret that everybody can read", "HS256", {"kid": "oct"})


def _absurd(name: str, literal: str) -> Callable[[Provider], str]:
    """A claim that Python's own JSON would not write."""

    def make(provider: Provider) -> str:
        text = json.dumps(provider.claims(**{name: "HERE"})).replace('"HERE"', literal)
        signed = f"{b64(json.dumps({'alg': 'ES256', 'kid': 'main'}).encode())}.{b64(text.encode())}"
        algorithm: Any = jwt.get_algorithm_by_name("ES256")
        return f"{signed}.{b64(algorithm.sign(signed.encode(), provider.key.private))}"

    return make


def _header(**fields: Any) -> Callable[[Provider], str]:
    return lambda provider: provider.signed_by("main", fields)


def _claims(**changed: Any) -> Callable[[Provider], str]:
    return lambda provider: provider.signed_by("main", **changed)


FAULTS: dict[str, Callable[[Provider], str]] = {
    "HS256 with the public key": _hs256_with_the_public_key,
    "HS256 with a published secret": _oct,
    "alg none": lambda provider: provider.signed_by("main", {"alg": "none"}).rpartition(".")[0] + ".",
    "alg none, signed": _header(alg="none"),
    "alg of another key": _header(alg="RS256"),
    "alg that the key does not have": lambda provider: provider.by_name["okta"].sign(provider.claims(), alg="RS512"),
    "alg a list": _header(alg=["ES256"]),
    "alg missing": _header(alg=ABSENT),
    "crit": _header(crit=["exp"]),
    "crit b64": _header(crit=["b64"], b64=True),
    "crit empty": _header(crit=[]),
    "kid unknown": _header(kid="unknown"),
    "kid of another key": _header(kid="ES256"),
    "kid a number": _header(kid=5),
    "kid missing, many keys": _header(kid=ABSENT),
    "key for encryption": lambda provider: provider.signed_by("encryption"),
    "key for encryption by key_ops": lambda provider: provider.signed_by("encryption by key_ops"),
    "another issuer's key": lambda provider: Key.make(kid="main").sign(provider.claims()),
    "typ logout+jwt": _header(typ="logout+jwt"),
    "typ dpop+jwt": _header(typ="dpop+jwt"),
    "typ of Okta for itself": _header(typ="application/okta-internal-at+jwt"),
    "typ null": _header(typ=None),
    "typ a list": _header(typ=["JWT"]),
    "Keycloak's ID token": _claims(typ="ID"),
    "Keycloak's refresh token": _claims(typ="Refresh"),
    "a logout token": _claims(events={"http://schemas.openid.net/event/backchannel-logout": {}}),
    "expired": _claims(exp=int(time.time()) - 60),
    "expired long ago": _claims(exp=1),
    "nbf in future": lambda provider: provider.signed_by("main", nbf=time.time() + 120),
    "nbf a word": _claims(nbf="now"),
    "nbf a string": _claims(nbf="1"),
    "iat a bool": _claims(iat=True),
    **{f"no {name}": _claims(**{name: ABSENT}) for name in ("iss", "aud", "sub", "exp")},
    **{f"{name} null": _claims(**{name: None}) for name in ("iss", "aud", "sub", "exp")},
    "exp a string": _claims(exp=str(int(time.time()) + 900)),
    "exp a bool": _claims(exp=True),
    "exp 1e18": _claims(exp=10**18),
    "exp 1e400": _absurd("exp", "1e400"),
    "exp NaN": _absurd("exp", "NaN"),
    "exp 2500 digits": _absurd("exp", "9" * 2500),
    "iss another": _claims(iss="https://issuer.example.com"),
    "iss without its slash": lambda provider: provider.signed_by("main", iss=provider.url.removesuffix("/")),
    "iss a list": lambda provider: provider.signed_by("main", iss=[provider.url]),
    "aud another": _claims(aud="another"),
    "aud a part": _claims(aud=AUDIENCE[:-1]),
    "aud the list as it is configured": _claims(aud=f"{AUDIENCE}, {API}"),
    "aud empty": _claims(aud=[]),
    "aud with a number": _claims(aud=[AUDIENCE, 5]),
    "aud an object": _claims(aud={AUDIENCE: 1}),
    "sub empty": _claims(sub=""),
    "sub a number": _claims(sub=5),
    "sub too long": _claims(sub="x" * 256),
    "sub NUL": _claims(sub="a\0"),
    "sub lone surrogate": _claims(sub="a\ud800"),
    "too long": _claims(more="x" * 16_000),
    "encrypted": lambda provider: "e30." + provider.signed_by("main") + ".e30",
}


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_of_an_external_token_is_the_same_401(oidc_service: Service, provider: Provider, name: str) -> None:
    answer = me(oidc_service, FAULTS[name](provider))
    assert_problem(answer, 401, "unauthorized")
    assert comparable(answer) == comparable(me(oidc_service, "garbage"))
