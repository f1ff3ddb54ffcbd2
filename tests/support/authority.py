"""A certificate authority for tests."""

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

NOW = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


class Authority:
    """Its certificate is in `root`; those it makes are beside it, as `NAME.crt` and `NAME.key`."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.root = folder / f"{name}.crt"
        certificate = self._builder(self._name, self._key.public_key(), NOW + DAY).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.root.write_bytes(certificate.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def make(self, name: str, *, address: str | None = None, expired: bool = False, password: str = "") -> Path:
        """The certificate's file, for the host `name`."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        names: list[x509.GeneralName] = [x509.DNSName(name)]
        names += [x509.IPAddress(ipaddress.ip_address(address))] if address else []
        builder = self._builder(subject, key.public_key(), NOW - DAY if expired else NOW + DAY)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        made = self._folder / f"{name}.crt"
        made.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        lock: KeySerializationEncryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        made.with_suffix(".key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
        return made

    def revoke(self, certificate: Path) -> Path:
        """The file of the list on which it stands."""
        serial = x509.load_pem_x509_certificate(certificate.read_bytes()).serial_number
        revoked = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW - DAY).build()
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._name).last_update(NOW - DAY)
        signed = builder.next_update(NOW + DAY).add_revoked_certificate(revoked).sign(self._key, hashes.SHA256())
        file = self._folder / f"{certificate.stem}.crl"
        file.write_bytes(signed.public_bytes(Encoding.PEM))
        return file

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, end: dt.datetime) -> x509.CertificateBuilder:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(self._name).public_key(key)
        return builder.serial_number(x509.random_serial_number()).not_valid_before(NOW - 7 * DAY).not_valid_after(end)


def server_context(certificate: Path, *, clients: Path | None = None) -> ssl.SSLContext:
    """`clients` is the authority of the certificates that clients have to show."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    context.set_alpn_protocols(["postgresql"])
    if clients is not None:
        context.load_verify_locations(clients)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
