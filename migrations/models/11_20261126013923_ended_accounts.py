"""Expand: when an account was deleted, and what is asked beside it.

An account's rows can be too many for one statement: its end is written down, and the service removes them in portions.
The previous release knows no such account. Its email is no address any more and its password no hash, so that nobody
logs in with either release; until its access token expires, 15 minutes at most, the previous release still shows its
owner what is left of it, and what it may still write is removed with the rest. After a rollback the rows stay until this
release is back.
"""

from tortoise import BaseDBAsyncClient

from service.database.indexes import build_index, drop_index

RUN_IN_TRANSACTION = False


async def upgrade(db: BaseDBAsyncClient) -> str:
    # Every step can be repeated: one that finds its table in use is run again, with all before it.
    await db.execute_script("ALTER TABLE users ADD COLUMN IF NOT EXISTS ended_at timestamptz")
    # After a downgrade, those that had ended before are known by what stands where their email was.
    await db.execute_script("UPDATE users SET ended_at = now() WHERE ended_at IS NULL AND email LIKE 'ended:%'")
    await build_index(db, "users_ended", "users (ended_at) WHERE ended_at IS NOT NULL")
    await build_index(db, "refresh_tokens_unused", "refresh_tokens (user_id, family) WHERE used_at IS NULL")
    return "SELECT 'built'"


async def downgrade(db: BaseDBAsyncClient) -> str:
    for name in ("refresh_tokens_unused", "users_ended"):
        await drop_index(db, name)
    return "ALTER TABLE users DROP COLUMN IF EXISTS ended_at"


MODELS_STATE = (
    "eJztXG1P4zgQ/itVPrESh5bytjqdTmqh3PYW2hOEu10QitzEbX1NnGziLFQc//3Gbt7rhL"
    "b0NZtPNOMZx37GL/OMHV4Uyzaw6R20nhl2KTLbBqaMsLHya+1FocjC8CNXZ7+mIMeJNbiA"
    "oZ4pjHCgrZGJOsGiHPU85iKdgUofmR4GkYE93SUOIzYFKfVNkwttHRQJHcQin5LvPtaYPc"
    "BsiF0oeHhQiOf58BuKPb/3L4aKHx/hgVADP8MbQYc/OiOtT7BppLpFDG4m5BobO0J2d9e+"
    "uBSavA09TbdN36KxtjNmQ5tG6r5PjANuw8sGmGIXMWwk+sabHiASiibdAAFzfRw11YgFBu"
    "4j3+QIKb/1fapzYGoedn8QHR9M0IRGu94Bf/vZ70FLE1aa1umq2m1L1TRlDnx1m3LfEMo4"
    "bi+vk3pjfIRU4S84/9y42Ts6/SAQsT02cEWhQE95FYaIoYmp8EEC9MhfaeDPh8jNAT6yyI"
    "APjV0E9lAQ4x4PxBDCEKQVwKpY6FkzMR2wITyefPxYgPPfjRsBNWgJrG2YOZPZ1QmK6pMy"
    "jnmMcTgT5gA5YVJClOsnJzOgDFq5KIuyNMq6izkeGpIAfQEljFhYDnbaMoO3EZgehD92EX"
    "3ooNGl5jhY1ArAV9vXrVu1cf0Xf53led9NgV9DbfGSupCOM9K904yfokpq/7TVzzX+WLvv"
    "dlrZ9SnSU+8V3ibkM1uj9pOGjMT6G0pD1FJe92Eh1ubbORImy9w+NuzjxbcHviH3R9LdgU"
    "M1De2l7WIyoF/wWADchnYgqmMJoEGkchdUs5uQxtJ4TLroKYpgkgMK+g49xmyyvDduzxsX"
    "LUUg3EP66Am5hpaCmpfYdTsjiXSni6y6lZUgigYCHN4L3uYA9RtA+opYhMmCx7iwMGrk3t"
    "JMrreCaHHWwHCEx/PsnYH6cvbNt4PCte2ahzPFJocFsclhGJvkx4PDwNNpsBuui8ZytEOD"
    "DNwm8djuTvnCnVG9f3jMxB6+YywYe6Qt1xN7rHUIlyv0mNorN7S04z70Y6jaI0ylq3uyvH"
    "iBn2jCugyqG1zjK/K/AfLfRxYxJXtrPvCxxWpD53UuUe/BNsZSTCBtiLzhPLFK2qp0Icvp"
    "8QwRy+lxbsDCiyqW/3NutUmv42eHQG0LeD1tWb74akecHIL0Vi5noRDaW+asDpy3LZO6ZP"
    "6tcnXviziqXF05c3UCdQmRC72RT+B4hyre9nPxNmwhYs5DMyKD0jGM+sksFAO0Co4Sp0iG"
    "gzzvyYY5LadzKn5mcpynDEtxeFsUg7S+qqnwI8R177rx9UMqBLnqdv4I1RN+OL/qNjPwi7"
    "9zjO5QfyGwtyzey4zumVL+9YKUf336OkJFofPRLzGFBkQX8XnSrqJX20av5jiPSMZsyRuA"
    "6cHQDGwvv9xgEwk4c6mC7ALijk34PNqQmjrTZySLY5Y9mSkjXgx5o3fCpEIVZYUHpp/l2A"
    "xTfayN8PidSLXj2r7gUk3BVfJtMb4kfDscd/l8OxrcK+XbL0rckWTOIh2BBTLbcngaw1B4"
    "JfjZgQXGgyZEKKTmpdYba0Etol/BaFKEKXRIPIjxKm9B+sLCoi0IailoQZVx2KaMA2zv5l"
    "ycLDIoBQNewyXxZMumcM7POGTMykCB151uiFev6Y3Ytk2MaA4bTtplgO+B4arGeSRZL/bN"
    "bvcqhX2znQX37rrZutk7FI4AJTJJrbc7apWBqDIQO3ZJsvL6krxeHfpWh76rhXRXD30z1F"
    "1CR6fJfT4xlaUVlv11bzjc+CcW1Xe9m14X9gsI2ya/mdn0Zrr6b0378H7sOi5fcuZAOWNW"
    "QrSXf+EXti7mS3KktxYyzTbNocWxVQbkAPrdYsTQXPjzy1H97PQTlIom8oezArBvrxtXV9"
    "PUawiBZnBhaPZPvGKbxb7y2jI430gwTH3d1bMNyWLaJBS5OYiFFtmswJhNztxKg1eTp1P2"
    "E0QEZnKz3WncfJNnZEL95G7W/Ka2GjudIag+qKuo4naEhBVVLCdVbGCX6ENFQhGDkv0iao"
    "hina25JJwbuklnsyRsC7y3vfdUJ0Fb/fD47PjT0elxFLlFkqLwLYzc8hneDwjJpIdF+fwj"
    "YVJC7rESpscn1RwIB+olRHeJ/30iefRGGZZx6D9vu528U7fIJBvcEZ3V/quV7z9PcDCKTz"
    "2zB5yZ4IBX0JRFB+vczF7/B5kpBd0="
)
