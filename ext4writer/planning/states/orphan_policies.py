"""Policies that leave orphans."""

from __future__ import annotations

from ..random_policy import SeededPolicy
from .orphans import MOST_BLOCKS, DeletedFile, OrphanRoom, OrphanState, TruncatedFile


class OrphanList(SeededPolicy):
    """Files deleted while open, and interrupted truncations, in the list of the superblock."""

    name = "orphan-list"

    def orphan_state(self, room: OrphanRoom) -> OrphanState | None:
        orphans: list[DeletedFile | TruncatedFile] = [
            DeletedFile((0, 1, 3000, 20_000)[self.below(4)]) for _ in range(1 + self.below(4))
        ]
        places = list(range(len(room.sizes)))
        self.mix(places)
        orphans += [
            TruncatedFile(place, 1 + self.below(MOST_BLOCKS))
            for place in places[: 1 + self.below(3)]
        ]
        self.mix(orphans)
        return OrphanState(tuple(orphans))


class OrphanFile(OrphanList):
    """The same in the orphan file, with gaps between its entries; needs orphan_file."""

    name = "orphan-file"
    needs = "orphan_file"

    def orphan_state(self, room: OrphanRoom) -> OrphanState | None:
        state = super().orphan_state(room)
        assert state is not None
        if not room.slots:
            return state
        slots: set[int] = set()
        orphans = []
        for orphan in state.orphans:
            slot = self.below(room.slots)
            if slot in slots or self.below(8) == 0:
                orphans.append(orphan)  # in the list, as if the file were full
                continue
            slots.add(slot)
            orphans.append(orphan._replace(slot=slot))
        return OrphanState(tuple(orphans))


ORPHAN_POLICIES: tuple[type[SeededPolicy], ...] = (OrphanList, OrphanFile)
