"""What the account routes, and everything that asks who is calling, work with."""

from dataclasses import dataclass

from prometheus_client import Counter

from service.accounts.authenticator import Authenticator
from service.accounts.identities import Identities
from service.accounts.limits import Limit, Limits
from service.accounts.passwords import Passwords
from service.accounts.store import AccountStore
from service.accounts.tokens import AccessTokens
from service.http.requests import Request


@dataclass(frozen=True, slots=True)
class AccountServices:
    store: AccountStore
    passwords: Passwords
    tokens: AccessTokens
    authenticator: Authenticator
    identities: Identities
    limits: Limits
    signup_limit: Limit
    login_limit: Limit
    login_address_limit: Limit
    auth_failures: Counter


def services_of(request: Request) -> AccountServices:
    return request.services[AccountServices]
