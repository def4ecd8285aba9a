"""Settings of every kind of nonsense: taken, or refused in words that name the setting."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowers17.errors import MAX_CHARACTERS, InvalidInput, InvalidSettings, legible
from flowers17.profiles import PROFILES
from flowers17.request import FORMS, StudyRequest, request_from
from flowers17.sweeps.combinations import SweepSettings, combinations, sweep_from
from flowers17.validation import SINGLE_SETTINGS, validated
from flows import report

N_CASES = 300
SEED = 20
GROUPS = tuple(sorted({name.rpartition(".")[0] for name in SINGLE_SETTINGS} - {""}))

NASTY_TEXTS = (
    *("", "~", "null", "true", "yes", "0", "-0", "1", "-1", "0.5", "1e-3", "17", "1e400"),
    *(".inf", "-.inf", ".nan", "0x_", "0b_", "_", "._", "0x", "0o17", "017", "1:30", "1:30.5"),
    *("2024-02-30", "2024-02-03", "2024-99-99", "2001-12-14t21:59:43.10-05:00", "24:61"),
    *("9" * 400, "9" * 5_000, "-" + "9" * 50_000, "0x" + "f" * 60_000, "0." + "1" * 9_000),
    *('"\\UFFFFFFFF"', '"\\ud800"', '"\\0"', '"\\x1b[2J"', '"\\u202e"', '"\\xZZ"', '"', "'"),
    *("\x1b[31m", "a\x00b", "\x85", "\ufeff", "a\nb", "\t", "é", "🌻", "\ud83d", "../../etc"),
    *("!!int x", "!!int ''", "!!float x", "!!bool x", "!!timestamp x", "!!binary '_'", "!<x> y"),
    *("!!python/object/apply:os.system [ls]", "!!omap 3", "! x", "!x y", "!!null x", "!!set [1]"),
    *("&a [*a]", "&a {b: *a}", "*a", "&a x", "<<", "{<<: {a: 1}}", "{<<: 3}", "=", "{=: 1}"),
    *("[" * 50, "[" * 3_000 + "]" * 3_000, "{a: " * 3_000, "- " * 3_000 + "x", "? " * 2_000),
    *("{1: 2}", "{[1]: 2}", "{{a: 1}: 2}", "{a: 1, a: 2}", "{~: 1}", "{true: 1}", "? [a]\n: b"),
    *("a: b", "a: b: c", "- a\n-b", "--- 1\n--- 2", "...", "%YAML 9.9\n---\n1", "%", "@", "`"),
    *("# no value", "{}", "[]", "[[]]", "[{}]", "[~]", "{'': 1}", "[1", ": ", "|", ">"),
    *("x" * 70_000, "x" * 60_000, "[" + "1, " * 20_000 + "]", '"' + "\\x1b" * 10_000 + '"'),
    *("svm", "[vgg16]", "nope.nope:build", "/dev/zero"),
)
NASTY_VALUES = (
    *(None, True, 0, -1, 2**63, 10**400, -(10**5_000), 0.5, math.inf, -math.inf, math.nan, 1e308),
    *("", "x", "\ud800", "\x00", "\x1b[2J", "é", "x" * 70_000, b"bytes", 3j, {1}, object()),
    *([], {}, [None], [[]], {"": 1}, {1: 2}, {None: 1}, {"a": {"b": {}}}, [1] * 30_000),
    *(["x"] * 5_000, [{"extractor": "x"}] * 500, {"x" * 5_000: 1}, Path("/"), Path("\udcff")),
    *({f"n{n}": n for n in range(2_000)},),
)


def _deep(n: int) -> Any:
    value: Any = 1
    for k in range(n):
        value = [value] if k % 2 else {"a": value}
    return value


def _own_value(name: str) -> Any:
    """Value of a setting in the profile `demo`; None if there is no such setting."""
    value: Any = PROFILES["demo"].model_dump(mode="json")
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


class _Nonsense:
    """Draws names and values of settings."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def name(self) -> str:
        """Return the name of a setting or of a group; now and then one that there is not."""
        name = self.random.choice(self.random.choice((SINGLE_SETTINGS, GROUPS)))
        distortions: tuple[Callable[[str], str], ...] = (
            *(lambda name: name,) * 12,
            lambda name: name[:-1] or "s",
            lambda name: f"{name}.{self.random.choice(GROUPS)}",
            lambda name: name + "." * 3,
            lambda name: f".{name}",
            lambda name: "a." * 3_000 + name,
            lambda name: name * 200,
            lambda name: f"{name}\x1b[2J",
            lambda name: f"{name}\udcff",
            lambda name: name.upper(),
            lambda name: f"set.{name}",
        )
        return self.random.choice(distortions)(name)

    def text(self, name: str) -> str:
        """Return a value as it stands behind `KEY=`, perhaps of several, or the profile's own."""
        if self.random.random() < 0.1:
            return json.dumps(_own_value(name))
        texts = [self.random.choice(NASTY_TEXTS) for _ in range(3)]
        forms = ("{0}",) * 6 + ("[{0}]", "[{0}, {1}]", "{{a: {0}}}", '"{0}"', "- {0}\n- {1}")
        form = self.random.choice((*forms, "{{extractor: vgg16, size: {0}}}", "{0}{1}{2}"))
        return form.format(*texts)

    def value(self) -> Any:
        """Return a value as a form or a program gives it."""
        if self.random.random() < 0.1:
            return _deep(self.random.choice((3, 20, 500, 3_000)))
        value = self.random.choice(NASTY_VALUES)
        return [value, self.random.choice(NASTY_VALUES)] if self.random.random() < 0.2 else value

    def nested(self, name: str, value: Any) -> dict[str, Any]:
        """Return a value below the names of its groups."""
        for part in reversed(name.split(".")[-10:]):
            value = {part: value}
        return dict(value)


def _assignment_request(draw: _Nonsense) -> tuple[list[str], Callable[[], Any]]:
    drawn = [draw.name() for _ in range(draw.random.choice((1, 1, 1, 2)))]
    pairs = [(name, draw.text(name)) for name in drawn]
    texts = [f"{name}={text}" for name, text in pairs]
    return [*drawn, "set"], lambda: request_from(texts)


def _axis_request(draw: _Nonsense) -> tuple[list[str], Callable[[], Any]]:
    name = draw.name()
    text = draw.text(name)
    axis = f"{name}={draw.random.choice((text, f'[{text}]', f'[{text}, 1]'))}"
    return [name, "axes"], lambda: combinations(request_from(), sweep_from([axis]))


def _variant_request(draw: _Nonsense) -> tuple[list[str], Callable[[], Any]]:
    name = draw.name()
    text = draw.text(name)
    variant = draw.random.choice((text, f"{{{json.dumps(name)}: {text}}}"))
    return ["--variant", "setting"], lambda: combinations(request_from(), sweep_from([], [variant]))


def _form_request(draw: _Nonsense) -> tuple[list[str], Callable[[], Any]]:
    name, value = draw.name(), draw.value()
    form, request = draw.random.choice(list(FORMS.values())), {name: value}
    if draw.random.random() < 0.2:  # as older forms had it
        name, request = "set", {"set": draw.nested(name, value)}
    return [name, "set"], lambda: validated(form, request)


def _form_option(draw: _Nonsense) -> tuple[list[str], Callable[[], Any]]:
    name, value = draw.random.choice(list(StudyRequest.model_fields)), draw.value()
    return [name, "a", "setting"], lambda: validated(StudyRequest, {name: value})


def _form_sweep(draw: _Nonsense) -> tuple[list[str], Callable[[], Any]]:
    name, values = draw.name(), [draw.value() for _ in range(2)]
    sweep: Any = draw.random.choice(
        (
            {"axes": [{"setting": name, "values": values}]},
            {"axes": [f"{name}={draw.text(name)}"]},
            {"axes": values},
            {"variants": [draw.nested(name, values[0])]},
            {"variants": [f"{{{name}: {draw.text(name)}}}"]},
            {"flow": values[0]},
        )
    )
    return ["setting", "axis", "expected"], lambda: combinations(
        request_from(), validated(SweepSettings, sweep)
    )


def _first_part(name: str) -> str:
    """The first part of a setting's name, which its message holds at least."""
    return legible(name.partition(".")[0][:40])


REQUESTS = (
    _assignment_request,
    _assignment_request,
    _assignment_request,
    _axis_request,
    _variant_request,
    _form_request,
    _form_option,
    _form_sweep,
)


def test_settings_of_every_kind_are_taken_or_refused_by_name(fuzz: int) -> None:
    draw = _Nonsense(SEED)
    n_accepted = 0
    for number in range(N_CASES * fuzz):
        names, request_of = REQUESTS[number % len(REQUESTS)](draw)
        try:
            request = request_of()
            if isinstance(request, StudyRequest):
                assert request.model_dump_json()
                assert request.settings
        except InvalidInput as problem:
            text = str(problem)
            assert len(text) <= MAX_CHARACTERS
            assert text == legible(text)  # nothing in it moves a terminal's cursor
            assert any(_first_part(name) in text for name in names), (names, text)
            continue
        except BaseException as problem:
            raise AssertionError(f"case {number}: {names}: {problem!r}"[:2_000]) from problem
        n_accepted += 1
        if isinstance(request, StudyRequest):
            _expect_stages_or_a_reason(request)
    assert n_accepted > N_CASES * fuzz / 50


def _expect_stages_or_a_reason(request: StudyRequest) -> None:
    try:
        assert report.stages(request.settings, request.options)
    except InvalidInput as problem:
        reason = str(problem)
        assert len(reason) <= MAX_CHARACTERS  # either will do


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ('seed="\\UFFFFFFFF"', "--set seed: expected a YAML value, got "),
        ("seed=!!int x", "--set seed: expected a YAML value, got '!!int x' (expected no tags (!)"),
        ("seed=!!timestamp 2024-02-30", "expected no tags (!), anchors (&) and aliases (*)"),
        ("seed=&a 1", "expected no tags (!), anchors (&) and aliases (*)"),
        ("seed=*a", "expected no tags (!), anchors (&) and aliases (*)"),
        ("seed=0x_", "--set seed: expected a YAML value, got '0x_'"),
        (f"seed={'9' * 5_000}", "--set seed: expected a YAML value, got '999"),
        (f"seed={'9' * 4_000}", "setting seed: expected a number of at most 300 digits"),
        (f"seed=0x{'f' * 60_000}", "setting seed: expected a number of at most 300 digits"),
        (f"seed={'[' * 30_000}", "expected lists at most 16 deep"),
        (f"seed={'1' * 70_000}", "set.0: expected at most 65536 characters, got 70005"),
        ("seed=.inf", "setting seed: expected a finite number, got inf"),
        ("dataset={n_classes: 3, n_classes: 4}", "expected names, each once, got 'n_classes'"),
        ("dataset={1: 3}", "--set dataset: expected a YAML value, got '{1: 3}' (expected names"),
        ('dataset.source="\\ud800"', "dataset.source: expected text without control characters"),
        (
            'dataset.source="a\\0b"',
            "text without control characters, got 'a\\x00b'",
        ),
        ('dataset.source="\\x1b[2J"', "expected text without control characters, got '\\x1b[2J'"),
        ("dataset.source=2001-12-14t21:59:43.10-99:00", None),
        ("dataset.source=2024-02-30", None),
        ("dataset.source=2024-02-03", None),
        ("dataset.source='<<'", None),
    ],
)
def test_values_that_yaml_stumbles_over(assignment: str, message: str | None) -> None:
    if message is None:  # text like any other
        value = assignment.partition("=")[2].strip("'")
        assert request_from([assignment]).settings.dataset.source == value
        return
    with pytest.raises(InvalidSettings) as caught:
        _ = request_from([assignment]).settings
    assert message in str(caught.value)
    assert len(str(caught.value)) <= MAX_CHARACTERS


def test_values_of_a_form_are_refused_in_the_same_words() -> None:
    for values, message in (
        ({"seed": 10**400}, "setting seed: expected a number of at most 300 digits"),
        ({"seed": _deep(30)}, r"setting seed\..*: expected values at most 16 deep"),
        ({"dataset": "a\x00b"}, "setting dataset: expected text without control characters"),
        ({"set": ["a\nb=1"]}, r"setting set\.0: expected text without control characters"),
        (
            {"sed": 1},
            r"setting sed: expected a known name, .*; did you mean seed\?",
        ),
        ({"learners.plain": [1] * 15_000}, "and 14980 more"),
    ):
        with pytest.raises(InvalidSettings, match=message) as caught:
            validated(FORMS["learners"], values)
        assert len(str(caught.value)) < MAX_CHARACTERS + 500
