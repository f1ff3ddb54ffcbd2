"""Writes from several processes, keeps what was acknowledged, follows the changes, and compares at the end.

`python -m tests.cluster.ledger BASE_URL` from the root, or as a package of its own in any image that has Python: it
needs nothing but the standard library. See docs/reliability.md for what it has seen.
"""
