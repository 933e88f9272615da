"""Patterns are matched in linear time, with the same results as backtracking."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Callable, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ext4writer import Fifo, SourceError, SpecError, Tree
from ext4writer.edit import automaton, filters
from ext4writer.edit.automaton import ANY_BYTE, Automaton, Builder, Part, byte_set, set_for_re
from ext4writer.edit.globs import GlobSet, matcher, parse_glob
from ext4writer.edit.modes import parse_mode
from ext4writer.edit.rules import apply_rules
from ext4writer.edit.rules_select import Selection
from ext4writer.edit.rules_set import set_rules
from ext4writer.edit.selinux.file_contexts import FileContexts, Substitutes
from ext4writer.edit.selinux.pcre import translate
from ext4writer.tree import S_IFREG
from tests.judges.cost import assert_linear, cpu_seconds

Made = tuple[str, Callable[[Builder], Part]]
"""An expression for ``re``, and a function that builds the same."""


def one(members: bytes) -> Made:
    return f"[{members.decode()}]", lambda builder: builder.one(byte_set(members))


def joined(parts: Sequence[Made], *, bars: bool) -> Made:
    def build(builder: Builder) -> Part:
        whole = parts[0][1](builder)
        for _, make in parts[1:]:
            following = make(builder)
            combine = builder.either if bars else builder.then
            whole = combine(whole, following)
        return whole

    return "(?:" + ("|" if bars else "").join(text for text, _ in parts) + ")", build


def repeated(part: Made, least: int, most: int | None) -> Made:
    text, make = part
    upper = "" if most is None else most
    return f"(?:{text}){{{least},{upper}}}", lambda builder: builder.repeat(
        make(builder), least, most
    )


NOTHING: Made = ("(?:)", lambda builder: builder.nothing())
COUNTS = st.sampled_from([(0, None), (1, None), (0, 1), (2, None), (0, 0), (1, 2), (2, 3), (0, 3)])
expressions = st.recursive(
    st.sampled_from([one(b"a"), one(b"b"), one(b"ab"), NOTHING]),
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda parts: joined(parts, bars=False)),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: joined(parts, bars=True)),
        st.tuples(inner, COUNTS).map(lambda made: repeated(made[0], *made[1])),
    ),
    max_leaves=8,
)
subjects = st.lists(st.text("abc", max_size=8).map(str.encode), min_size=1, max_size=20)


@settings(max_examples=300, deadline=None)
@given(made=st.lists(expressions, min_size=1, max_size=4), subjects=subjects, memory=st.booleans())
def test_the_automaton_finds_what_backtracking_finds(
    made: list[Made], subjects: list[bytes], memory: bool
) -> None:
    built = []
    for _, make in made:
        builder = Builder()
        built.append(builder.finish(make(builder)))
    with pytest.MonkeyPatch.context() as patch:
        if not memory:
            patch.setattr(automaton, "STATES_BYTES", 1000)
        together = Automaton(built)
        for subject in subjects:
            expected = [
                at for at, (text, _) in enumerate(made) if re.fullmatch(text.encode(), subject)
            ]
            assert list(together.matches(subject)) == expected, [text for text, _ in made]
        again = pickle.loads(pickle.dumps(together))
        assert again.matches(subjects[0]) == together.matches(subjects[0])


def test_an_expression_has_a_bounded_size() -> None:
    builder = Builder()
    part = builder.one(1)
    with pytest.raises(ValueError, match="more than 8192 characters"):
        builder.repeat(builder.repeat(part, 91, 91), 91, 91)


# -- globs -----------------------------------------------------------------------------------------


def glob_for_re(pattern: str) -> str:
    """The regular expression that docs/rules.md defines for a glob."""
    out, index = "", 0
    while index < len(pattern):
        rest = pattern[index:]
        if rest.startswith("**/") and (index == 0 or pattern[index - 1] == "/"):
            out, index = out + "(?:.*/)?", index + 3
        elif rest.startswith("**"):
            out, index = out + ".*", index + 2
        elif rest[0] == "*":
            out, index = out + "[^/]*", index + 1
        elif rest[0] == "?":
            out, index = out + "[^/]", index + 1
        elif found := re.match(r"\[([!^]?)(.[^\]]*)\]", rest, re.DOTALL):
            inside = re.sub(r"([\\\[\]^&~|])", r"\\\1", found[2])
            out += f"(?!/)[{'^' if found[1] else ''}{inside}]"
            index += found.end()
        else:
            taken = 2 if rest[0] == "\\" and len(rest) > 1 else 1
            out, index = out + re.escape(rest[taken - 1]), index + taken
    return out


GLOBS = st.lists(
    st.sampled_from(
        [
            r"a",
            r"b",
            r"ab",
            r"*",
            r"?",
            r"**",
            r"/",
            r"**/",
            r"\*",
            r"\a",
            r"-",
            r"[ab]",
            r"[!a]",
            r"[a-b]",
            r"[]a]",
            r"[!/]",
            r"[^b]",
            r"[-a]",
            r"[a-]",
            r"[",
        ]
    ),
    min_size=1,
    max_size=6,
).map("".join)
PATHS = st.lists(
    st.lists(st.sampled_from(["a", "b", "ab", "ba", "*", "a-", "]", "["]), min_size=1, max_size=4)
    .map("/".join)
    .map(str.encode),
    min_size=1,
    max_size=10,
    unique=True,
)


@settings(max_examples=400, deadline=None)
@given(globs=st.lists(GLOBS, min_size=1, max_size=12), paths=PATHS)
@example(globs=["**/a*b", "[!a]*"], paths=[b"x/a/ab", b"b"])
@example(globs=["[a-[ab]"], paths=[b"a"])
def test_globs_match_what_the_documentation_says(globs: list[str], paths: list[bytes]) -> None:
    kept = []
    for text in globs:
        try:
            kept.append((text, parse_glob(text)))
        except ValueError:
            # It is empty, or has a range such as b-a.
            if text.strip("/"):
                with pytest.raises(re.error, match="range"):
                    re.compile(glob_for_re(text))
    together = GlobSet(glob for _, glob in kept)
    for path in sorted(paths):
        name = path.rpartition(b"/")[2]
        expected = []
        for number, (text, glob) in enumerate(kept):
            meant = glob_for_re(text.rstrip("/").lstrip("/")).encode()
            subject = path if glob.whole else name
            if re.fullmatch(meant, subject, re.DOTALL):
                expected.append(number)
                assert subject.startswith(glob.prefix)
                assert not glob.literal or subject == glob.prefix
        assert sorted(together.all_matches(path, name)) == expected
        assert together.last_match(path, name) == max(expected, default=-1)


def test_a_selection_travels_to_other_processes() -> None:
    steps = [(True, f"*x{number}*y") for number in range(20)] + [(False, "a*"), (True, "/b/**/c*d")]
    here = Selection(steps)
    assert here.prunes(b"q/zx7zy", b"zx7zy") is False
    there = pickle.loads(pickle.dumps(here))
    assert there.prunes(b"b/x/c-d", b"c-d") and not there.prunes(b"b/x/c", b"c")


@pytest.mark.parametrize("glob", ["[z-a]", "a[b-a]"])
def test_an_invalid_range_is_refused(glob: str) -> None:
    with pytest.raises(SpecError, match="is not a range"):
        matcher([glob])


# -- policies --------------------------------------------------------------------------------------

EXPRESSIONS = st.text(alphabet=list("/ab.*+?()[]{}|^$\\-:dw1,xz!=<>"), min_size=1, max_size=14)
SUBJECTS = (
    *(b"/a", b"/ab", b"/a/b", b"a", b"b", b"/", b"ab", b"aa", b"/aa", b"-", b"", b"/a\n", b"b\n"),
    *(b"\n", b"/b/", b"/aab/b", b"a\nb", b"/1", b"x", b"/a|", b"/\xffb"),
)


@settings(max_examples=600, deadline=None)
@given(text=EXPRESSIONS)
@example("/a|b$|^a")
@example("a{0}b{2,}")
@example("(a|b){2,3}$")
@example("/[--a]")
def test_policies_match_what_backtracking_finds(text: str) -> None:
    try:
        found = translate(text)
    except ValueError:
        return
    meant = re.compile(f"(?:^{found.expression}$)".encode(), re.DOTALL)
    for subject in SUBJECTS:
        expected = meant.search(subject) is not None
        if found.rest is None:
            assert not found.literal or not expected or subject.startswith(found.prefix.encode())
        elif subject.startswith(found.prefix.encode()):
            rest = subject[len(found.prefix) :]
            assert bool(Automaton([found.rest]).matches(rest)) == expected, (subject, found)
        else:
            assert not expected
    if found.literal:
        return
    contexts = FileContexts([(f"{text.replace(' ', '')} label\n".encode(), "file")])
    for subject in SUBJECTS:
        try:
            label = contexts.lookup(subject, S_IFREG)
        except SourceError as error:
            assert found.rest is None and "ways" in str(error)
        else:
            stem = re.match(r"/[^/.^$?*+|\[({\\]+/", text)
            if stem is None or subject.startswith(stem[0].encode()):
                assert (label is not None) == (meant.search(subject) is not None), subject


@settings(max_examples=100)
@given(st.integers(0, ANY_BYTE) | st.sets(st.integers(0, 255)).map(byte_set))
def test_a_set_is_written_as_it_is(choice: int) -> None:
    written = re.compile(set_for_re(choice))
    assert byte_set(byte for byte in range(256) if written.fullmatch(bytes((byte,)))) == choice


@pytest.mark.parametrize(
    "inside", ["[a", "+--b", "+--", "a&&b", "a||b", "a~~b", "[:alpha:]", "\\w&&a", "a-\\x7a"]
)
def test_no_pattern_causes_a_python_warning(inside: str) -> None:
    """Python's ``re`` warns about these sets: later versions may interpret them differently."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for tail in ("", "(?=b)b", "(/.*)?(x*)*"):
            line = f"/[{inside}]{tail} u:o:t\n"
            FileContexts([(line.encode(), "file")]).lookup(b"/ab", S_IFREG)
            try:
                matcher([f"[{inside}]*", f"[{inside}]*a*{tail}"])
            except SpecError:
                assert inside == "a-\\x7a"


def flat(names: list[bytes]) -> Tree:
    tree = Tree()
    for name in names:
        tree.root.children[name] = Fifo(0)
    return tree


Use = Callable[[Tree, list[str]], object]


def exclude(tree: Tree, patterns: list[str]) -> None:
    Selection([(True, pattern) for pattern in patterns]).apply(tree)


def exclude_by_filter(tree: Tree, patterns: list[str]) -> None:
    filters.exclude(tree, patterns)


def give(tree: Tree, patterns: list[str]) -> None:
    text = "".join(f"{pattern}: uid=1\n" for pattern in patterns)
    apply_rules(tree, list(set_rules(text.encode(), "rules")))


def label(tree: Tree, patterns: list[str]) -> None:
    """Label with the same patterns, written as SELinux contexts."""
    words = {"**": ".*", "*": "[^/]*", "?": "[^/]", "!": "^"}
    lines = []
    for pattern in patterns:
        expression = re.sub(r"\*\*|[*?!]", lambda found: words[found[0]], pattern)
        lines.append(f"/{expression} u:o:t\n")
    FileContexts([("".join(lines).encode(), "file")]).apply(tree)


EVERYWHERE = pytest.mark.parametrize("use", [exclude, exclude_by_filter, give, label])


@EVERYWHERE
@pytest.mark.parametrize("form", ["*x%d", "*%d*x", "f*%dx", "**f*%dx", "f%04d*"])
def test_many_patterns_take_linear_time(use: Use, form: str) -> None:
    names = [b"f%04d" % number for number in range(200)]

    def using(count: int) -> Callable[[], object]:
        tree = flat(names)
        return lambda: use(tree, [form % number for number in range(count)])

    assert_linear(using, 300)


@EVERYWHERE
@pytest.mark.parametrize(
    "pattern",
    [
        "*a*a*a*a*a*a*a*a*b",
        "**a**a**a**a**a**b",
        "*[ab]*[!c]*?*?*?*?*b",
        "*" * 300 + "b",
        "*?" * 90,
    ],
)
def test_no_pattern_backtracks(use: Use, pattern: str) -> None:
    tree = flat([b"a" * length for length in range(150, 250)])
    if use is label:
        pattern = pattern.replace("*" * 300, "*")
    assert cpu_seconds(lambda: use(tree, [pattern])) < 5


@pytest.mark.parametrize(
    "expression", ["(a|a)*b", "(a*)*b", "(a?){200}b", "((a+)+)+b", "(.*.*)*b", "(a|aa)+(a|aa)+b"]
)
def test_no_selinux_policy_backtracks(expression: str) -> None:
    contexts = FileContexts([(f"/{expression} u:o:t\n".encode(), "file")])

    def work() -> None:
        for length in range(200, 255):
            assert contexts.lookup(b"/" + b"a" * length, S_IFREG) is None
        assert contexts.lookup(b"/" + b"a" * 150 + b"b", S_IFREG) == b"u:o:t"

    assert cpu_seconds(work) < 5


@pytest.mark.parametrize(
    "expression", ["(a|a)*(?=b)b", "(?>a*)*b", "(a|a)*+b", r"(a*)*\bb", "((a+)+^)*b"]
)
def test_patterns_with_unbounded_backtracking_are_refused(expression: str) -> None:
    with pytest.raises(SourceError, match="file: line 2: .* could be tried in more than"):
        FileContexts([(f"# x\n/{expression} u:o:t\n".encode(), "file")])


def test_limited_backtracking_is_bounded() -> None:
    contexts = FileContexts([(rb"/.*(?!x)a.*(?=b).*.*c u:o:t", "file")])
    assert contexts.lookup(b"/qabc", S_IFREG) == b"u:o:t"
    assert contexts.lookup(b"/qxbc", S_IFREG) is None
    with pytest.raises(SourceError, match="on a path of 3001 bytes"):
        contexts.lookup(b"/" + b"a" * 3000, S_IFREG)


def test_an_automaton_drops_states_before_it_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """The states of such an expression are all sets of its positions."""
    monkeypatch.setattr(automaton, "STATES_BYTES", 1 << 20)
    builder = Builder()
    any_of = builder.repeat(builder.one(byte_set(b"ab")), 0, None)
    part = builder.then(any_of, builder.one(byte_set(b"a")))
    whole = builder.then(part, builder.repeat(builder.one(byte_set(b"ab")), 16, 16))
    machine = Automaton([builder.finish(whole)])
    text = "".join("ab"[number * number % 7 % 2] for number in range(3000)) + f"{3**2500:b}"
    subject = text.replace("0", "a").replace("1", "b").encode()
    for end in range(17, len(subject), 97):
        assert bool(machine.matches(subject[:end])) == (subject[end - 17] == ord("a"))
        assert len(machine._states) < 4000


@settings(max_examples=200)
@given(
    pairs=st.lists(st.tuples(*2 * [st.sampled_from([b"/a", b"/a/b", b"/b", b"/", b"/b/a", b""])])),
    paths=st.lists(st.lists(st.sampled_from([b"a", b"b", b"ab"]), min_size=1, max_size=4)),
)
def test_the_last_substitution_that_fits_counts(
    pairs: list[tuple[bytes, bytes]], paths: list[list[bytes]]
) -> None:
    substitutes = Substitutes([pairs])
    for names in sorted(paths):
        path = b"".join(b"/" + name for name in names)
        expected = path
        for old, new in reversed(pairs):
            if path.startswith(old) and path[len(old) : len(old) + 1] in (b"/", b""):
                rest = path[len(old) :]
                expected = rest if new == b"/" and rest else new + rest
                break
        assert substitutes.path(path) == expected


def test_many_substitutions_take_linear_time() -> None:
    def looking(count: int) -> Callable[[], object]:
        pairs = [(b"/d%d/e" % number, b"/x") for number in range(count)]
        paths = [b"/d%d/f/g" % number for number in range(count)]

        def work() -> None:
            substitutes = Substitutes([pairs])
            for path in paths:
                substitutes.path(path)

        return work

    assert_linear(looking, 3000)


def test_long_modes_take_linear_time() -> None:
    def changing(count: int) -> Callable[[], object]:
        tree = flat([b"f%d" % number for number in range(count)])
        mode = ("u" * 50 + "+r" * 20 + ",g=u,a-x,")[:100].rstrip(",")
        rules = set_rules(f"*: {f'mode={mode} uid=1 ' * count}".encode(), "rules")
        return lambda: apply_rules(tree, list(rules))

    assert_linear(changing, 500)
    for text in ("u" * 5000 + "+r", "u" + "+r" * 3000, "+" + "r" * 5000, "0" * 5000):
        with pytest.raises(ValueError, match="at most 4,096 letters"):
            parse_mode(text)
    longest = "u" * 2047 + "+r" * 1024 + "x"
    change = parse_mode(longest)
    assert cpu_seconds(lambda: [change(bits, False) for bits in range(0o10000)] * 50) < 20
    assert change(0o4000, False) == 0o4500 and change(0o40, True) == 0o540


def test_the_later_of_two_values_counts() -> None:
    tree = flat([b"f"])
    rule = b"f: uid=1 mode=u=rw mode=g=u uid=2 mode=a+x uid=3 mtime=5 mtime=6\n"
    apply_rules(tree, list(set_rules(rule, "rules")))
    node = tree["/f"]
    assert (node.uid, node.mode, node.mtime_ns) == (3, 0o771, 6_000_000_000)


def test_a_deep_path_is_added_in_linear_time() -> None:
    assert_linear(lambda depth: lambda: Tree().directory(b"/d" * depth, parents=True), 2000)
