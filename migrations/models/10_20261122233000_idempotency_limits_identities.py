from tortoise import BaseDBAsyncClient

RUN_IN_TRANSACTION = True

# Expand: new tables only, which the previous release neither reads nor writes.


async def upgrade(db: BaseDBAsyncClient) -> str:
    return """
        CREATE TABLE idempotency_keys (
            id uuid NOT NULL PRIMARY KEY,
            user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
            key varchar(255) NOT NULL,
            fingerprint varchar(64) NOT NULL,
            status smallint,
            headers text[],
            body bytea,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT idempotency_keys_by_user UNIQUE (user_id, key)
        );
        CREATE INDEX idempotency_keys_by_created_at ON idempotency_keys (created_at);
        CREATE TABLE rate_limits (
            key varchar(100) NOT NULL PRIMARY KEY,
            hits timestamptz[] NOT NULL,
            updated_at timestamptz NOT NULL DEFAULT now()
        );
        CREATE INDEX rate_limits_by_updated_at ON rate_limits (updated_at);
        CREATE TABLE external_identities (
            id uuid NOT NULL PRIMARY KEY,
            issuer varchar(500) NOT NULL,
            subject varchar(255) NOT NULL,
            user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
            created_at timestamptz NOT NULL DEFAULT now(),
            CONSTRAINT external_identities_by_subject UNIQUE (issuer, subject)
        );
        CREATE INDEX external_identities_by_user ON external_identities (user_id);"""


async def downgrade(db: BaseDBAsyncClient) -> str:
    return """
        DROP TABLE external_identities;
        DROP TABLE rate_limits;
        DROP TABLE idempotency_keys;"""


MODELS_STATE = (
    "eJztXGtv4jgU/SsonzpSt5rSlo5Wq5WgpTtsKawg3Z1pVUUmMeAlcTKJMwV1+9/Xdt7BSY"
    "HyTPOp5Ppexz5+nWM7fZEMU4O6c9KcEmhjoLc0iAkiM+nXyouEgQHpj0yf44oELCvyYAYC"
    "BjoPgr63gjx3BHk6GDjEBiqhLkOgO5CaNOioNrIIMjG1YlfXmdFUqSPCo8jkYvTDhQoxR5"
    "CMoU0THh8l5Dgu/U2THXfwL6QZPz3RB4Q1OKVvpD7s0ZooQwR1LVEtpLEwblfIzOK2+/vW"
    "9Q33ZGUYKKqpuwaOvK0ZGZs4dHddpJ2wGJY2ghjagEAtVjdWdB+RwORVgxqI7cKwqFpk0O"
    "AQuDpDSPpt6GKVAVNxoP0TqfDEQ5MW2nZO2Nsvf/dLGotSlE5XVvpNWVGkJfBVTczaBmHC"
    "cHt59fKN8OFWib3g6mu9d3RW+8QRMR0ysnkiR0965YGAAC+Ut0EM9LC9ksBfjYGdAXwYkQ"
    "KfFnYV2ANDhHvUEQMIA5A2AKtkgKmiQzwiY/p48flzDs5/13scaurFsTbpyPFGV8dPqnpp"
    "DPMI42AkLAFyLKSAKFcvLhZAmXploszTkiirNmR4KEAA9DVNIciAYrCTkSm8NT/0JPhxiO"
    "jTCmpdrM/8SS0HfLl11+zL9bu/2OsMx/mhc/zqcpOlVLl1lrIe1VLtFGZS+aclf62wx8pD"
    "t9NMz0+hn/wgsTIBl5gKNp8VoMXm38AaoJZodZdOxMpyK0csZJ3Lx47bePXlgS3Iw4lwdW"
    "BQzUN7Y9oQjfAtnHGAW7QcAKtQAKjPVO79bA4T0sga9UkbPIcMJt6haN1pjSHxpvd6/6p+"
    "3ZQ4wgOgTp6BrSkJqFmKWTVTltB3PsmoGmkLwGDEwWG1YGX2Ue9RpNvIQEREHqPEXNbIWk"
    "vRmd8G2OKixHACZ8usnb77etbNt0nh1lbN04W4yWkONzkNuEk2Hxz7LZ0Eu27bYCZGOwhI"
    "wa0jhxzukM9dGeWHx6cU93AtbUXukYzcDvfYahcuFvWYWyt3NLXDIa3HWDYnEAtn93h6/g"
    "TvedJ5mbrucI4vxf8OxP8QGEgXrK3ZwEcRm6XO25yi3oNthCUfQMoYOONluEoyqnCUpXa+"
    "AGOpnWcSFpZUqvyPudTGWx1OLURzW6HVk5HF41cH0sgBSG/t5axEoZ11jmq/8fZlUBesfc"
    "u9uvcxjnKvrph7dRx1gZALWiNbwLEKlbrtY+k2aACkLyMzwoDCKYzqxSISg3rlHCXOiQwL"
    "OM6zSce0WM7JcErEOM8FFuLwNo+DNL/JCfoR4Hp0V//2KUFB2t3OH4F7rB2u2t1GCn7+d4"
    "neHfivBPae8b1U715oy7+as+Vfnb+OUErobPSLJaGX2K2Or+jx+2HJ7tHwY29ue1AHHN1M"
    "Iim6nnZg3SGLVCaG0/wO+uqYpffti4gXAc7knTDJNIuiwkOHn2GZBGJ1pkzg7J1ItaLcbm"
    "GhhuAm1RjvXwI1FvS7bDUWdu6NqrEXKapIXNEm12ffZhoWE7maxDKBU4tOMA4tQohCYlwq"
    "g5ni58Lr5fcmiYfSCvEH3l/FJUgeZ69aAj+XnBKUenSf9Chd3vWlGHsYUAh9tIUrxPGSze"
    "GcrUdTYUUQSNsWo9HsNb8Qm6YOAc7QSvG4FPADGripfh5atot9o9ttJ7BvtNLg3t81mr2j"
    "U94Q1Al5G6+tjlzq0w+qTw/3Cl3Z6mtq9fJIsDwS3Cykh3okmJLuAjk6L+6zhaloW2Hd33"
    "4G3Y1dwC+/+tz1vHCcI9h2+UXFrhfTzX+JOKTvh7ZlsylnCZRTYQVEe/3XQenSRVzBHmnf"
    "ALrewhmyOIpKgexDf1iKmBaX/vnlrHpZ+0JTeRHZw2UO2P27ers9L73GlGj610kW/wAoil"
    "ntG6A9g/ONDYa5b38GpiaYTBsIAzsDsSAivSswI96ZW2HwarDtlOOYEKEjudHq1HvfxTsy"
    "gX98NWt8l5v1g94hKD+3KqXiflDCUioWUyrWoY3UsSSQiH7KcZ40BJHP3lwhzaRuwtEsoG"
    "1+6+3vLUaPtFVPzy/Pv5zVzkPmFlry6FvA3LIV3k9KyYSHRdn6IxZSQO2xEaXHBtUSCPvu"
    "BUR3jf+bIH70hgkUaeg/+91O1qlbGJImd0gllf8qxfu/BAyM/FPP9AFnihywDBoidrDNxe"
    "z1fwOsbNk="
)
