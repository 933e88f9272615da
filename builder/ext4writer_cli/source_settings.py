"""Settings of one SOURCE: ``SOURCE,owner=0:0,strip-components=1``.

The keys are the options of the command that are rules, and ``strip-components``. They are applied
to that source before it is laid over the earlier ones; the options of the command follow when all
sources are together.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from ext4writer.late_dataclasses import fields

from .options import Count
from .rule_options import RuleOptions, compile_rules, select

if TYPE_CHECKING:
    from ext4writer.edit.rules import Rule
    from ext4writer.edit.rules_select import Selection

STRIP = "strip-components"


OF_ALL = {"file_contexts", "mount_point"}
"""Only for the whole image, since labels depend on the final paths."""
RULES = {
    each.metadata["flags"][-1].removeprefix("--"): each
    for each in fields(RuleOptions)
    if each.name not in OF_ALL
}
"""Key -> the corresponding option for the whole image."""
KEYS = (*RULES, STRIP)

_SETTING = re.compile(rf",(?P<key>{'|'.join(map(re.escape, KEYS))})=")
_BRACKETS = re.compile(rf"\[(?P<inner>(?:{'|'.join(map(re.escape, KEYS))})=[^\]]*)\]$", re.DOTALL)


class SourceSettings:
    """The settings of one source, in order."""

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        """Raises :class:`click.BadParameter` for an invalid value."""
        self.strip_components: int | None = None
        self._rules: list[tuple[str, Any]] = []
        for key, text in pairs:
            try:
                if key == STRIP:
                    self.strip_components = Count(min=0).convert(text, None, None)
                    continue
                row = RULES[key]
                take: Callable[[str], Any] = row.metadata["click"].get("type", str)
                self._rules.append((row.name, take(text)))
            except click.BadParameter as error:
                raise click.BadParameter(f"{key}: {error.message}") from None
            except ValueError:
                raise click.BadParameter(f"{key}: {text!r} is no value of it") from None

    def selection(self) -> Selection:
        """The entries to take of this source; raises ``SpecError`` for an invalid glob."""
        return select(self._rules)

    def compiled(self) -> list[Rule]:
        """All other settings as rules of the library; raises its errors."""
        return compile_rules(self._rules)


def take_settings(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Parse ``PATH[,KEY=VALUE]...`` or ``PATH[KEY=VALUE,...]``.

    A comma that no key follows belongs to the path, or to the value before it.
    """
    bracketed = _BRACKETS.search(text)
    if bracketed is not None:
        text = f"{text[: bracketed.start()]},{bracketed['inner']}"
    found = list(_SETTING.finditer(text))
    if not found:
        return text, []
    ends = [match.start() for match in found[1:]] + [len(text)]
    pairs = [
        (match["key"], text[match.end() : end]) for match, end in zip(found, ends, strict=True)
    ]
    return text[: found[0].start()], pairs


def unknown_setting(place: str) -> str | None:
    """The first key in ``place``, which does not exist, if what is before it does."""
    for match in re.finditer(r"[,\[](?P<key>[a-z][a-z_-]*)=", place):
        if match.start() and os.path.exists(place[: match.start()]):
            return match["key"]
    return None
