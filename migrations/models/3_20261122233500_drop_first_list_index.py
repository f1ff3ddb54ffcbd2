"""Contract: the list's first index, which `tasks_by_created` replaces."""

from tortoise import BaseDBAsyncClient

from service.database.indexes import build_index, drop_index

RUN_IN_TRANSACTION = False


async def upgrade(db: BaseDBAsyncClient) -> str:
    await drop_index(db, "tasks_by_created_at")
    return "SELECT 'dropped'"


async def downgrade(db: BaseDBAsyncClient) -> str:
    await build_index(db, "tasks_by_created_at", "tasks (user_id, created_at, id)")
    return "SELECT 'built'"


MODELS_STATE = (
    "eJztWW1v4jgQ/ison7rSHios0NXpdBK09JbbFlY0vVvt6RSZxIBFYmcTZwvq9b+fbfJm5+"
    "WgByhQPrWZ8TjjZ8bmeeJnzSEWtP36GE496M91soBY+7n2rGHgQPZPrv99TQOum3i5gYKJ"
    "LQK89UiD8qHCBSY+9YBJmXcKbB8ykwV900MuRYS/DQe2zY3EZAMRniWmAKPvAWRzzSCdQ4"
    "85/vqbmRG24BL60aO7MKYI2paUOLL4u4XdoCtX2B4fBze3YiR/3cQwiR04OBntruic4Hh4"
    "ECCrzmO4bwYx9ACFVmoZPMtw3ZFpnTEzUC+AcapWYrDgFAQ2B0P7ZRpgk2NQ86H3A5mwji"
    "yIKWJJe36dv/3q1zDTVJRhDEe68dDXDUPbAkqTYF4GhCnH7fllPW+Cj7Bq/AXXn7rjiw+d"
    "dwIR4tOZJ5wCPe1FBAIK1qGiBgnoU+Age7UN8EnELsGPDCXoR0hVDNsES7GBjDnw51k8r+"
    "fAy8dTjlIwZUnup5X3CKbmgKVhQzyjc/bYaZWA+0d3LPDttAS+hB066zNpGHqawiXDbHqQ"
    "Q2EAmoX5hnkocmA+1HKkArUVhtajf3bTxskBegjo2QKtEWbbc13yEuj1wX3/Qe/ef+Gvc3"
    "z/uy3w6+p97mkK60qxXnSUMsWT1P4c6J9q/LH2bTTsq5slHqd/03hOIKDEwOTJAFaqOyNr"
    "hJpUdbh0EZvtFVWXIw9T9YocXlUqcgRSaZUD/1UbOxW2g/qGxavKpj6x+nrGdkQvFbJfwl"
    "GVov4H4+D8ebrIJXMcqiy0t8SDaIY/w5UAeMDyANiEOYCG0uExnOY4IU2syVb2wFMsONIN"
    "xdbOVgzpmqJ1H667N31NIDwB5uIJeJYhQc09pEkUSzw263KajmoBGMwEOHwVPOc06jlCLq"
    "pGsYDjCzrrtrel26ADkL2NzIgDTk5hNNubSAw2qlBjCJ8sMlzg+0+E7el8OafDJc3HORO4"
    "G7yrcbbmcpD+V12iHxGuF/fdr+8kCnI3Gv4WDU/V4fpu1FPgF3+36O5o/KvArhjfU7r78n"
    "KT7r68LO5u7jtL6LcpoTNssZjcJO2R/SIst0gvjL/9PIY2EAgXkkn1O/SRtUMRqZQ//AF/"
    "8T9h0tkUpwTPPpmywCqHKUcYFjPluFB7ZcrPWrKQtNqQz87QRhyXCxBL45PApcs2i89SiF"
    "GQesyYrIxwFrGusIc0EcoWJB5Ea+ZnELjWDjIIZynJ4KwVqqQVKKL2VmwqDjgJ7irzqfZG"
    "fKpdwqfaWT6VziyDc7FWUMJOgbweWigkp1f255cQGwJcwGPTcQrwExa4rz6PLYfFvjca3U"
    "nY9wYquI/3vf74oiEKwQah9UexwVA/a4c3qh2kD/cSc9jqbkaKPFf9qKp+vq45X9fsF9Jj"
    "va7pQg+Zcy1Hhoae92VCFCRjKnNnM8AFNDV3N/OCKU0XVq+61wYznsJPzUbrqvXxQ6f1kQ"
    "0RacaWq5J9HjGhYp31gwnEXAVQrLRSISeotZrt9kY3M+2Sm5m2qrX4ptoC4XD4CaLb2EjJ"
    "NkqUbCPnZoBgCnEOyfv9YTQsklJxiMrukElr/9Rs5GfOiiNAuwRcDka5lFVVq0IO+AS9PH"
    "ZwyB+zl38BFc7bxQ=="
)
