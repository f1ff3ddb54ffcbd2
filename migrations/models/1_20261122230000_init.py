from tortoise import BaseDBAsyncClient

RUN_IN_TRANSACTION = True


async def upgrade(db: BaseDBAsyncClient) -> str:
    return """
        CREATE TABLE users (
            id uuid NOT NULL PRIMARY KEY,
            email varchar(254) NOT NULL UNIQUE,
            password_hash text NOT NULL,
            name varchar(200),
            created_at timestamptz NOT NULL DEFAULT now()
        );
        CREATE TABLE refresh_tokens (
            id uuid NOT NULL PRIMARY KEY,
            user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
            family uuid NOT NULL,
            token_hash varchar(64) NOT NULL UNIQUE,
            created_at timestamptz NOT NULL DEFAULT now(),
            expires_at timestamptz NOT NULL,
            used_at timestamptz
        );
        CREATE INDEX refresh_tokens_by_user ON refresh_tokens (user_id);
        CREATE INDEX refresh_tokens_by_family ON refresh_tokens (family);
        CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);
        CREATE TABLE tasks (
            id uuid NOT NULL PRIMARY KEY,
            user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
            title varchar(500) NOT NULL,
            description text,
            completed boolean NOT NULL DEFAULT false,
            created_at timestamptz NOT NULL DEFAULT now(),
            updated_at timestamptz NOT NULL DEFAULT now()
        );
        CREATE INDEX tasks_by_created_at ON tasks (user_id, created_at, id);
        CREATE TABLE IF NOT EXISTS aerich (
            id serial NOT NULL PRIMARY KEY,
            version varchar(255) NOT NULL,
            app varchar(100) NOT NULL,
            content jsonb NOT NULL
        );"""


async def downgrade(db: BaseDBAsyncClient) -> str:
    # The table aerich stays: it is where the removal of this revision is written down.
    return """
        DROP TABLE tasks;
        DROP TABLE refresh_tokens;
        DROP TABLE users;"""


MODELS_STATE = (
    "eJztmf1v2jgYx/8VlJ86aYcKAzqdTpOgpTduLUw03U07TZFJDFgkdhY7K6jX//1skzfnbd"
    "ArKFB+KnkeP479eWz3+ziPmkMsaNP6GE49SOc6WUCs/V571DBwIP+R639b04Drxl5hYGBi"
    "ywBv3dJgoql0gQllHjAZ906BTSE3WZCaHnIZIuJt2LdtYSQmb4jwLDb5GP3wIe9rBtkcet"
    "zxz3duRtiCS0jDR3dhTBG0LWXgyBLvlnaDrVxpu78fXF3LluJ1E8Mktu/guLW7YnOCo+a+"
    "j6y6iBG+GcTQAwxaiWmIUQbzDk3rEXMD83wYDdWKDRacAt8WMLQ/pj42BYMahd5PZMI6si"
    "BmiA/ao3Xx9osPwUgTUYYxHOnGXV83DG0LlCbBIg0IM8Ht8Wndb8xHWjXxgsuP3fHZu84b"
    "SYRQNvOkU9LTnmQgYGAdKnMQQ58CB9mrbcDHES8JPzSU0A9JVYxtzFJuIGMO6DzL83IOvH"
    "yealSKKR/kbpbyDmFqDlgaNsQzNuePnVYJ3C/dseTbaUm+hB866zNpGHia0qViNj0oUBiA"
    "ZTFfcQ9DDsxHrUamUFtBaD388TLLOD5A94GeT9AaYb491ykvQa8Pbvt3evf2s3idQ+kPW/"
    "Lr6n3haUrrKmU966TSFHVS+3ugf6yJx9q30bCf3ixRO/2bJsYEfEYMTB4MYCVWZ2gNqSlZ"
    "h0sX8d6ekXU1cj9Zr8jhVaUkh5BKs+zTZ23sRNgL5DdIXlU29ZHl1zO2E3qJkN0Kjqok9R"
    "eKQ+jn6SJXzAlUWbTXxINohj/BlQQ84OMA2IQ5QIPS4T7o5jCRxtZ4K3vgISo4kguKz53P"
    "GLK1ROveXXav+pokPAHm4gF4lqGgFh7SJClL1DbrcppO2gIwmEk4YhZizEnqOYVcmI3iAk"
    "5M6FS3va66DToA2duUGVHA0VUYzfYmJQZvVVhjSJ9aZLiA0gfC93R+OafDJcvnnAl8Gd7V"
    "OFtzNUj/q67Ij5Dr2W336xtFgtyMhn+GzRN5uLwZ9VL45d8tVnfY/lmwK6b3Uqv7/HyT1X"
    "1+Xry6he9UQr/OEjqjFovFTbw8sjfC6hLpBfHXn8bQBpJwoZhM30Mf2HIoEpXqxR+gi/+J"
    "SeddHBOeXSplySpHKYcMi5VylKidKuVHLZ5IstpQz05uE3Fw6fL9Qflbo4kry8qYrAw1MF"
    "w5mozm05APTyd9XiV9zhCzt1IwUcBR6EVVw7Q30jDtEg3TzmqY5Mi20OepsGMQjPsW5yZx"
    "XHFpknOu9AixIcAF2jEZlwI/4YG7WueRZb/se6PRjcK+N0jDvb/t9cdnDZkI3gitL6IGQ/"
    "2k11+pXlcuy13rmVlXI09ZP6isnz6RnD6R7BbpoX4i6UIPmXMtp/QLPG/Lij8Qt6nMd5IB"
    "LpCpubtZJCy16ILsVfeqfiaG8Fuz0bpovX/Xab3nTeQwI8tFyT4PlVBxnfWTF4i5FUBxpZ"
    "UIOcJaq9lub/Q1pF3yNaSdrrXEptqCcND8COk2NqpkGyWVbCPnNp5gBnGOyPvrbjQsKqWi"
    "kLS6Qyar/VuzEc2cFQdAuwSugFFeyqar1pQ4EB308tTBPv+ZPf0HwnGv+w=="
)
