"""One tree of errors; each class has its exit code, its sentence, its hint and its fields."""

import dataclasses
import pickle
import re

import pytest

from regild import errors

EXIT_CODES = {
    "RegildError": 70,
    "Unforeseen": 70,
    "UsageError": 2,
    "NothingRead": 3,
    "InputError": 4,
    "UnsupportedError": 5,
    "IntegrityError": 6,
    "PlanError": 7,
    "ChangeError": 8,
    "ProveError": 9,
    "PublishError": 13,
    "RotateError": 14,
    "HostError": 15,
}
"""The families and their exit codes, as the house says them to the user."""

CLASSES = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type)
    and issubclass(kind, BaseException)
    and kind.__module__.startswith(errors.__name__)
]
SAMPLES = {"str": "a place", "int": 3, "tuple[str, ...]": ("one", "two")}


def sample(kind: type[errors.RegildError]) -> errors.RegildError:
    return kind(*(SAMPLES[str(field.type)] for field in dataclasses.fields(kind)))


def family(kind: type) -> str:
    below = kind.__mro__[: kind.__mro__.index(errors.RegildError)]
    return below[-1].__name__ if below else "RegildError"


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_hangs_in_the_tree_with_its_familys_exit_code(kind: type) -> None:
    assert issubclass(kind, errors.RegildError)
    assert kind.exit_code == EXIT_CODES[family(kind)]


@pytest.mark.parametrize("kind", CLASSES)
def test_sentence_and_hint_are_filled_from_the_fields(kind: type[errors.RegildError]) -> None:
    error = sample(kind)
    for said in (str(error), error.advice):
        assert said and not re.search(r"[{}]|None", said)
    shown = str(error)
    for field in dataclasses.fields(kind):
        if field.name in ("where", "what", "differences"):
            first = SAMPLES[str(field.type)]
            assert (first[0] if isinstance(first, tuple) else str(first)) in shown


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_survives_the_way_between_processes(kind: type[errors.RegildError]) -> None:
    error = sample(kind)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), again.facts()) == (kind, error.facts())


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_has_a_docstring_of_its_own(kind: type) -> None:
    assert (kind.__dict__.get("__doc__") or "").strip().endswith(".")


def test_every_error_can_be_had_from_the_door() -> None:
    below = [errors.RegildError]
    for kind in below:
        below += kind.__subclasses__()
    mine = {kind for kind in below if kind.__module__.startswith("regild.")}
    assert mine == set(CLASSES)
    assert sorted(errors.__all__) == sorted(kind.__name__ for kind in CLASSES)


def test_the_drawing_at_the_head_shows_every_family_with_its_code() -> None:
    drawn = re.findall(r"^ +(?:[├└]── )?(\w+) +(\d+) ", errors.__doc__ or "", re.MULTILINE)
    assert sorted((name, int(code)) for name, code in drawn) == sorted(EXIT_CODES.items())
    assert {kind.__name__ for kind in errors.RegildError.__subclasses__()} | {"RegildError"} == set(
        EXIT_CODES
    )
