"""TLS to the database means what libpq means by it, and nothing in the surroundings changes that."""

import asyncio
import os
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from service.database import start
from service.database.connection import PoolOptions
from service.database.faults import DatabaseFault
from service.database.url import parse_database_url
from tests.support.authority import Authority, server_context
from tests.support.database import SERVER
from tests.support.front import Front

CANARY = "c4nary"
Make = Callable[..., ssl.SSLContext]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "ours")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("other"), "theirs")


@pytest.fixture(scope="module")
def good(authority: Authority) -> ssl.SSLContext:
    return server_context(authority.make("localhost", address="127.0.0.1"))


def connect(front: Front, query: str, host: str = "localhost") -> str:
    """How it connected. Raises DatabaseFault, which never holds the password."""

    async def run() -> None:
        url = parse_database_url(f"postgresql://postgres:{CANARY}@{host}:{front.port}/postgres?{query}")
        connection = await start.connect(PoolOptions(url), wait_seconds=0)
        try:
            assert await connection.fetchval("SELECT 1") == 1
        finally:
            await connection.end(1)

    front.spoken.clear()
    asyncio.run(run())
    return front.spoken[-1]


def fault(front: Front, query: str) -> str:
    """The sentence with which it ends at once."""
    with pytest.raises(DatabaseFault) as caught:
        connect(front, query)
    told = str(caught.value)
    assert CANARY not in told
    assert "\n" not in told
    return told


def url() -> str:
    return os.environ[SERVER]


@pytest.mark.parametrize(
    ("query", "spoken"),
    [
        ("", "tls"),
        ("sslmode=disable", "plain"),
        ("sslmode=allow", "plain"),
        ("sslmode=prefer", "tls"),
        ("sslmode=require", "tls"),
        ("ssl=true", "tls"),
        ("sslmode=require&sslrootcert={root}", "tls"),
        ("sslmode=verify-ca&sslrootcert={root}", "tls"),
        ("sslmode=verify-full&sslrootcert={root}", "tls"),
        ("sslmode=verify-full&sslrootcert={root}&ssl_min_protocol_version=TLSv1.3", "tls"),
        ("sslmode=verify-full&sslrootcert={root}&ssl_max_protocol_version=TLSv1.2", "tls"),
        ("sslmode=verify-full&sslrootcert={root}&host=localhost&hostaddr=127.0.0.1", "tls"),
    ],
)
def test_each_mode_connects_to_a_server_that_has_tls(
    query: str, spoken: str, good: ssl.SSLContext, authority: Authority
) -> None:
    with Front(url(), good) as front:
        assert connect(front, query.format(root=authority.root)) == spoken


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer"])
def test_modes_that_may_go_without_tls_do(mode: str) -> None:
    with Front(url()) as front:
        assert connect(front, f"sslmode={mode}") == "plain"


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_modes_that_need_tls_end_at_once_without_it(mode: str, authority: Authority) -> None:
    with Front(url()) as front:
        assert "takes no TLS, which sslmode asks for" in fault(front, f"sslmode={mode}&sslrootcert={authority.root}")


def test_the_name_is_checked_in_full_only(authority: Authority) -> None:
    with Front(url(), server_context(authority.make("db.example"))) as front:
        assert connect(front, f"sslmode=verify-ca&sslrootcert={authority.root}") == "tls"
        told = fault(front, f"sslmode=verify-full&sslrootcert={authority.root}")
        assert "certificate is not accepted: Hostname mismatch" in told
        named = f"sslmode=verify-full&sslrootcert={authority.root}&hostaddr=127.0.0.1"
        assert connect(front, named, host="db.example") == "tls"


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_a_certificate_of_somebody_else_ends_it_at_once(mode: str, other: Authority, authority: Authority) -> None:
    with Front(url(), server_context(other.make("localhost"))) as front:
        assert "certificate is not accepted" in fault(front, f"sslmode={mode}&sslrootcert={authority.root}")
        assert "certificate is not accepted" in fault(front, "sslrootcert=system")
        assert connect(front, "sslmode=require") == "tls"


def test_an_expired_and_a_revoked_certificate_are_not_accepted(authority: Authority) -> None:
    with Front(url(), server_context(authority.make("localhost", expired=True))) as front:
        assert "certificate has expired" in fault(front, f"sslmode=verify-ca&sslrootcert={authority.root}")
    revoked = authority.make("localhost")
    with Front(url(), server_context(revoked)) as front:
        trusted = f"sslmode=verify-ca&sslrootcert={authority.root}"
        assert connect(front, trusted) == "tls"
        assert "certificate revoked" in fault(front, f"{trusted}&sslcrl={authority.revoke(revoked)}")


def test_a_server_may_ask_for_a_certificate(authority: Authority) -> None:
    server = authority.make("localhost")
    client = authority.make("client", password="open sesame")
    shown = f"sslmode=require&sslcert={client}&sslkey={client.with_suffix('.key')}&sslpassword=open%20sesame"
    with Front(url(), server_context(server, clients=authority.root)) as front:
        assert connect(front, shown) == "tls"
        assert fault(front, "sslmode=require")
        assert fault(front, f"{shown}&sslcertmode=disable")
    with pytest.raises(ValueError, match="sslcert or sslkey cannot be used"):
        parse_database_url(f"postgresql://h/d?{shown.replace('sesame', CANARY)}")


def test_tls_without_asking_first(good: ssl.SSLContext) -> None:
    with Front(url(), good, direct=True) as front:
        assert connect(front, "sslmode=require&sslnegotiation=direct") == "tls"


def test_allow_comes_back_with_tls_when_it_has_to(good: ssl.SSLContext) -> None:
    with Front(url(), good, only_tls=True) as front:
        assert connect(front, "sslmode=allow") == "tls"


def test_nothing_around_it_changes_what_the_url_says(
    good: ssl.SSLContext, other: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What libpq and the driver would read beside the URL, all of it wrong."""
    folder = tmp_path / ".postgresql"
    folder.mkdir()
    (folder / "root.crt").write_bytes(other.root.read_bytes())
    for name in ("postgresql.crt", "postgresql.key", "root.crl"):
        (folder / name).write_text("nonsense")
    (tmp_path / ".pgpass").write_text("*:*:*:*:wrong")
    (tmp_path / ".pg_service.conf").write_text("[x]\nhost=nowhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    wrong = dict.fromkeys(
        ("PGHOST", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGSERVICE", "PGGSSLIB", "PGKRBSRVNAME"), "x"
    )
    wrong |= dict.fromkeys(("PGSSLROOTCERT", "PGSSLCERT", "PGSSLKEY", "PGSSLCRL", "PGPASSFILE", "PGSERVICEFILE"), "/x")
    wrong |= {"PGPORT": "1", "PGSSLMODE": "verify-full", "PGSSLMINPROTOCOLVERSION": "SSLv2", "PGAPPNAME": "x"}
    wrong |= {"PGSSLNEGOTIATION": "direct", "PGTARGETSESSIONATTRS": "standby", "PGOPTIONS": "-c nonsense=1"}
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    with Front(url(), good) as front:
        assert connect(front, "") == "tls"
        assert connect(front, "sslmode=require") == "tls"
        assert connect(front, "sslmode=disable") == "plain"


def test_renewed_files_are_taken_up(authority: Authority, other: Authority, tmp_path: Path) -> None:
    """A mounted secret changes under a process that runs."""
    root = tmp_path / "root.crt"
    root.write_bytes(other.root.read_bytes())
    query = f"sslmode=verify-ca&sslrootcert={root}"

    async def run(port: int) -> None:
        options = PoolOptions(parse_database_url(f"postgresql://postgres@localhost:{port}/postgres?{query}"))
        with pytest.raises(DatabaseFault, match="certificate is not accepted"):
            await start.connect(options, wait_seconds=0)
        root.write_bytes(authority.root.read_bytes())
        await (await start.connect(options, wait_seconds=0)).end(1)
        root.write_text("nonsense")
        with pytest.raises(DatabaseFault, match="sslrootcert cannot be used"):
            await start.connect(options, wait_seconds=0)

    with Front(url(), server_context(authority.make("localhost"))) as front:
        asyncio.run(run(front.port))
