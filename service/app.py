"""The composition root: the only place that wires the parts together."""

import os
import socket
from dataclasses import replace

import orjson
from sanic import Sanic
from sanic.config import Config
from sanic.request import Request as SanicRequest
from sanic.response import HTTPResponse
from sanic_ext import Config as ExtensionConfig
from sanic_ext import Extend
from sanic_ext.extensions.http.extension import HTTPExtension

from service import __version__
from service.accounts.authenticator import Authenticator
from service.accounts.external import ExternalTokens
from service.accounts.identities import Identities
from service.accounts.issuer import IssuerKeys
from service.accounts.limits import Limit, Limits
from service.accounts.passwords import Passwords
from service.accounts.routes import account, sessions, well_known
from service.accounts.services import AccountServices
from service.accounts.store import AccountStore
from service.accounts.tokens import AccessTokens
from service.admin import Readiness, create_admin_app
from service.api import document
from service.background import Background
from service.database import revisions
from service.database.pool import Pool, PoolOptions
from service.database.schema_watch import Schema
from service.description.routes import Description, docs
from service.http.acceptor import Acceptor
from service.http.admission import Admission
from service.http.capacity import ADMISSION_PART, Capacity
from service.http.cors import Cors
from service.http.errors import ProblemHandler
from service.http.observer import Observer
from service.http.requests import App, Request, Services
from service.http.slots import Slots
from service.http.unsent import Unsent
from service.lifecycle import Lifecycle, pool_options
from service.rest.bodies import BODY_BYTES_MAX
from service.settings import Settings
from service.tasks.changes import SyncTokens
from service.tasks.cursors import Cursors
from service.tasks.label_routes import labels
from service.tasks.page_cache import PageCache
from service.tasks.routes import tasks
from service.tasks.services import TaskServices
from service.tasks.signing import Signer
from service.tasks.streaming import Streaming
from service.tasks.sync_routes import sync
from service.tasks.trash_routes import trash
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import make_tracer

REQUEST_SECONDS = 9
"""From a request's first byte to its last. Slow clients are cut within 15 s: up to 2 s later by the check, and 2 s more
for the answer to reach them."""

STATEMENTS_PER_REQUEST = 3
"""One after the other, at the most: a login's limits, its account and its session. What a handler takes longer than all
of them may, or than 9 s, ends in a 503."""

SHUTDOWN_SECONDS = 4.0
"""For requests under way to end; more where a statement may take longer."""

KEEP_ALIVE_SECONDS = 75
"""Longer than an ingress keeps an idle connection (nginx: 60 s), so that it is never us who closes first."""

# OPTIONS; CORS, the OpenAPI document, its page, HEAD and who is calling are ours, see docs/decisions.
_EXTENSIONS = ExtensionConfig(cors=False, http_auto_head=False, http_auto_options=True)


def create_app(settings: Settings, listener: socket.socket) -> App:
    """The service, ready to run on `listener`; it opens nothing before its server starts."""
    commit = os.environ.get("TASKS_SERVICE_COMMIT", "unknown")
    metrics = Metrics(slo_latency_seconds=settings.slo_latency_ms / 1000, version=__version__, commit=commit)
    capacity = Capacity(settings.db_pool_max, settings.concurrent_requests_per_user, settings.queued_requests_per_user)
    unsent = Unsent()
    slots = Slots(capacity, unsent, timeout_seconds=settings.db_pool_acquire_timeout_seconds)
    tracer = make_tracer(__version__)
    pool = Pool(pool_options(settings), metrics.database, Background(metrics.background))
    admission = Admission(
        waiting=lambda: pool.waiting() + slots.waiting(),
        capacity=capacity.waiting_max,
        timeout_seconds=ADMISSION_PART * settings.db_pool_acquire_timeout_seconds,
        connections_max=settings.connections_max,
    )
    metrics.watch_connections(queued=admission.queued, unsent=unsent.total)
    observer = Observer(metrics, slots, admission, tracer)
    issuer_keys = IssuerKeys(settings.oidc_issuer, metrics.background) if settings.oidc_issuer is not None else None
    accounts = _accounts(settings, pool, metrics, issuer_keys)
    tasks_services = _tasks(settings, pool, metrics)
    services = Services(
        Acceptor(listener),
        admission,
        observer,
        unsent,
        accounts,
        tasks_services,
        Description(orjson.dumps(document())),
    )
    app: App = Sanic(
        "tasks-service",
        config=server_config(settings),
        ctx=services,
        request_class=Request,
        error_handler=ProblemHandler(observer),
        configure_logging=False,
    )
    for blueprint in (sessions, account, well_known, tasks, trash, labels, sync, docs):
        app.blueprint(blueprint)
    if settings.allowed_origins:
        app.on_response(Cors(settings.allowed_origins).add_headers)
    if settings.server_timing:
        app.on_response(_server_timing)
    # Only this one: the injection would put a signal into the way of every request, even unused.
    Extend(app, extensions=[HTTPExtension], built_in_extensions=False, config=_EXTENSIONS)

    readiness = Readiness(Schema(expected=max((r.number for r in revisions.files()), default=0)))
    admin = create_admin_app(metrics, readiness, version=__version__, commit=commit)
    Lifecycle(
        app,
        admin,
        settings=settings,
        pool=pool,
        passwords=accounts.passwords,
        issuer_keys=issuer_keys,
        admission=admission,
        background=Background(metrics.background),
        streaming=tasks_services.streaming,
        metrics=metrics,
        readiness=readiness,
        tracer=tracer,
    )
    return app


def _accounts(settings: Settings, pool: Pool, metrics: Metrics, issuer_keys: IssuerKeys | None) -> AccountServices:
    store = AccountStore(
        pool,
        refresh_ttl_seconds=settings.jwt_refresh_ttl_seconds,
        refresh_leeway_seconds=settings.jwt_refresh_leeway_seconds,
    )
    tokens = AccessTokens(
        keys=settings.signing_keys,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        ttl_seconds=settings.jwt_access_ttl_seconds,
    )
    external = ExternalTokens(issuer_keys, settings.oidc_audiences) if issuer_keys is not None else None
    return AccountServices(
        store=store,
        passwords=Passwords(),
        tokens=tokens,
        authenticator=Authenticator(tokens, external),
        identities=Identities(pool),
        limits=Limits(pool, refused=metrics.auth_failures.labels("limited").inc),
        signup_limit=Limit("signup", settings.signups_per_address_per_minute),
        login_limit=Limit("login", settings.login_attempts_per_minute),
        login_address_limit=Limit("login-address", settings.failed_logins_per_address_per_minute),
        auth_failures=metrics.auth_failures,
    )


def _tasks(settings: Settings, pool: Pool, metrics: Metrics) -> TaskServices:
    retention_seconds = settings.trash_retention_seconds
    signer = Signer(*settings.cursor_keys)
    sync_tokens = SyncTokens(signer, retention_seconds=retention_seconds)
    return TaskServices(
        pool=pool,
        pages=PageCache(),
        cursors=Cursors(signer),
        sync_tokens=sync_tokens,
        streaming=Streaming(
            pool,
            sync_tokens,
            metrics.streams,
            per_user_max=settings.streams_per_user_max,
            streams_max=settings.streams_max,
            listen=_listener_options(settings),
        ),
        tasks_max=settings.tasks_per_user_max,
        retention_seconds=retention_seconds,
    )


def _listener_options(settings: Settings) -> PoolOptions | None:
    """None behind a pooler that would end a LISTEN with its transaction."""
    if settings.db_pooler == "transaction":
        return None
    return replace(pool_options(settings), application_name="tasks-service-listener")


def server_config(settings: Settings) -> Config:
    config = Config(env_prefix="")
    config.update(
        ACCESS_LOG=False,
        AUTO_EXTEND=False,
        GRACEFUL_SHUTDOWN_TIMEOUT=max(SHUTDOWN_SECONDS, settings.db_statement_timeout_seconds + 2),
        KEEP_ALIVE_TIMEOUT=KEEP_ALIVE_SECONDS,
        MOTD=False,
        PROXIES_COUNT=settings.trusted_proxies,
        REQUEST_MAX_SIZE=BODY_BYTES_MAX,
        REQUEST_TIMEOUT=REQUEST_SECONDS,
        RESPONSE_TIMEOUT=max(REQUEST_SECONDS, STATEMENTS_PER_REQUEST * settings.db_statement_timeout_seconds),
    )
    return config


def _server_timing(request: SanicRequest, response: HTTPResponse) -> None:
    if (timing := getattr(request.ctx, "timing", None)) is not None:
        response.headers["Server-Timing"] = timing.header()
