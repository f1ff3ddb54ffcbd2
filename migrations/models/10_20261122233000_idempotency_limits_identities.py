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
    "eJztXGtP4zgU/StVPjESi4byGq1WK7VQdroD7QrC7gwIRW7itt4mTiZxBiqW/77Xbt51Ql"
    "v6zOQTzfW9iX2uH+fYCS+KZRvY9A5azwy7FJltA1NG2Fj5tfaiUGRh+JHrs19TkOPEHtzA"
    "UM8UQTjw1sjEnWBRjnoec5HOwKWPTA+DycCe7hKHEZuClfqmyY22Do6EDmKTT8l3H2vMHm"
    "A2xC4UPDwoxPN8+A3Fnt/7F8ONHx/hglADP8MTwYdfOiOtT7BppJpFDB4m7BobO8J2d9e+"
    "uBSevA49TbdN36KxtzNmQ5tG7r5PjAMew8sGmGIXMWwk2sarHiASmibNAANzfRxV1YgNBu"
    "4j3+QIKb/1fapzYGoedn8QHR9M0IRKu94Bf/rZ70FNE1Ga1umq2m1L1TRlDnx1m/LcEMo4"
    "bi+vk/vG+Airwh9w/rlxs3d0+kEgYnts4IpCgZ7yKgIRQ5NQkYME6FG+0sCfD5GbA3wUkQ"
    "EfKrsI7KEhxj3uiCGEIUgrgFWx0LNmYjpgQ7g8+fixAOe/GzcCavASWNswciajqxMU1Sdl"
    "HPMY43AkzAFyIqSEKNdPTmZAGbxyURZlaZR1F3M8NCQB+gJKGLGwHOx0ZAZvIwg9CH/sIv"
    "rQQKNLzXEwqRWAr7avW7dq4/ov/jjL876bAr+G2uIldWEdZ6x7p5k8RTep/dNWP9f4Ze2+"
    "22ll56fIT71XeJ2Qz2yN2k8aMhLzb2gNUUtl3YeJWJtv5UiELHP52HCOF18e+ILcH0lXBw"
    "7VNLSXtovJgH7BYwFwG+qBqI4lgAZM5S64zW5CGlvjPumip4jBJDsUtB1ajNlkem/cnjcu"
    "WopAuIf00RNyDS0FNS+x63bGEvlOF1l1K2tBFA0EOLwVvM4B6jeA9BWxCJORx7iwkDXybG"
    "km91sBW5yVGI7weJ61M3Bfzrr5Nilc26p5OBM3OSzgJochN8nng8Mg02mwG66LxnK0w4AM"
    "3Cbx2O4O+cKVUb1/eMxwD98xFuQe6cj1cI+1duFyUY+ptXJDUzvuQzuGqj3CVDq7J8uLJ/"
    "iJJ8zL4LrBOb4S/xsQ/31kEVOytuYDH0esljqvc4p6D7YxlmIAaUPkDefhKumo0lGW0+MZ"
    "GMvpcS5h4UWVyv85l9pk1vGzQ+BuC2Q9HVk+frUjSQ5BemsvZyEK7S1zVAfJ25ZBXbL8Vn"
    "t172Mc1V5dOffqBOoSIRdmI1/A8QZVuu3n0m3YQsScR2ZEAaVTGPWTWSQGeBUcJU6JDAd5"
    "3pMNY1ou51T8zOQ4TwWW4vC2iIO0vqop+hHiunfd+PohRUGuup0/QvdEHs6vus0M/OLvHL"
    "079F8I7C3je5nePdOWf71gy78+/TpCJaHz0S+XhJ5jtzq5oiffD0t3j2YQe/nlBptIoJtL"
    "JGWvp+1Yd8gjlanhNL2Dvjhm2X37MuLFkDd6J0wq3KKs8MDwsxybYaqPtREevxOpdny3L7"
    "hUQ3CVakz0L4kaC/tdvhqLOvdK1diLEjckqWjT6zPYeBx+dmBO8eCpUcNTQ1HrjbV0YNiH"
    "FBENzRAXr5UG3CYNCEuqORdLjgJKoUnW8NpusmZTOOdrwExYGUTJugWgblsO35iTzCtN2z"
    "Yxojn6JBmXAb4Hgavq55Flvdg3u92rFPbNdhbcu+tm62bvUCQCnMhks7PdUStN+JNqwt19"
    "ba3K+pKyXh3DVcdwq4V0V4/hMnJZIgGnBXW+GJRJ+WV/bxl2N/7Se/Wl5abnhf0CwbbJrx"
    "g2vZiu/uu/Pjwfu47Lp5w5UM6ElRDt5b+CCUsX8yX7krcWMs02zZHFcVQG5AD63VLEUF34"
    "88tR/ez0E5SKKvKLswKwb68bV1fT0msIRDN4hWP2j27imMW+u9kyON/YYJj63qZnG5LJtE"
    "kocnMQCyOyuwJjNjnnKg1eTb6dsp8QIjCSm+1O4+abfEcm9E+uZs1vaqux0zsE1SdOlVTc"
    "DkpYScVySsUGdok+VCQSMSjZL5KGKPbZmtc2c6mbdDRLaFuQve19c3BC2uqHx2fHn45Ojy"
    "PmFlmK6FvI3PIV3g+gZNLDonz9kQgpofZYidLjg2oOhAP3EqK7xP8HkDx6owzLNPSft91O"
    "3qlbFJIld0Rntf9q5ftfAByM4lPP7AFnhhzwGzRl7GCdi9nr/0+2QQ8="
)
