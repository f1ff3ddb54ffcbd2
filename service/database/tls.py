"""TLS to the database, as libpq's `ssl…` parameters have it. Nothing comes from the environment or a home folder."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

from service.database.parameters import SSL_MODES

SYSTEM = "system"
_VERSIONS = {
    "TLSv1": ssl.TLSVersion.TLSv1,
    "TLSv1.1": ssl.TLSVersion.TLSv1_1,
    "TLSv1.2": ssl.TLSVersion.TLSv1_2,
    "TLSv1.3": ssl.TLSVersion.TLSv1_3,
}
_STRENGTH = {mode: number for number, mode in enumerate(SSL_MODES)}


class TlsFileError(ValueError):
    """A file that the URL names cannot be used; the text says which parameter names it."""


class _Context(ssl.SSLContext):
    """Checks, and asks for, the name in the URL, also where `hostaddr` says which address to call."""

    name: str | None = None

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        return super().wrap_bio(*args, **{**kwargs, "server_hostname": self.name})


@dataclass(frozen=True, slots=True)
class Tls:
    mode: str = "prefer"
    direct: bool = False
    root: str = ""
    """The file with the authorities' certificates; "system" for those that the machine trusts."""

    certificate: str = ""
    key: str = ""
    password: str = field(default="", repr=False)
    revoked: str = ""
    revoked_folder: str = ""
    minimum: str = "TLSv1.2"
    maximum: str = ""

    @classmethod
    def of(cls, given: Mapping[str, str]) -> Self:
        """Raises ValueError, also when a file cannot be used."""
        root = given.get("sslrootcert", "")
        sends = given.get("sslcertmode") != "disable"
        tls = cls(
            mode=given.get("sslmode", "verify-full" if root == SYSTEM else "prefer"),
            direct=given.get("sslnegotiation") == "direct",
            root=root,
            certificate=given.get("sslcert", "") if sends else "",
            key=given.get("sslkey", "") if sends else "",
            password=given.get("sslpassword", ""),
            revoked=given.get("sslcrl", ""),
            revoked_folder=given.get("sslcrldir", ""),
            minimum=given.get("ssl_min_protocol_version", "TLSv1.2"),
            maximum=given.get("ssl_max_protocol_version", ""),
        )
        tls._check()
        return tls

    @property
    def verifies(self) -> bool:
        """As libpq has it: an authority that is named is used, whatever `require` alone would mean."""
        return _STRENGTH[self.mode] > _STRENGTH["require"] or (self.mode == "require" and bool(self.root))

    def attempts(self, name: str) -> list[ssl.SSLContext | None]:
        """What to try one after the other: a context, or None for a connection without TLS."""
        if self.mode == "disable":
            return [None]
        context = self._context(name)
        if self.mode == "allow":
            return [None, context]
        return [context, None] if self.mode == "prefer" else [context]

    def _check(self) -> None:
        if self.root == SYSTEM and self.mode != "verify-full":
            raise ValueError(
                "sslrootcert=system needs sslmode=verify-full: anybody has a certificate of some authority"
            )
        if _STRENGTH[self.mode] > _STRENGTH["require"] and not self.root:
            raise ValueError(f"sslmode={self.mode} needs sslrootcert: a file, or system for what this machine trusts")
        if self.direct and _STRENGTH[self.mode] < _STRENGTH["require"]:
            raise ValueError("sslnegotiation=direct needs sslmode=require, verify-ca or verify-full")
        if bool(self.certificate) != bool(self.key):
            raise ValueError("sslcert and sslkey go together")
        if self.maximum and _VERSIONS[self.maximum] < _VERSIONS[self.minimum]:
            raise ValueError("ssl_max_protocol_version is below ssl_min_protocol_version")
        if self.mode != "disable":
            self._context("")

    def _context(self, name: str) -> ssl.SSLContext:
        """Made for each connection, as libpq does, so that renewed files are taken up. Raises TlsFileError."""
        context = _Context(ssl.PROTOCOL_TLS_CLIENT)
        context.name = name or None
        context.check_hostname = self.mode == "verify-full"
        context.verify_mode = ssl.CERT_REQUIRED if self.verifies else ssl.CERT_NONE
        context.minimum_version = _VERSIONS[self.minimum]
        if self.maximum:
            context.maximum_version = _VERSIONS[self.maximum]
        context.set_alpn_protocols(["postgresql"])
        if self.verifies:
            self._trust(context)
        if self.certificate:
            with _named("sslcert or sslkey"):
                context.load_cert_chain(self.certificate, self.key, password=lambda: self.password)
        return context

    def _trust(self, context: ssl.SSLContext) -> None:
        if self.root == SYSTEM:
            context.load_default_certs()
        else:
            with _named("sslrootcert"):
                context.load_verify_locations(cafile=self.root)
        if self.revoked or self.revoked_folder:
            with _named("sslcrl or sslcrldir"):
                context.load_verify_locations(self.revoked or None, self.revoked_folder or None)
            context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN


@contextmanager
def _named(parameter: str) -> Iterator[None]:
    """The parameter and the kind of the fault, never a path or what a file says."""
    try:
        yield
    except (OSError, ValueError) as error:  # an SSLError is an OSError
        raise TlsFileError(f"{parameter} cannot be used ({type(error).__name__})") from None
