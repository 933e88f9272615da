"""Asks a policy for what an unclean end left behind, and puts it into the plan."""

from __future__ import annotations

from dataclasses import replace

from ..layout import ImagePlan
from ..policy import LayoutPolicy
from .journal import check_journal_state
from .room import journal_room, shape_of


def with_states(plan: ImagePlan, policy: LayoutPolicy) -> ImagePlan:
    """The plan with all states; raises :class:`SpecError` for one that is not legal."""
    room = journal_room(plan)
    if room is None:
        return plan
    state = policy.journal_state(room)
    if state is None:
        return plan
    check_journal_state(state, room, shape_of(plan, state))
    return replace(plan, journal_state=state)
