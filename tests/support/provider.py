"""An issuer of access tokens in the shapes of the issuers that there are."""

from typing import Any

from tests.support.issuer import ABSENT, Issuer, Key, b64

API = "https://tasks.example.com"
GOOGLE_CLIENT = "1234987819200.apps.googleusercontent.com"
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed448")


class Provider(Issuer):
    """An issuer with keys as Keycloak, Entra ID, Auth0, Okta and Google publish them, side by side."""

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
