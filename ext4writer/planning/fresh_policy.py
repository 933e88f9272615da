"""Prepares a policy for a plan: a fresh copy, with checks if its answers may be invalid."""

from __future__ import annotations

from .policy import LayoutPolicy


def fresh_policy(policy: LayoutPolicy) -> LayoutPolicy:
    """Return a fresh copy of ``policy``; only the default and random ones have no checks."""
    if type(policy) is LayoutPolicy:
        return policy.fresh()
    from .random_policy import RandomFeatures, RandomPolicy

    if type(policy) in (RandomPolicy, RandomFeatures):
        return policy.fresh()
    from .checked_policy import CheckedPolicy

    return CheckedPolicy(policy)
