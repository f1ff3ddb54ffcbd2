"""Settings: every mistake at once, and no secret in any of them."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from service.app import server_config
from service.settings import Settings, SettingsError, load_settings

SECRET = "s3cr3t-" * 6
GOOD = {"DATABASE_URL": "postgresql://tasks:hunter2@db/tasks", "JWT_SECRET": SECRET}
PKCS8 = (Encoding.PEM, PrivateFormat.PKCS8)
ED25519 = ed25519.Ed25519PrivateKey.generate().private_bytes(*PKCS8, NoEncryption()).decode()

Load = Callable[..., Settings]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Settings from exactly these variables on top of good ones; None takes one away."""

    def from_environment(**env: str | None) -> Settings:
        for name in Settings.model_fields:
            monkeypatch.delenv(name.upper(), raising=False)
            monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)
        for name, value in {**GOOD, **env}.items():
            if value is not None:
                monkeypatch.setenv(name, value)
        return load_settings()

    return from_environment


def mistakes(load: Load, **env: str | None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(**env)
    lines = str(caught.value).splitlines()
    for secret in ("hunter2", SECRET, "swordfish", "PRIVATE KEY"):
        assert secret not in str(caught.value)
    assert caught.value.__cause__ is None
    return [line.partition(":")[0] for line in lines]


def test_the_defaults_are_those_of_the_contract(load: Load) -> None:
    settings = load()
    assert (settings.host, settings.port, settings.admin_port) == ("0.0.0.0", 8000, 9000)
    assert (settings.db_pool_min, settings.db_pool_max) == (5, 20)
    assert (settings.jwt_access_ttl_seconds, settings.jwt_refresh_ttl_seconds) == (900, 2_592_000)
    assert (settings.db_pooler, settings.slo_latency_ms) == ("none", 200)
    assert (settings.log_level, settings.log_format) == ("info", "json")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", None),
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "mysql://root:hunter2@db/x"),
        ("DATABASE_URL", "hunter2"),
        ("DATABASE_URL", "postgresql://"),
        ("DATABASE_URL", "postgresql://u:hunter2@db/x?sslmode=swordfish"),
        ("DATABASE_URL", "postgresql://u:hunter2@[db/x"),
        ("DATABASE_URL", "postgresql://u:hunter2@db/x?channel_binding=require"),
        ("JWT_SECRET", None),
        ("JWT_SECRET", "swordfish"),
        ("JWT_SECRET", "x" * 31),
        ("JWT_PRIVATE_KEY", "swordfish"),
        ("JWT_PRIVATE_KEY", "-----BEGIN PRIVATE KEY-----\nswordfish\n-----END PRIVATE KEY-----"),
        ("JWT_ACCESS_TTL_SECONDS", "0"),
        ("JWT_ACCESS_TTL_SECONDS", "86401"),
        ("JWT_ACCESS_TTL_SECONDS", "1.5"),
        ("JWT_REFRESH_TTL_SECONDS", "forever"),
        ("OIDC_ISSUER", "issuer.example"),
        ("OIDC_ISSUER", "file:///etc/passwd"),
        ("OIDC_ISSUER", "http://keycloak:8080/realms/main"),
        ("OIDC_ISSUER", "https://user:secret@issuer.example"),
        ("OIDC_ISSUER", "https://issuer.example/" + "x" * 500),
        ("OIDC_ISSUER", "tasks-service"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "http"),
        ("ADMIN_PORT", "-1"),
        ("DB_POOL_MAX", "0"),
        ("DB_POOL_MIN", "-1"),
        ("DB_POOL_ACQUIRE_TIMEOUT_SECONDS", "0"),
        ("DB_POOL_ACQUIRE_TIMEOUT_SECONDS", "nan"),
        ("DB_CONNECT_TIMEOUT_SECONDS", "inf"),
        ("DB_STATEMENT_TIMEOUT_SECONDS", "-1"),
        ("DB_STATEMENT_TIMEOUT_SECONDS", "0.0009"),
        ("DB_POOLER", "pgbouncer"),
        ("SLO_LATENCY_MS", "0"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
    ],
)
def test_a_mistake_is_named(load: Load, name: str, value: str | None) -> None:
    assert mistakes(load, **{name: value}) == [name]


def test_all_mistakes_are_named_together(load: Load) -> None:
    found = mistakes(load, DATABASE_URL=None, JWT_SECRET="swordfish", PORT="http", DB_POOL_MIN="30", LOG_LEVEL="loud")
    assert found == ["DATABASE_URL", "DB_POOL_MIN", "JWT_SECRET", "LOG_LEVEL", "PORT"]


def test_all_mistakes_in_the_url_are_named_together(load: Load) -> None:
    url = "postgresql://tasks:hunter2@db/tasks?channel_binding=require&pgbouncer=true"
    assert mistakes(load, DATABASE_URL=url, PORT="http") == ["DATABASE_URL", "DATABASE_URL", "PORT"]


def test_what_disagrees_is_named_beside_what_is_missing(load: Load) -> None:
    assert mistakes(load, DATABASE_URL=None, JWT_SECRET=None) == ["DATABASE_URL", "JWT_SECRET"]
    assert mistakes(load, LOG_LEVEL="loud", PORT="9000") == ["ADMIN_PORT", "LOG_LEVEL"]


def test_settings_that_are_wrong_cause_no_second_mistake(load: Load) -> None:
    assert mistakes(load, JWT_SECRET="swordfish") == ["JWT_SECRET"]
    assert mistakes(load, PORT="http", ADMIN_PORT="8000") == ["PORT"]
    assert mistakes(load, DB_POOL_MAX="many", DB_POOL_MIN="100") == ["DB_POOL_MAX"]


def test_ports_and_pool_sizes_have_to_agree(load: Load) -> None:
    assert mistakes(load, PORT="9000") == ["ADMIN_PORT"]
    assert mistakes(load, DB_POOL_MIN="21") == ["DB_POOL_MIN"]
    assert load(DB_POOL_MIN="20").db_pool_min == 20


def test_one_user_may_not_be_given_more_than_the_pool(load: Load) -> None:
    assert load().concurrent_requests_per_user is None, "which derives it from the pool, whatever its size"
    assert mistakes(load, CONCURRENT_REQUESTS_PER_USER="21") == ["CONCURRENT_REQUESTS_PER_USER"]
    assert mistakes(load, CONCURRENT_REQUESTS_PER_USER="4", DB_POOL_MAX="3", DB_POOL_MIN="1") == [
        "CONCURRENT_REQUESTS_PER_USER"
    ]
    assert load(CONCURRENT_REQUESTS_PER_USER="20").concurrent_requests_per_user == 20


def test_whatever_a_statement_may_take_a_request_may_take_too(load: Load) -> None:
    """Else the connection's own limit would end it first, and the setting do nothing."""
    for seconds in ("0.5", "2", "30", "3600"):
        settings = load(DB_STATEMENT_TIMEOUT_SECONDS=seconds)
        config = server_config(settings)
        assert 3 * settings.db_statement_timeout_seconds <= config.RESPONSE_TIMEOUT
        assert settings.db_statement_timeout_seconds < config.GRACEFUL_SHUTDOWN_TIMEOUT
    assert server_config(load()).RESPONSE_TIMEOUT == 9


def test_an_issuer_of_ours_and_of_others_would_be_taken_for_one_another(load: Load) -> None:
    same = "https://issuer.example"
    assert mistakes(load, OIDC_ISSUER=same, JWT_ISSUER=same) == ["OIDC_ISSUER"]


def test_the_issuer_may_know_the_service_by_several_names(load: Load) -> None:
    assert load(OIDC_AUDIENCE=" api://tasks, https://tasks.example ,").oidc_audiences == [
        "api://tasks",
        "https://tasks.example",
    ]
    assert load(JWT_AUDIENCE="tasks").oidc_audiences == ["tasks"]


def test_a_secret_is_measured_in_bytes(load: Load) -> None:
    assert mistakes(load, JWT_SECRET="é" * 15) == ["JWT_SECRET"]
    assert load(JWT_SECRET="é" * 16).jwt_secret is not None


def test_words_are_read_in_any_case_and_empty_is_not_given(load: Load) -> None:
    settings = load(LOG_LEVEL="WARNING", LOG_FORMAT="Console", DB_POOLER="Transaction", PORT="")
    assert (settings.log_level, settings.log_format, settings.db_pooler) == ("warning", "console", "transaction")
    assert settings.port == 8000


def test_names_are_as_they_are_written(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"port": "1", "Host": "elsewhere", "database_url": "mysql://x", "port_file": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    settings = load(PORT="8001")
    assert (settings.host, settings.port) == ("0.0.0.0", 8001)


def test_a_secret_may_come_from_a_file(load: Load, tmp_path: Path) -> None:
    secret, url, port = tmp_path / "secret", tmp_path / "url", tmp_path / "port"
    secret.write_text(f"\n{SECRET}x\n", encoding="utf-8")
    url.write_text("postgres://tasks@elsewhere/tasks\n", encoding="utf-8")
    port.write_text("8001\r\n", encoding="utf-8-sig")
    files = {"JWT_SECRET_FILE": str(secret), "DATABASE_URL_FILE": str(url), "PORT_FILE": str(port)}
    settings = load(DATABASE_URL=None, JWT_SECRET=None, **files)
    assert settings.jwt_secret is not None
    assert settings.jwt_secret.get_secret_value() == f"{SECRET}x"
    assert [host.name for host in settings.database.hosts] == ["elsewhere"]
    assert settings.port == 8001


def test_a_file_has_to_be_there_and_alone(load: Load, tmp_path: Path) -> None:
    given, short, binary = tmp_path / "given", tmp_path / "short", tmp_path / "binary"
    given.write_text(SECRET, encoding="utf-8")
    short.write_text("swordfish", encoding="utf-8")
    binary.write_bytes(b"\xff" * 40)
    assert mistakes(load, JWT_SECRET_FILE=str(given)) == ["JWT_SECRET"]
    assert mistakes(load, JWT_SECRET=None, JWT_SECRET_FILE=str(short)) == ["JWT_SECRET"]
    for path in (binary, tmp_path, tmp_path / "nowhere"):
        assert mistakes(load, JWT_SECRET=None, JWT_SECRET_FILE=str(path)) == ["JWT_SECRET_FILE"]
        assert mistakes(load, DATABASE_URL=None, DATABASE_URL_FILE=str(path), PORT="x") == ["DATABASE_URL_FILE", "PORT"]


def test_an_empty_file_gives_nothing(load: Load, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.write_text(" \n", encoding="utf-8")
    settings = load(OIDC_ISSUER_FILE=str(empty), PORT_FILE=str(empty), PORT="")
    assert (settings.oidc_issuer, settings.port) == (None, 8000)
    assert mistakes(load, JWT_SECRET=None, JWT_SECRET_FILE=str(empty)) == ["JWT_SECRET"]


def test_keys_that_sign_too_weakly_are_refused(load: Load) -> None:
    weak = rsa.generate_private_key(65537, 1024).private_bytes(*PKCS8, NoEncryption())
    other = ec.generate_private_key(ec.SECP384R1()).private_bytes(*PKCS8, NoEncryption())
    locked = ed25519.Ed25519PrivateKey.generate().private_bytes(*PKCS8, BestAvailableEncryption(b"swordfish"))
    for pem in (weak, other, locked):
        assert mistakes(load, JWT_PRIVATE_KEY=pem.decode()) == ["JWT_PRIVATE_KEY"]


def test_the_private_key_signs_and_the_secret_still_verifies(load: Load) -> None:
    assert [key.algorithm for key in load(JWT_PRIVATE_KEY=ED25519).signing_keys] == ["EdDSA", "HS256"]
    assert [key.algorithm for key in load(JWT_PRIVATE_KEY=ED25519, JWT_SECRET=None).signing_keys] == ["EdDSA"]


def test_cursors_have_a_key_of_their_own_that_pods_share(load: Load) -> None:
    [key] = load().cursor_keys
    assert load().cursor_keys == [key]
    assert load(JWT_SECRET=SECRET + "x").cursor_keys != [key]
    assert key not in SECRET.encode()


def test_cursors_move_from_the_secret_to_the_private_key(load: Load) -> None:
    new, old = load(JWT_PRIVATE_KEY=ED25519).cursor_keys
    assert [old] == load().cursor_keys
    assert [new] == load(JWT_PRIVATE_KEY=ED25519, JWT_SECRET=None).cursor_keys


def test_secrets_are_not_shown(load: Load) -> None:
    settings = load(JWT_PRIVATE_KEY=ED25519)
    assert "hunter2" not in repr(settings)
    assert SECRET not in repr(settings)
    assert "PRIVATE KEY" not in repr(settings)


@pytest.mark.parametrize(
    ("given", "origins"),
    [
        ("", set()),
        (" , ", set()),
        ("*", {"*"}),
        ("https://app.example", {"https://app.example"}),
        (" https://A.example , http://b.example,", {"https://a.example", "http://b.example"}),
        ("HTTPS://App.Example:443", {"https://app.example"}),
        ("http://app.example:80", {"http://app.example"}),
        ("https://app.example:80", {"https://app.example:80"}),
        ("http://localhost:3000,http://127.0.0.1:3000", {"http://localhost:3000", "http://127.0.0.1:3000"}),
        ("http://[::1]:3000", {"http://[::1]:3000"}),
        ("https://b\u00fccher.example", {"https://xn--bcher-kva.example"}),
        ("capacitor://localhost", {"capacitor://localhost"}),
    ],
)
def test_origins_are_kept_as_browsers_write_them(load: Load, given: str, origins: set[str]) -> None:
    assert load(CORS_ORIGINS=given).allowed_origins == origins


@pytest.mark.parametrize(
    ("origin", "reason"),
    [
        ("https://app.example/", "slash"),
        ("https://app.example/path", "path"),
        ("https://app.example?x=y", "path"),
        ("https://app.example#x", "path"),
        ("app.example", "scheme"),
        ("localhost:3000", "scheme"),
        ("//app.example", "scheme"),
        ("null", "scheme"),
        ("https://*.example", "wildcard"),
        ("*.example", "scheme"),
        ("*, https://app.example", "beside"),
        ("https://", "host"),
        ("https://app.example:", "origin"),
        ("https://app.example:0", "origin"),
        ("https://app.example:99999", "port"),
        ("https://app.example:x", "port"),
        ("https://user@app.example", "user"),
        ("https://a b.example", "host"),
        ("https://app..example", "host"),
        ("https://[::1", "address"),
        ("'https://app.example'", "origin"),
    ],
)
def test_an_origin_that_would_never_match_is_a_mistake(load: Load, origin: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=f"^CORS_ORIGINS: .*{reason}"):
        load(CORS_ORIGINS=f"https://good.example,{origin}")


def test_all_wrong_origins_are_named_together(load: Load) -> None:
    with pytest.raises(SettingsError, match=r"'a\.example' .*'https://b\.example/' "):
        load(CORS_ORIGINS="a.example,https://good.example,https://b.example/", PORT="0")
