"""A policy to be asked: a fresh copy, whose answers are checked if it is not of this library."""

from __future__ import annotations

from .policy import LayoutPolicy


def fresh_policy(policy: LayoutPolicy) -> LayoutPolicy:
    """A fresh copy of ``policy``; all but the usual ones are wrapped in checks."""
    if type(policy) is LayoutPolicy:
        return policy.fresh()
    from .random_policy import RandomFeatures, RandomPolicy

    if type(policy) in (RandomPolicy, RandomFeatures):
        return policy.fresh()
    from .checked_policy import CheckedPolicy

    return CheckedPolicy(policy)
