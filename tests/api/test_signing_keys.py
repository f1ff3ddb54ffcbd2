"""Tokens signed with a private key: what is published, and what is not accepted in its name."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from tests.support.database import Database
from tests.support.problems import assert_problem
from tests.support.server import SECRET, Service, serve
from tests.support.users import PASSWORD, User, client, sign_up

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

KEYS: dict[str, Callable[[], PrivateKey]] = {
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "RS256": lambda: rsa.generate_private_key(65537, 2048),
}
PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


def pem(key: PrivateKey) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@pytest.fixture(scope="module", params=list(KEYS))
def signed(request: pytest.FixtureRequest, database: Database) -> Iterator[tuple[Service, str, PrivateKey]]:
    """A server that signs with a key alone."""
    key = KEYS[request.param]()
    with serve(database.url, JWT_SECRET="", JWT_PRIVATE_KEY=pem(key)) as service:
        yield service, request.param, key


def test_what_is_published_verifies_what_is_issued(signed: tuple[Service, str, PrivateKey]) -> None:
    service, algorithm, _ = signed
    answer = httpx.get(f"{service.url}/.well-known/jwks.json", verify=False)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "public, max-age=300"
    [published] = answer.json()["keys"]
    assert (published["alg"], published["use"]) == (algorithm, "sig")
    assert not PRIVATE_MEMBERS & set(published)
    with sign_up(service.url) as user:
        assert jwt.get_unverified_header(user.token) == {"alg": algorithm, "typ": "JWT", "kid": published["kid"]}
        key = jwt.PyJWK.from_dict(published)
        claims = jwt.decode(user.token, key, algorithms=[algorithm], audience="tasks-service", issuer="tasks-service")
        assert claims["sub"] == user.id
        assert user.list() == []


def test_cursors_and_sync_tokens_of_the_secret_stay_good_beside_a_key(
    service: Service, start_service: Callable[..., Service], user: User
) -> None:
    for name in ("one", "two"):
        user.create(name)
    link = user.http.get(user.tasks, params={"limit": 1}).links["next"]["url"]
    since = user.http.get(f"{user.tasks}/changes").json()["next"]
    with client(start_service(JWT_PRIVATE_KEY=pem(KEYS["EdDSA"]())).url, **user.http.headers) as http:
        assert [task["title"] for task in http.get(link).json()] == ["one"]
        answer = http.get(f"{user.tasks}/changes", params={"since": since})
        assert (answer.status_code, answer.json()["changes"]) == (200, [])


def test_a_sync_token_whose_key_is_gone_is_a_410_for_its_user_and_for_others(
    start_service: Callable[..., Service], user: User, other_user: User
) -> None:
    """A key is changed without asking the clients; after a 410 they know what to do."""
    since = user.http.get(f"{user.tasks}/changes").json()["next"]
    rotated = start_service(JWT_SECRET=SECRET[::-1])
    for who in (user, other_user):
        login = {"email": who.email, "password": PASSWORD}
        token = httpx.post(f"{rotated.url}/api/auth/login", json=login, verify=False, timeout=10).json()["access_token"]
        with client(rotated.url, Authorization=f"Bearer {token}") as http:
            assert_problem(http.get(f"{who.tasks}/changes", params={"since": since}), 410, "sync_token_expired")
            stream = {"Accept": "text/event-stream", "Last-Event-ID": since}
            assert_problem(http.get(f"{who.tasks}/changes", headers=stream), 410, "sync_token_expired")
            again = http.get(f"{who.tasks}/changes").json()["next"]
            assert http.get(f"{who.tasks}/changes", params={"since": again}).status_code == 200


def test_the_public_key_is_no_shared_secret(signed: tuple[Service, str, PrivateKey]) -> None:
    service, _, key = signed
    public = key.public_key()
    raw = [
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).strip(),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        httpx.get(f"{service.url}/.well-known/jwks.json", verify=False).content,
        b"",
    ]
    with sign_up(service.url) as user:
        for secret in raw:
            for algorithm in ("HS256", "HS384", "HS512"):
                assert_refused(service, user, by_hand(user, algorithm, secret))


def test_a_token_brings_no_key_of_its_own(signed: tuple[Service, str, PrivateKey]) -> None:
    service, algorithm, _ = signed
    attacker = KEYS[algorithm]()
    jwk = jwt.get_algorithm_by_name(algorithm).to_jwk(attacker.public_key(), as_dict=True)
    kid = jwt.get_unverified_header(sign_up(service.url).token)["kid"]
    with sign_up(service.url) as user:
        for header in ({"jwk": jwk}, {"kid": kid}, {"jku": "http://127.0.0.1:1/jwks", "kid": kid}, {"x5c": ["x"]}, {}):
            token = jwt.encode(claims_of(user), attacker, algorithm=algorithm, headers=header)
            assert_refused(service, user, token)


def test_a_secret_that_is_not_configured_signs_nothing(signed: tuple[Service, str, PrivateKey]) -> None:
    service, _, _ = signed
    with sign_up(service.url) as user:
        assert_refused(service, user, jwt.encode(claims_of(user), SECRET, algorithm="HS256"))


def test_the_secret_goes_on_to_verify_beside_a_key(start_service: Callable[..., Service], user: User) -> None:
    service = start_service(JWT_PRIVATE_KEY=pem(KEYS["EdDSA"]()))
    with client(service.url, Authorization=f"Bearer {user.token}") as visitor:
        assert visitor.get(user.tasks).status_code == 200
    with sign_up(service.url) as somebody:
        assert jwt.get_unverified_header(somebody.token)["alg"] == "EdDSA"
        assert somebody.list() == []


def test_a_shared_secret_is_never_published(visitor: httpx.Client) -> None:
    assert visitor.get("/.well-known/jwks.json").json() == {"keys": []}


def claims_of(user: User) -> dict[str, object]:
    now = int(time.time())
    about = {"iss": "tasks-service", "aud": "tasks-service", "sub": user.id, "jti": str(uuid4())}
    return {**about, "iat": now, "exp": now + 900}


def by_hand(user: User, algorithm: str, secret: bytes) -> str:
    """PyJWT refuses to sign with such keys, as an attacker would not."""
    parts = ({"alg": algorithm, "typ": "JWT"}, claims_of(user))
    signed = ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode() for p in parts)
    signature = jwt.get_algorithm_by_name(algorithm).sign(signed.encode(), secret)
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def assert_refused(service: Service, user: User, token: str) -> None:
    with client(service.url, Authorization=f"Bearer {token}") as attacker:
        assert_problem(attacker.get(user.tasks), 401, "unauthorized")
