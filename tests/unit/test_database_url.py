"""`DATABASE_URL` is read as libpq reads it, and what cannot be had is named, without the URL."""

import os
import pwd
import random
import re
import traceback
from urllib.parse import quote

import pytest

from service.database.parameters import FOREIGN, PARAMETERS
from service.database.url import DatabaseUrl, Host, _read, parse_database_url
from tests.support import libpq
from tests.support.database import ROOT

FILE = quote(str(ROOT / "Makefile"))
"""Any that is there, as a URL has it."""

CANARY = "c4nary"
ACCOUNT = pwd.getpwuid(os.geteuid()).pw_name
PIECES = [
    *("u", "p", "h", "db", "é", "%C3%A9", "%40", "%2F", "%2C", "%25", "%zz", "%", "%00", "#", "+", ".", "5432"),
    *(":", "@", "/", "?", "&", "=", ",", "[", "]", "::1", "h1:1,h2:2", "//", "[::1]"),
    *("host=", "port=", "user=", "dbname=x", "sslmode=require", "ssl=true", "ssl=require", "options=-c%20a%3Db"),
]


def mistakes(url: str) -> list[str]:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_database_url(url)
    told = "".join(traceback.format_exception(caught.value))
    for secret in ("hunter2", CANARY):
        assert secret not in told.replace(url, "")
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("url", "hosts", "user", "password", "database"),
    [
        ("postgres://u:p@h/d", ["h:5432"], "u", "p", "d"),
        ("postgresql://u:p@h:5433/d", ["h:5433"], "u", "p", "d"),
        ("postgresql+asyncpg://u:p@h/d", ["h:5432"], "u", "p", "d"),
        ("  postgresql://u:p@h/d\n", ["h:5432"], "u", "p", "d"),
        ("postgresql://u:p%40%2F%3A%25%20ss@h/d", ["h:5432"], "u", "p@/:% ss", "d"),
        ("postgresql://u:p#a?s:s+@h/d", ["h:5432"], "u", "p#a?s:s+", "d"),
        ("postgresql://%C3%BC:%E2%82%AC@h/%C3%A9", ["h:5432"], "ü", "€", "é"),
        ("postgresql://ü:€@h/é", ["h:5432"], "ü", "€", "é"),
        ("postgresql://u@h", ["h:5432"], "u", "", "u"),
        ("postgresql://u@h:/d", ["h:5432"], "u", "", "d"),
        ("postgresql://u@h1:1,h2,h3:3/d", ["h1:1", "h2:5432", "h3:3"], "u", "", "d"),
        ("postgresql://u@[::1]:5433,[fe80::1%25eth0]/d", ["::1:5433", "fe80::1%eth0:5432"], "u", "", "d"),
        ("postgresql://u@%2Frun%2Fpostgresql/d", ["/run/postgresql:5432"], "u", "", "d"),
        ("postgresql://u@/d?host=/run/postgresql&port=5433", ["/run/postgresql:5433"], "u", "", "d"),
        ("postgresql://u@/d?host=/cloudsql/project:region:name", ["/cloudsql/project:region:name:5432"], "u", "", "d"),
        ("postgresql:///d?host=a,b&port=1,2&user=u", ["a:1", "b:2"], "u", "", "d"),
        ("postgresql://u@a,b/d?port=7", ["a:7", "b:7"], "u", "", "d"),
        ("postgresql://u:p@h/d?user=v&password=q&dbname=e&host=g", ["g:5432"], "v", "q", "e"),
        ("postgresql://h/d", ["h:5432"], ACCOUNT, "", "d"),
    ],
)
def test_urls_are_taken_in_every_usual_form(
    url: str, hosts: list[str], user: str, password: str, database: str
) -> None:
    found = parse_database_url(url)
    assert [f"{host.name}:{host.port}" for host in found.hosts] == hosts
    assert (found.user, found.password, found.database) == (user, password, database)


@pytest.mark.parametrize(
    "url",
    [
        # As the consoles of Supabase, RDS, Azure, Heroku, DigitalOcean, Render, Fly, Aiven and Cloud SQL show them
        "postgresql://postgres.abcdefgh:p@aws-0-eu-central-1.pooler.supabase.com:6543/postgres",
        "postgres://u:p@db.x.eu-west-1.rds.amazonaws.com:5432/d?sslmode=require",
        "postgres://user%40server:p@server.postgres.database.azure.com/d?sslmode=require",
        "postgres://u:p@ec2-1-2-3-4.compute-1.amazonaws.com:5432/d0",
        "postgresql://doadmin:p@db-do-user-1-0.b.db.ondigitalocean.com:25060/defaultdb?sslmode=require",
        "postgresql://u:p@dpg-abc-a.frankfurt-postgres.render.com/d",
        "postgres://u:p@top2.nearest.of.app.internal:5432/d?sslmode=disable",
        "postgres://avnadmin:p@pg-x.aivencloud.com:12345/defaultdb?sslmode=require",
        "postgresql://u:p@/d?host=/cloudsql/project:region:instance",
        "postgresql://u:p@ep-x.aws.neon.tech/d?sslmode=require&connect_timeout=15&options=endpoint%3Dep-x",
        "postgresql://u:p@h/d?keepalives=1&keepalives_idle=30&keepalives_interval=10&keepalives_count=5",
        "postgresql://u:p@h/d?gssencmode=disable&channel_binding=prefer&sslcertmode=allow&sslsni=1",
        "postgresql://u:p@h/d?tcp_user_timeout=10000&application_name=x&fallback_application_name=y&client_encoding=utf8",
        "postgresql://u:p@h1,h2/d?target_session_attrs=read-write&load_balance_hosts=random&sslnegotiation=postgres",
    ],
)
def test_urls_that_providers_write_are_taken(url: str) -> None:
    assert parse_database_url(url).hosts


def test_what_parameters_say_is_what_the_driver_gets() -> None:
    url = parse_database_url(
        "postgresql://u:p@h/d?connect_timeout=15&keepalives_idle=30&keepalives_interval=10&keepalives_count=5"
        "&tcp_user_timeout=9000&target_session_attrs=read-write&load_balance_hosts=random&options=-c%20a%3Db"
        "&fallback_application_name=y&sslmode=require&sslnegotiation=direct&hostaddr=::1"
    )
    assert url.hosts == (Host("h", "::1", 5432),)
    keep = url.keepalive
    assert (keep.on, keep.idle, keep.interval, keep.count, keep.user_timeout) == (True, 30, 10, 5, 9000)
    assert (url.connect_timeout, url.target, url.any_order, url.options) == (15, "read-write", True, "-c a=b")
    assert (url.application_name, url.tls.mode, url.tls.direct) == ("y", "require", True)
    assert parse_database_url("postgresql://h/d?ssl=true").tls.mode == "require"
    assert parse_database_url("postgresql://h/d?sslrootcert=system").tls.mode == "verify-full"
    assert parse_database_url("postgresql://h/d?connect_timeout=0").connect_timeout is None
    assert not parse_database_url("postgresql://h/d?keepalives=0").keepalive.on


def test_a_url_means_what_libpq_makes_of_it() -> None:
    """Pieces put together at random, many of them nonsense: where both take it, both understand the same."""
    chance, compared = random.Random(12), 0
    for _ in range(20_000):
        url = "postgresql://" + "".join(chance.choice(PIECES) for _ in range(chance.randint(1, 9)))
        theirs = libpq.parse(url)
        try:
            ours, unknown = _read(url)
        except ValueError:
            continue
        if theirs is not None:
            compared += 1
            assert unknown == [], url
            assert {k: v for k, v in ours.items() if v} == {k: v for k, v in theirs.items() if v}, url
        elif not unknown:
            # We take an = in a value; and all that libpq refuses for its spelling has one, or an & at the end.
            assert "=" in url.partition("?")[2].replace("=", "", 1) or url.endswith("&") or "&&" in url or "?&" in url
    assert compared > 4_000


def test_every_parameter_of_libpq_is_taken_or_refused_by_name() -> None:
    assert libpq.keywords() <= set(PARAMETERS)
    assert not set(PARAMETERS) & set(FOREIGN)


def test_every_parameter_of_libpq_is_in_the_documentation() -> None:
    text = (ROOT / "docs/configuration.md").read_text()
    assert set(re.findall(r"`(\w+)=`", text[text.index("| parameter |") : text.index("Parameters of others")])) == set(
        PARAMETERS
    )


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("channel_binding=require", "channel_binding"),
        ("require_auth=scram-sha-256", "require_auth"),
        ("requirepeer=postgres", "requirepeer"),
        ("gssencmode=require", "gssencmode"),
        ("target_session_attrs=standby", "target_session_attrs"),
        ("target_session_attrs=prefer-standby", "target_session_attrs"),
        ("sslmode=hunter2", "sslmode"),
        ("sslmode=verify-full", "sslrootcert"),
        ("sslmode=verify-ca", "sslrootcert"),
        ("sslmode=require&sslrootcert=system", "sslrootcert"),
        ("sslmode=verify-ca&sslrootcert=/hunter2.pem", "sslrootcert"),
        (f"sslmode=verify-ca&sslrootcert={FILE}", "sslrootcert"),
        ("sslcert=/hunter2.pem", "sslcert"),
        (f"sslcert={FILE}&sslkey={FILE}&sslpassword=hunter2", "sslcert"),
        ("sslnegotiation=direct", "sslnegotiation"),
        ("sslnegotiation=hunter2", "sslnegotiation"),
        ("sslcertmode=require", "sslcertmode"),
        ("sslsni=0", "sslsni"),
        ("ssl_min_protocol_version=SSLv3", "ssl_min_protocol_version"),
        ("ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.2", "ssl_max_protocol_version"),
        ("min_protocol_version=3.2", "min_protocol_version"),
        ("client_encoding=latin1", "client_encoding"),
        ("replication=database", "replication"),
        ("connect_timeout=hunter2", "connect_timeout"),
        ("connect_timeout=1.5", "connect_timeout"),
        ("connect_timeout=-1", "connect_timeout"),
        ("keepalives_idle=99999999999", "keepalives_idle"),
        ("tcp_user_timeout=²", "tcp_user_timeout"),
        ("keepalives=yes", "keepalives"),
        ("load_balance_hosts=round-robin", "load_balance_hosts"),
        ("passfile=/hunter2", "passfile"),
        ("service=hunter2", "service"),
        ("oauth_client_secret=hunter2", "oauth_client_secret"),
        ("scram_client_key=hunter2", "scram_client_key"),
        ("sslkeylogfile=/tmp/x", "sslkeylogfile"),
        ("pgbouncer=true", "DB_POOLER"),
        ("ssl=require", "sslmode"),
        ("prepared_statement_cache_size=0", "DB_POOLER"),
        ("schema=tasks", "search_path"),
        ("search_path=tasks", "options"),
        ("database=d", "dbname"),
        ("sslmod=require", "sslmode"),
        ("SSLMODE=require", "parameter 1"),
        ("application_name=x&hunter2=c4nary", "parameter 2"),
    ],
)
def test_a_parameter_that_cannot_be_had_is_named_with_what_to_do(query: str, named: str) -> None:
    (mistake,) = mistakes(f"postgresql://u:{CANARY}@h/d?{query}")
    assert named in mistake


def test_all_that_is_wrong_with_the_parameters_is_told_at_once() -> None:
    found = mistakes("postgresql://h/d?channel_binding=require&sslmod=require&pgbouncer=true&connect_timeout=x")
    assert len(found) == 4


@pytest.mark.parametrize(
    "url",
    [
        "",
        "hunter2",
        "u:hunter2@h/d",
        "mysql://u:hunter2@h/d",
        "POSTGRES://u:hunter2@h/d",
        "postgres:/u:hunter2@h/d",
        "host=h password=hunter2",
        "postgresql://",
        "postgresql://u:hunter2@/d",
        "postgresql://u:hunter2@h1,,h2/d",
        "postgresql://u:hunter2@h/d?host=",
        "postgresql://u:hunter2@[::1/d",
        "postgresql://u:hunter2@::1/d",
        "postgresql://u:hunter2@[::1]x/d",
        "postgresql://u:hunter2@h:0/d",
        "postgresql://u:hunter2@h:65536/d",
        "postgresql://u:hunter2@h:٣/d",
        "postgresql://u:hunter2@h:1,2/d?port=1,2,3",
        "postgresql://u:hunter2@a,b/d?hostaddr=::1",
        "postgresql://u:hunter2@a..b/d",
        f"postgresql://u:hunter2@{'a' * 64}/d",
        "postgresql://u:hunter2@h%00/d",
        "postgresql://u:hunter2%@h/d",
        "postgresql://u:hunter2%FF@h/d",
        "postgresql://u:hunter2\udcff@h/d",
        "postgresql://u: hunter2@h/d",
        "postgresql://h/d?hunter2",
        # Passwords whose characters are not encoded
        "postgresql://u:x/hunter2@h/d",
        "postgresql://u:1/hunter2@h/d",
        "postgresql://u:x@hunter2@h/d",
        "postgresql://u:x@hunter2?a=b@h/d",
        "postgresql://u:x/@hunter2/c4nary@h/d",
        "postgresql://u:x%hunter2@h/d",
    ],
)
def test_a_mistake_is_told_without_the_url(url: str) -> None:
    assert mistakes(url)


def test_no_spelling_of_a_url_gives_its_password_away() -> None:
    """Whatever is put around and into it: a refusal does not repeat it, and what is taken does not show it."""
    chance = random.Random(5)
    for _ in range(5_000):
        middle = "".join(chance.choice([*PIECES, CANARY]) for _ in range(chance.randint(0, 4)))
        url = f"postgresql://u:{middle}{CANARY}{chance.choice(PIECES)}@h:1/d?connect_timeout=1"
        try:
            told = repr(parse_database_url(url))
        except ValueError as error:
            told = "".join(traceback.format_exception(error))
        assert CANARY not in told, url


def test_secrets_are_not_shown() -> None:
    shown = repr(parse_database_url("postgresql://u:hunter2@h/d?sslpassword=c4nary&options=-c%20x%3Dc4nary"))
    assert "hunter2" not in shown
    assert CANARY not in shown
    assert DatabaseUrl.__repr__ is not object.__repr__
