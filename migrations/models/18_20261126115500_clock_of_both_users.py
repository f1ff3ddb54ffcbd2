from tortoise import BaseDBAsyncClient

RUN_IN_TRANSACTION = True

# Expand: an UPDATE of tasks by SQL beside the service advances the clock also where its transaction has changed the
# user's row before, and those of both users where a task is given to another one. A row that this very statement has
# advanced is left alone; what an earlier one did to it may have been something else.


async def upgrade(db: BaseDBAsyncClient) -> str:
    return """
        CREATE OR REPLACE FUNCTION clock_foreign_update() RETURNS trigger LANGUAGE plpgsql AS $fn$
        BEGIN
            IF NEW.user_id <> OLD.user_id THEN
                PERFORM advance_tasks_clock(id, counted)
                    FROM (VALUES (OLD.user_id, -1), (NEW.user_id, 1) ORDER BY 1) AS moved (id, counted);
            ELSE
                UPDATE users SET tasks_clock = GREATEST(clock_timestamp(), tasks_clock + interval '1 microsecond')
                    WHERE id = NEW.user_id
                    AND NOT (xmin = pg_current_xact_id()::xid AND tasks_clock >= statement_timestamp());
            END IF;
            RETURN NULL;
        END $fn$;"""


async def downgrade(db: BaseDBAsyncClient) -> str:
    return """
        CREATE OR REPLACE FUNCTION clock_foreign_update() RETURNS trigger LANGUAGE plpgsql AS $fn$
        BEGIN
            UPDATE users SET tasks_clock = GREATEST(clock_timestamp(), tasks_clock + interval '1 microsecond')
                WHERE id = NEW.user_id AND xmin <> pg_current_xact_id()::xid;
            RETURN NULL;
        END $fn$;"""


MODELS_STATE = (
    "eJztXW1v2zYQ/iuGPqVAFjRuXophGGAn7uo1sYfE2fqCQqAl2uYsUa5ENTGy/PeR1LtMKZ"
    "Zi2bLCL21E3lHkcyJ5zx0lPyqmpUPDOeo9EGhjYPR1iAkiS+XX1qOCgQnpH5kyhy0FLBaR"
    "BCsgYGxwJehLq8gTR5DXg7FDbKARKjIBhgNpkQ4dzUYLgixMS7FrGKzQ0qggwtOoyMXohw"
    "tVYk0hmUGbVnz7piDHcenftNpxx/9C2vD37/QCYR0+0DtSGXa5mKsTBA09MSykMzVerpLl"
    "gpfd3fUvP3BJ1oexqlmGa+JIerEkMwuH4q6L9COmw+qmEEMbEKjHxsa67iMSFHnDoAXEdm"
    "HYVT0q0OEEuAZDSPlt4mKNAdNyoP0TafDIQ5N22naO2N3Pf/d7GtNS1cFwpN72RqqqFMBX"
    "szCzDcKE4fb45LUb4cNLFXaDi4+dm4N3Z284IpZDpjav5OgpT1wREOCpchvEQA/tlQT+Yg"
    "bsDOBDjRT4tLNlYA8KItyjBzGAMACpAlgVEzyoBsRTMqOXp2/f5uD8d+eGQ02lONYWnTne"
    "7Br4VW2vjmEeYRzMhAIgx1QaiHL79HQNlKlUJsq8LomyZkOGhwoEQF/SGoJMKAY7qZnCW/"
    "dVj4I/9hF9OkB9iI2lv6jlgD/qX/duR53rv9jtTMf5YXD8OqMeq2nz0mWq9OAsZaewkdY/"
    "/dHHFrtsfR0Oeun1KZQbfVVYn4BLLBVb9yrQY+tvUBqglrC6SxditdjOEVPZ5PaxYxuX3x"
    "7YhjyZC3cHBtUqtB8sG6Ip/gSXHOA+7QfAGhQA6nsqd34z+wlpVBo9kza4Dz2Y+ANFx05H"
    "DIm3vHduLzqXPYUjPAba/B7YupqAmtVYbStVEsquVpltM10CMJhycNgoWJ991G8o0lfIRE"
    "TkPEaVuV4js5ZqMLkKvMV1HcM5XBbZO33xzeybzzuFW9s1j9fyTY5zfJPjwDfJ9gdnvqWT"
    "YHdsGyzFaAcKKbgN5JD9nfK5O+Po67fvKd/DXeglfY+k5nZ8j60+ws1yPVb2yh0t7XBCxz"
    "EbWXOIhat7vD5/gfck6bpMRXe4xkvyvwPyPwEmMgR7azbwkUa1rvM2l6iXYBthySeQOgPO"
    "rIivktRqnMtydrKGx3J2kumwsCrJ8l/nVhu3OnxYINpaCasnNZvnX+2JkQOQnovllHKhnU"
    "3Oat94dZnUDbOvjNW9zOOQsbpmxuo46gIiF1gjm8CxAUne9rp4GzQBMorQjFChcQyjfboO"
    "xaBSOanEFZKxAI5zb9E5LaZzI/hAxDivKDYieZvng/Q+jxLuR4DrwXXn85uEC3I1HPwRiM"
    "fscHE17Kbg5/8XeLoD+VJg18zfSz3da4X82zkh//bqcQRJobPRbzCFpoiWsXlcT9KrOtMr"
    "Apy5o2qGpc2LGjmlKmd2XQy/zsz2jWe5WDC5+zjDVUlppUyO8DrZ2zKT+W1VBp6yHvzSPj"
    "45P3n/7uzkPRXhnQxLznNs3h+MROw6mwzGGVD8PG0S/a6v++HTDTQAH9Iq1jnHefdskmWR"
    "8MTjuppxLI9ZOs/ZRLy8GAXFh03Yl8F16TU1oi01Fa0NoNRkeOhiZS4sArG2VOdw+UKk+l"
    "Frn2CjFqwqY33xWSgI+aUmaXbkb2VhqDQC+KhEw4tHUYNeeAyBljE9+LCg67JD7xrCIVzO"
    "1PFSDeLWwbOlcH06EH7x1IzII78T++dkz0KNSfMW4RRJTZl5rTV1RMQoFHILFZoXc6vkFa"
    "B4z1Zgzo4np9SaAPa2g8maZS74QiRwdSzLgABnxDrjeingx1SxUch3h8OrBPLdfhrau+tu"
    "7+bgmJuBCiEvberx5ppGl/cH/73bMGp04F1auTIrh2tgmdmc0pWWrrOldUr+RK4Js3GGax"
    "Jq5Fm2UVZllkr7dRSFEtQo1JKzos6zYmEjy/ZD8Un73prAMDJzK3G9rSVWqiRIXm7lXfv8"
    "LEyrsIu8jMrtdefqatU9pCP041hrv2EYqZR7x7BmYD5DgFbfLZSnZuWp2Woh3ddTs1kh9O"
    "dj57uNmSeZrl8WxhueCaCHgXO/lZzYOVtGxD1IsrCyPfBbKdWD+B5Z9v7xNhqdPmjKweUt"
    "x5nrttzKQHM93IWmBZpLPedhiQw1y+OONWHla33xqz6hZ2n1rVldhqJfS9BNhqJlKFrOit"
    "qEokvtcRUf8t/TQHQpKGNRgLGLDIKwc8TutwvmL4xP87eGirOeSEtyngKcR2YDZDZAZgOE"
    "2YDU2wiCvMDq+wrZGQLRmxKb/rGE4HFjX6yVP5Ow63XhMCdwvctPEO86qFD9p/sn9P7Qpq"
    "6q6A3WbJRTag1Ee/PfT6RbF3EFbm8+i4i05HGWBJwzCHT/+0tr04iYzqs80DK2dMFi2kUY"
    "2BmIBRppprAk3kvXjcGry9JKhzGiQGdytz/o3HwRZ6YC+fhu1v0y6nX2OlMiv08ufxqlHi"
    "6hpIrNpIodaCNtpggool9zmEcNQSRTm28uZrpuwtkscNt8672M+VXvtL3o+y6HOQzvJ3XJ"
    "hIdmsvlHTKWB3KMSpscmVQGEffEGorvBH/OJJ8kxgSIO/eftcJCVGw9V0s4d0kjrv1bzfs"
    "iHgZFw4VZOf6UPeqWcA9ZAt9jnoja/mT39D81C/L8="
)
