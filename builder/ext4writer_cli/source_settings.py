"""Settings of one SOURCE: ``SOURCE,owner=0:0,strip-components=1``.

The keys are ``strip-components`` and the options of the command that are rules. They are applied
to that source before it is laid over the earlier ones. The options of the command are applied after
all sources are combined.
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


IMAGE_ONLY = {"file_contexts", "mount_point"}
"""Options for the entire image only, because labels depend on the final paths."""
RULES = {
    each.metadata["flags"][-1].removeprefix("--"): each
    for each in fields(RuleOptions)
    if each.name not in IMAGE_ONLY
}
"""Key -> the corresponding option for the entire image."""
KEYS = (*RULES, STRIP)
EXAMPLES = dict.fromkeys(KEYS, "...") | {"owner": "0:0", STRIP: "1", "exclude": "*.pyc"}
"""Key -> an example of a value."""

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
                _refuse_unknown(text, even_if_far=True)
                raise click.BadParameter(f"{key}: {error.message}") from None
            except ValueError:
                _refuse_unknown(text, even_if_far=True)
                raise click.BadParameter(f"{key}: {text!r} is not a valid value") from None
            _refuse_unknown(text)

    def selection(self) -> Selection:
        """The entries to read from this source; raises ``SpecError`` for an invalid glob."""
        return select(self._rules)

    def compiled(self) -> list[Rule]:
        """All other settings as rules; raises the library's errors."""
        return compile_rules(self._rules)


def parse_settings(text: str) -> tuple[str, list[tuple[str, str]]]:
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


def _refuse_unknown(value: str, *, even_if_far: bool = False) -> None:
    """Raise :class:`click.BadParameter` if ``value`` seems to contain a misspelled setting.

    A comma may belong to the value, as in ``set=*:caps=cap_chown,cap_fowner=ep``. So the word after
    it counts as a key only if it resembles one, or if the value is invalid (``even_if_far``).
    """
    for match in _LIKE_A_KEY.finditer(value):
        key = match["key"]
        close = _similar_keys(key)
        if close or even_if_far:
            raise click.BadParameter(f"{key!r} is not a setting; {_suggestion(close)}")


_LIKE_A_KEY = re.compile(r"[,\[](?P<key>[a-z][a-z_-]*)=")


def _similar_keys(key: str) -> list[str]:
    from difflib import get_close_matches  # late: rarely needed

    return get_close_matches(key.replace("_", "-"), KEYS, 1, 0.75)


def _suggestion(close: list[str]) -> str:
    guess = f"did you mean {close[0]}? " if close else ""
    return f"{guess}the settings are {', '.join(KEYS)}"


def wrong_settings(place: str) -> str | None:
    """Explain what is wrong after the path of a source, if that path exists; otherwise None."""
    for match in re.finditer(r"[,\[](?P<key>[^,=\]]*)(?P<equals>=?)", place):
        path, key = place[: match.start()], match["key"]
        if not path or not os.path.lexists(path):
            continue
        close = _similar_keys(key)
        if match["equals"]:
            return f"{key!r} is not a setting; {_suggestion(close)}"
        if key in KEYS:
            return f"{path} exists; {key} needs a value, such as {path},{key}={EXAMPLES[key]}"
        if not key:
            return f"{path} exists; remove the comma, or add a setting after it"
        if close:
            return f"{path} exists; a setting is KEY=VALUE, such as {path},{close[0]}=..."
    return None
