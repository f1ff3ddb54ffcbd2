"""The key that signs access tokens: a shared secret, or a private key whose public half is published."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from jwt.algorithms import get_default_algorithms

RSA_BITS_MIN = 2048


@dataclass(frozen=True, slots=True)
class SigningKey:
    """`verification` is what `jwt.decode` takes; `public_jwk` is None for a shared secret, which is never published."""

    algorithm: str
    signing: Any
    verification: Any
    key_id: str | None = None
    public_jwk: Mapping[str, str] | None = None


def secret_key(secret: str) -> SigningKey:
    return SigningKey("HS256", secret.encode(), secret.encode())


def private_key(pem: str) -> SigningKey:
    """Raises ValueError, in words without the key, when the PEM is not a usable private key."""
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise ValueError("is not an unencrypted private key in PEM") from error
    if isinstance(key, ed25519.Ed25519PrivateKey):
        algorithm = "EdDSA"
    elif isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        algorithm = "ES256"
    elif isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < RSA_BITS_MIN:
            raise ValueError(f"is an RSA key of fewer than {RSA_BITS_MIN} bits")
        algorithm = "RS256"
    else:
        raise ValueError("must be an Ed25519, P-256 or RSA key")
    public = key.public_key()
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    key_id = base64.urlsafe_b64encode(hashlib.sha256(der).digest()[:12]).decode()
    jwk: dict[str, Any] = get_default_algorithms()[algorithm].to_jwk(public, as_dict=True)
    jwk.pop("key_ops", None)
    return SigningKey(algorithm, key, public, key_id, {**jwk, "kid": key_id, "alg": algorithm, "use": "sig"})


def encode(key: SigningKey, claims: Mapping[str, object]) -> str:
    headers = {"kid": key.key_id} if key.key_id else None
    return jwt.encode(dict(claims), key.signing, algorithm=key.algorithm, headers=headers)
