"""Asks a policy what an unclean shutdown left behind, and puts it into the plan."""

from __future__ import annotations

from typing import Any

from ...late_dataclasses import replace
from ..layout import ImagePlan
from ..policy import LayoutPolicy
from ..unused_policy import without_choices
from .journal import check_journal_state
from .room import journal_room, shape_of


def with_states(plan: ImagePlan, policy: LayoutPolicy) -> ImagePlan:
    """Return the plan with all states, and with a loss if the policy had nothing to choose.

    Raises :class:`SpecError` for a state that is not valid.
    """
    chosen: dict[str, Any] = {}
    if plan.format.mmp:
        chosen["mmp_state"] = policy.mmp_state(plan.epoch)
    # fs/ext4/super.c:ext4_feature_set_ok: with shared_blocks no kernel could replay the journal.
    room = None if plan.format.shared_blocks else journal_room(plan)
    if room is not None:
        state = policy.journal_state(room)
        if state is not None:
            check_journal_state(state, room, shape_of(plan, state), policy.name)
        chosen["journal_state"] = state
    unused = list(without_choices(policy, plan))
    if unused:
        chosen["losses"] = plan.losses + unused
    return replace(plan, **chosen) if any(chosen.values()) else plan
