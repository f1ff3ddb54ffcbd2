"""Access tokens of an external issuer, in the shapes of the issuers that there are, and the users behind them."""

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import jwt
import pytest

from tests.support.database import Database, held
from tests.support.issuer import ABSENT, AUDIENCE, Issuer, Key, b64, public_pem
from tests.support.problems import assert_problem, comparable
from tests.support.server import Service, serve
from tests.support.users import sign_up

API = "https://tasks.example.com"


def me(server: Service, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.get(f"{server.url}/api/auth/me", headers=headers, verify=False, timeout=15)


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
            "azp": "1234987819200.apps.googleusercontent.com",
            "aud": "1234987819200.apps.googleusercontent.com",
            "sub": "10769150350006150715113082367",
            "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q",
            "hd": "example.com",
            "email": "ada@example.com",
            "email_verified": "true",
            "nonce": "0394852-3190485-2490358",
        },
    ),
}

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed448")


class Provider(Issuer):
    """An issuer with keys as all of the above publish them, side by side."""

    def __init__(self) -> None:
        self.by_name = {
            "main": Key.make(kid="main"),
            "keycloak": Key.make("RS256", kid="keycloak", x5c=["MIICmz…"], x5t="AQAB"),
            # Entra ID leaves `alg` out, and so do others: the key then is for every algorithm of its kind.
            "entra": Key.make("RS256", kid="entra", alg=ABSENT, x5t="entra", issuer="https://login.example.com/{tid}"),
            "auth0": Key.make("RS256", kid="auth0", x5c=["MIIDDT…"]),
            "okta": Key.make("RS256", kid="okta"),
            "google": Key.make("RS256", kid="google", e="AQAB"),
            "encryption": Key.make("RS256", kid="encryption", use="enc"),
            "encryption by key_ops": Key.make(kid="encryption by key_ops", use=ABSENT, key_ops=["encrypt"]),
            "small": Key.make(kid="small"),
            **{name: Key.make(name, kid=name, alg=ABSENT, use=ABSENT) for name in ALGORITHMS},
        }
        super().__init__(*self.by_name.values(), path="/tenant/")
        oaep = {**self.by_name["encryption"].jwk, "alg": "RSA-OAEP"}
        self.more_keys = [oaep, {"kty": "XX"}, {"kty": ["RSA"]}, None, {}, {"kty": "EC", "crv": "P-256", "x": 5}]
        self.more_keys.append(
            {"kty": "oct", "kid": "oct", "k": b64(b"a secret that everybody can read"), "alg": "HS256"}
        )

    def signed_by(self, key: str, header: dict[str, Any] | None = None, **claims: Any) -> str:
        return self.by_name[key].sign(self.claims(**claims), **(header or {}))


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    with Provider() as running:
        yield running


@pytest.fixture(scope="module")
def shared(provider: Provider, database: Database) -> Iterator[Service]:
    audiences = f"{AUDIENCE}, {API},1234987819200.apps.googleusercontent.com"
    with serve(database.url, OIDC_ISSUER=provider.url, OIDC_AUDIENCE=audiences) as running:
        yield running


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture
def server(issuer: Issuer, fresh_database: Database, start_service: Callable[..., Service]) -> Service:
    return start_service(fresh_database.url, OIDC_ISSUER=issuer.url)


@pytest.mark.parametrize("name", SHAPES)
def test_the_access_tokens_that_there_are_come_in(shared: Service, provider: Provider, name: str) -> None:
    key, header, claims = SHAPES[name]
    answer = me(shared, provider.signed_by(key, header, **claims))
    assert answer.status_code == 200, answer.text
    tasks = f"{shared.url}/api/{answer.json()['id']}/tasks"
    authorization = {"Authorization": f"Bearer {provider.signed_by(key, header, **claims)}"}
    assert httpx.post(tasks, json={"title": name}, headers=authorization, verify=False).status_code == 201
    assert httpx.get(tasks, headers=authorization, verify=False).json()[0]["title"] == name


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_of_a_key_without_one_verifies(shared: Service, provider: Provider, name: str) -> None:
    assert me(shared, provider.signed_by(name, sub=name)).status_code == 200


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
def test_what_the_specifications_leave_open_is_no_fault(shared: Service, provider: Provider, name: str) -> None:
    answer = me(shared, provider.signed_by("main", **OPEN[name]))
    assert answer.status_code == 200, answer.text


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
def test_every_fault_of_an_external_token_is_the_same_401(shared: Service, provider: Provider, name: str) -> None:
    answer = me(shared, FAULTS[name](provider))
    assert_problem(answer, 401, "unauthorized")
    assert comparable(answer) == comparable(me(shared, "garbage"))


def test_a_token_that_was_remembered_expires(shared: Service, provider: Provider) -> None:
    token = provider.signed_by("main", exp=time.time() - 26)  # of the 30 s that clocks may differ
    deadline = time.monotonic() + 20
    assert me(shared, token).status_code == 200
    while me(shared, token).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert_problem(me(shared, token), 401, "unauthorized")
    assert 'auth_failures_total{reason="expired_token"}' in shared.metrics()


def test_a_key_without_an_id_is_for_tokens_without_one(
    database: Database, start_service: Callable[..., Service]
) -> None:
    key = Key.make(kid=ABSENT)
    with Issuer(key) as issuer:
        server = start_service(database.url, OIDC_ISSUER=issuer.url)
        assert me(server, issuer.token("only key")).status_code == 200
        assert me(server, issuer.token("only key", header={"kid": "guessed"})).status_code == 401


def test_a_user_comes_to_life_on_first_sight_and_stays_the_same(server: Service, issuer: Issuer) -> None:
    first = me(server, issuer.token(email="Ada@example.com", email_verified=True, name="Ada"))
    assert first.status_code == 200
    assert (first.json()["email"], first.json()["name"]) == ("ada@example.com", "Ada")
    assert me(server, issuer.token()).json() == first.json()
    tasks = f"{server.url}/api/{first.json()['id']}/tasks"
    created = httpx.post(tasks, json={"title": "mine"}, headers={"Authorization": f"Bearer {issuer.token()}"})
    assert created.status_code == 201


def test_first_sight_on_two_servers_at_once_makes_one_user(
    server: Service, issuer: Issuer, fresh_database: Database, start_service: Callable[..., Service]
) -> None:
    second = start_service(fresh_database.url, OIDC_ISSUER=issuer.url)
    for subject in ("grace", "joan", "mary"):
        token = issuer.token(subject)
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(me, (server, second) * 8, [token] * 16))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["id"] for answer in answers}) == 1
    assert fresh_database.value("SELECT count(*) FROM users") == 3
    assert fresh_database.value("SELECT count(*) FROM external_identities") == 3


def test_of_two_identities_with_one_email_at_once_one_gets_it(
    server: Service, issuer: Issuer, fresh_database: Database
) -> None:
    with ThreadPoolExecutor(8) as threads:
        tokens = [issuer.token(f"twin {n}", email="twin@example.com", email_verified=True) for n in range(8)]
        answers = list(threads.map(lambda token: me(server, token), tokens))
    assert {answer.status_code for answer in answers} == {200}
    assert [answer.json()["email"] for answer in answers].count("twin@example.com") == 1
    assert fresh_database.value("SELECT count(*) FROM users") == 8


def test_a_user_deleted_on_one_server_is_a_new_one_on_every_server(
    server: Service, issuer: Issuer, fresh_database: Database, start_service: Callable[..., Service]
) -> None:
    second = start_service(fresh_database.url, OIDC_ISSUER=issuer.url)
    token = issuer.token("margaret", email="margaret@example.com", email_verified=True)
    authorization = {"Authorization": f"Bearer {token}"}
    old = me(second, token).json()
    assert me(server, token).json() == old
    assert httpx.delete(f"{server.url}/api/auth/me", headers=authorization).status_code == 204
    answer = me(second, token)
    assert answer.status_code == 200
    new = answer.json()
    assert new["id"] != old["id"]
    assert new["email"] == "margaret@example.com"
    assert me(server, token).json() == new
    for each in (server, second):
        assert httpx.get(f"{each.url}/api/{old['id']}/tasks", headers=authorization).status_code == 403
        created = httpx.post(f"{each.url}/api/{new['id']}/tasks", json={"title": "new"}, headers=authorization)
        assert created.status_code == 201


def test_an_email_of_another_account_is_not_taken_over(server: Service, issuer: Issuer) -> None:
    with sign_up(server.url) as owner:
        stranger = me(server, issuer.token("mallory", email=owner.email, email_verified=True)).json()
    assert stranger["id"] != owner.id
    assert stranger["email"].endswith("@external.invalid")


def test_own_tokens_and_the_audience_by_default(server: Service, issuer: Issuer) -> None:
    """The audience is JWT_AUDIENCE unless it is said, and tokens of our own are no affair of the issuer's."""
    with sign_up(server.url) as user:
        assert user.list() == []
        assert (
            httpx.get(f"{server.url}{user.tasks}", headers={"Authorization": f"Bearer {issuer.token()}"}).status_code
            == 403
        )
    assert_problem(me(server, issuer.token(aud=API)), 401, "unauthorized")


def test_a_user_of_the_issuer_waits_for_a_turn_before_any_statement(
    issuer: Issuer, fresh_database: Database, start_service: Callable[..., Service]
) -> None:
    """The statement that finds the user is no way around the limit on one user's slots."""
    server = start_service(
        fresh_database.url,
        OIDC_ISSUER=issuer.url,
        CONCURRENT_REQUESTS_PER_USER="1",
        QUEUED_REQUESTS_PER_USER="0",
        DB_STATEMENT_TIMEOUT_SECONDS="8",
    )
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    token = issuer.token("noisy")
    locks = "BEGIN; LOCK tasks, external_identities"
    with sign_up(server.url) as user, ThreadPoolExecutor(2) as threads:
        with held(fresh_database.url, locks):
            threads.submit(user.list)  # one who is alone may have everything
            first = threads.submit(me, server, token)
            deadline = time.monotonic() + 5
            while fresh_database.value(waiting) < 2:
                assert time.monotonic() < deadline
            assert me(server, token).status_code == 429
        assert first.result().status_code == 200
