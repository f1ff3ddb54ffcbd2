"""Access tokens in the shapes of the issuers that there are, and what the specifications leave open: all come in."""

import time
from typing import Any

import httpx
import pytest

from tests.support.issuer import ABSENT, AUDIENCE
from tests.support.problems import assert_problem
from tests.support.provider import ALGORITHMS, API, GOOGLE_CLIENT, Provider
from tests.support.server import Service
from tests.support.users import me


def entra(**claims: Any) -> dict[str, Any]:
    """The claims that v1.0 and v2.0 have in common, by Microsoft's access token claims reference."""
    now = int(time.time())
    return {
        "aud": API,
        "iat": now,
        "nbf": now,
        "exp": now + 4599,
        "aio": "AXQAi/8TAAAAFm+E/QTG+gFnVxLjWdw8K+61AGrSOuMMF6ebaMj7XO3IbmD3",
        "oid": "690222be-ff1a-4d56-abd1-7e4f7d38e474",
        "rh": "0.ARoAyutBcuFySkCbuVNx5U0sxAXQAA.",
        "scp": "Tasks.ReadWrite",
        "sub": "HKZpfaHyWadeOouYlitjrI-KffTm222X5rrV3xDqfKQ",
        "tid": "fa15d692-e9c7-4460-a743-29f29522229",
        "uti": "fqiBqXLPj0eQa82S-IYFAA",
        **claims,
    }


# One of each, with the header and the claims that its documentation shows; `iss` and the times are the test's own.
SHAPES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "Keycloak": (
        "keycloak",
        {},
        {
            "jti": "onrtro:2f1b1a52-6ac5-4ba8-9a0a-08c5f5a4b8c2",
            "aud": [API, "account"],
            "sub": "f1c0a1de-9f1f-4a0b-8a53-c7c2d0a4a5a6",
            "typ": "Bearer",
            "azp": "tasks-app",
            "sid": "6a0dcd4c-3f93-4e1f-9a3a-0c9a0a6f6c8e",
            "acr": "1",
            "allowed-origins": ["https://app.example.com"],
            "realm_access": {"roles": ["offline_access", "uma_authorization"]},
            "resource_access": {"account": {"roles": ["manage-account", "view-profile"]}},
            "scope": "openid profile email",
            "email_verified": False,
            "preferred_username": "ada",
        },
    ),
    "Keycloak, at+jwt": ("keycloak", {"typ": "at+jwt"}, {"aud": API, "typ": "Bearer", "azp": "tasks-app"}),
    "Entra ID v1.0": (
        "entra",
        {"x5t": "MnC_VZcATfM5pOYiJHMba9goEKY"},
        entra(ver="1.0", appid="6e74172b-be56-4843-9ff4-e66a39bb12e3", appidacr="0", unique_name="ada@example.com"),
    ),
    "Entra ID v2.0": (
        "entra",
        {},
        entra(ver="2.0", azp="6e74172b-be56-4843-9ff4-e66a39bb12e3", azpacr="0", name="Ada Lovelace"),
    ),
    "Entra ID, 200 groups": (
        "entra",
        {},
        entra(ver="2.0", groups=[f"{number:08x}-1d12-4c1b-a8d1-02b2d6d23e2d" for number in range(200)]),
    ),
    "Auth0": (
        "auth0",
        {},
        {
            "sub": "auth0|123456",
            "aud": [API, "https://my-domain.auth0.com/userinfo"],
            "azp": "my_client_id",
            "scope": "openid profile read:tasks",
        },
    ),
    "Auth0, RFC 9068": (
        "auth0",
        {"typ": "at+jwt"},
        {
            "sub": "auth0|123456",
            "aud": [API, "https://my-domain.auth0.com/userinfo"],
            "client_id": "my_client_id",
            "jti": "73WakrfVbNJBaAmhQtEeDv",
            "scope": "openid profile read:tasks",
        },
    ),
    "Okta": (
        "okta",
        {"typ": ABSENT},
        {
            "ver": 1,
            "jti": "AT.0mP4JKAZX1iACIT4vbEDF7LpvDVjxypPMf0D7uX39RE",
            "aud": API,
            "cid": "nmdP1fcyvdVO11AL7ECm",
            "uid": "00ujmkLgagxeRrAg20g3",
            "scp": ["openid", "email"],
            "sub": "ada@example.com",
            "auth_time": 1467145094,
        },
    ),
    "Google": (
        "google",
        {},
        {
            "azp": GOOGLE_CLIENT,
            "aud": GOOGLE_CLIENT,
            "sub": "10769150350006150715113082367",
            "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
            "hd": "example.com",
            "email": "ada@example.com",
            "email_verified": "true",
            "nonce": "0394852-3190485-2490358",
        },
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_access_tokens_that_there_are_come_in(oidc_service: Service, provider: Provider, name: str) -> None:
    key, header, claims = SHAPES[name]
    answer = me(oidc_service, provider.signed_by(key, header, **claims))
    assert answer.status_code == 200, answer.text
    tasks = f"{oidc_service.url}/api/{answer.json()['id']}/tasks"
    authorization = {"Authorization": f"Bearer {provider.signed_by(key, header, **claims)}"}
    assert httpx.post(tasks, json={"title": name}, headers=authorization, verify=False).status_code == 201
    assert httpx.get(tasks, headers=authorization, verify=False).json()[0]["title"] == name


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_of_a_key_without_one_verifies(oidc_service: Service, provider: Provider, name: str) -> None:
    assert me(oidc_service, provider.signed_by(name, sub=name)).status_code == 200


OPEN: dict[str, dict[str, Any]] = {
    "no typ": {"header": {"typ": ABSENT}},
    "typ jwt": {"header": {"typ": "jwt"}},
    "typ AT+JWT": {"header": {"typ": "AT+JWT"}},
    "typ application/at+jwt": {"header": {"typ": "application/at+jwt"}},
    "header fields of no use": {"header": {"cty": "json", "x5t": "x", "jku": "http://127.0.0.1:1/", "jwk": {}}},
    "no iat": {"iat": ABSENT},
    "jti a number": {"jti": 5},
    "exp with a fraction": {"exp": time.time() + 86_400.5},
    "exp in many years": {"exp": 4102444800},
    "nbf past": {"nbf": 1},
    "aud a list": {"aud": [AUDIENCE]},
    "aud a list with more": {"aud": ["https://other.example.com", AUDIENCE]},
    "sub of 255": {"sub": "x" * 255},
    "sub beyond ASCII": {"sub": "Å|ada 🙂"},
    "profile of wrong types": {"email": 5, "name": ["Ada"], "email_verified": "yes"},
    "profile too long": {"email": "x" * 300, "email_verified": True, "name": "x" * 300, "sub": "long"},
    "profile that cannot be stored": {"email": "\0", "email_verified": True, "name": "\0", "sub": "unstorable"},
    "an email that grows in lower case": {"email": "İ" * 200, "email_verified": True, "sub": "growing"},
    "roles of 9 KB": {"roles": ["x" * 9000]},
}


@pytest.mark.parametrize("name", OPEN)
def test_what_the_specifications_leave_open_is_no_fault(oidc_service: Service, provider: Provider, name: str) -> None:
    answer = me(oidc_service, provider.signed_by("main", **OPEN[name]))
    assert answer.status_code == 200, answer.text


def test_a_token_that_was_remembered_expires(oidc_service: Service, provider: Provider) -> None:
    token = provider.signed_by("main", exp=time.time() - 26)  # of the 30 s that clocks may differ
    deadline = time.monotonic() + 20
    assert me(oidc_service, token).status_code == 200
    while me(oidc_service, token).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert_problem(me(oidc_service, token), 401, "unauthorized")
    assert 'auth_failures_total{reason="expired_token"}' in oidc_service.metrics()
