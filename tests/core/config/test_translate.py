from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from meshwright_sdk import ConfigError, Options, Secret
from tests.core.config.samples import Many, load, loaded, options_from, problems


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ("wait: 10", "wait: expected a duration with a unit such as 250ms or 5s; got 10"),
        ("size: 10", "size: expected a size with a unit such as 64KiB or 1MiB; got 10"),
        ("share: 0.05", "share: expected a percentage with its sign such as 5% or 0.1%; got 0.05"),
        ("mode: fats", 'mode: expected one of fast or slow; got "fats" (did you mean "fast"?)'),
        ("count: many", 'count: expected a whole number or auto; got "many"'),
        ("answer: 5", 'answer: expected a text or a mapping; got 5 (write it in quotes: "5")'),
        ("answer: {status: x}", 'answer.status: expected a whole number; got "x"'),
        ("zones: a", 'zones: expected a list; got "a"'),
        ("zones: [a, 1.10]", 'zones[1]: expected a text; got 1.10 (write it in quotes: "1.10")'),
        ("on: perhaps", 'on: expected true or false; got "perhaps"'),
        ("on: 7", "on: expected true or false; got 7"),
        ("factor: 0", "factor: expected a number, above 0; got 0"),
        ("factor: fast", 'factor: expected a number, above 0; got "fast"'),
        ("factor: null", "factor: expected a number, above 0; got null"),
        ("code: x1", 'code: expected a valid value; got "x1" (code x1 is not in the table)'),
        ("low: 11", "expected low below high; got 11 and 10"),
    ],
)
def test_an_error_says_what_was_expected_and_what_came(options: str, problem: str) -> None:
    separator = " " if problem.startswith("expected low") else "."
    place = "filters[0].many" + (":" if separator == " " else "")

    assert problems(f"filters:\n  - many: {{{options}}}") == [f"2: {place}{separator}{problem}"]


@pytest.mark.parametrize(
    ("attempts", "got"),
    [("0", "0"), ("11", "11"), ("1.5", "1.5"), ("two", '"two"'), ("[1]", "a list"), ("true", "true")],
)
def test_a_number_is_told_with_its_bounds_whichever_was_hurt(attempts: str, got: str) -> None:
    assert problems(f"filters: [retry: {{attempts: {attempts}}}]") == [
        f"1: filters[0].retry.attempts: expected a whole number from 1 to 10; got {got}"
    ]


@pytest.mark.parametrize("place", ["pool: {max_idle: false}", "endpoints: [{url: 'http://a', weight: true}]"])
def test_a_truth_value_is_no_number(place: str) -> None:
    found = problems(f"services: {{a: {{app: 'a:b', {place}}}}}")

    assert any("expected a whole number from 0 to " in problem for problem in found)


@pytest.mark.parametrize("value", ["on", "No", "yes", "f", "'1'", "0", "1", "1.0"])
def test_only_true_and_false_are_truth_values(value: str) -> None:
    got = value if value[0] in "01" else '"1"' if value == "'1'" else f'"{value}"'
    listener = f"listeners: [{{name: a, bind: '127.0.0.1:1', proxy_protocol: {value}}}]"
    tls = f"services: {{a: {{endpoints: ['https://a'], tls: {{verify: {value}}}}}}}"

    assert problems(listener) == [f"1: listeners[0].proxy_protocol: expected true or false; got {got}"]
    assert problems(tls) == [f"1: services.a.tls.verify: expected true or false; got {got}"]
    assert problems(f"filters: [many: {{on: {value}}}]") == [
        f"1: filters[0].many.on: expected true or false; got {got}"
    ]


@pytest.mark.parametrize("reference", ["${FLAG}", "'${FLAG}'"])
@pytest.mark.parametrize("value", ["true", "false"])
def test_a_reference_may_give_a_truth_value(reference: str, value: str) -> None:
    config = loaded(f"filters:\n- many:\n    on: {reference}", FLAG=value).config
    options = config.filters[0].options

    assert isinstance(options, Many)
    assert options.on is (value == "true")


def test_a_reference_that_gives_another_word_gives_no_truth_value() -> None:
    found = problems("filters: [many: {on: '${FLAG}'}]", FLAG="on")

    assert found == ['1: filters[0].many.on: expected true or false; got "${FLAG}"']


class Several(Options):
    either: bool | Literal["on"] | int = False
    some: dict[str, bool] | bool = False


def test_a_text_stays_one_where_a_text_may_stand_beside_a_truth_value() -> None:
    known: Any = {"filter": {"several": Several}, "router": {"table": None}, "store": {"memory": None}}

    def told(options: str) -> list[str]:
        try:
            load(f"filters: [several: {{{options}}}]", "g", environ={}, options_of=options_from(known))
        except ConfigError as error:
            return [str(problem) for problem in error.problems]
        return []

    assert told("either: on") == []
    assert told("either: 1") == []
    assert told("some: {a: on}") == ['g:1: filters[0].several.some.a: expected true or false; got "on"']
    assert told("some: on") != []


def test_the_problem_of_the_design_reads_as_designed() -> None:
    text = """
        routes:
          - filters: [request_id]
          - filters: [request_id]
          - filters:
            - rate_limit:
                rate: 100/s
                burst: 0
        """

    assert problems(text) == ["7: routes[2].filters[0].rate_limit.burst: expected a whole number, 1 or more; got 0"]


def test_a_missing_key_stands_where_it_should_be() -> None:
    assert problems("filters:\n  - jwt\n  - rate_limit: {}\n  - fallback:\n      respond:") == [
        "2: filters[0].jwt.issuer: expected a value, as this key is required; got nothing",
        "3: filters[1].rate_limit.rate: expected a value, as this key is required; got nothing",
        "5: filters[2].fallback.respond: expected a mapping; got nothing",
    ]


def test_a_misspelt_key_stands_in_its_own_line() -> None:
    found = problems("filters:\n  - rate_limit:\n      rate: 1/s\n      bursst: 5")

    assert len(found) == 1
    assert found[0].startswith("4: filters[0].rate_limit.bursst: expected one of the keys rate, burst or key; got")
    assert found[0].endswith('got an unknown key (did you mean "burst"?)')


def test_an_alias_of_a_field_is_the_key_that_is_told() -> None:
    assert "one of the keys status, headers or json" in problems("filters: [respond: {bdy: 1}]")[0]


def test_a_plugin_without_options_takes_no_keys() -> None:
    assert problems("filters: [request_id: {a: 1}]") == [
        "1: filters[0].request_id.a: expected no keys; got an unknown key"
    ]


@pytest.mark.parametrize("options", ["5", "x", "[a]", "true"])
def test_options_are_a_mapping(options: str) -> None:
    assert [problem.partition(";")[0] for problem in problems(f"filters: [rate_limit: {options}]")] == [
        "1: filters[0].rate_limit: expected a mapping"
    ]


def test_what_came_in_by_a_reference_is_never_shown() -> None:
    text = """\
filters:
  - rate_limit: {rate: "${A}", burst: "${A}", key: "${A}", "${A}": 1}
  - many:
      wait: ${A}
      mode: ${A}
      code: ${A}
      zones: ${A}
      answer: [ "${A}" ]
routes:
  - to: ${A}
    match:
      path: ${A}
      host: ["${A}/x"]
"""
    found = problems(text, A="x-hunter2")

    assert not [problem for problem in found if "hunter" in problem]
    assert sum("${A}" in problem for problem in found) >= 8
    assert any("code ${A} is not in the table" in problem for problem in found)


class Login(Options):
    user: str = ""
    password: Secret | None = None
    others: dict[str, Secret] = Field(default_factory=dict)


class Failing(Login):
    """Tells all it knows when it fails."""

    def model_post_init(self, context: object) -> None:
        raise ValueError(f"no such user: {self.user}, {self.password}, {self.others}")


class Careless(Login):
    """Tells the raw text of a secret when it fails."""

    def model_post_init(self, context: object) -> None:
        raise ValueError(f"wrong: {self.password.reveal() if self.password else ''}")


class Broken(Options):
    """Raises what Pydantic does not catch."""

    def model_post_init(self, context: object) -> None:
        raise KeyError("hunter2")


OPTIONS: dict[str, type[BaseModel]] = {"login": Login, "failing": Failing, "careless": Careless, "broken": Broken}


def refused(text: str, **environ: str) -> str:
    options_of = options_from({"filter": OPTIONS, "router": {"table": None}, "store": {"memory": None}})
    with pytest.raises(ConfigError) as caught:
        load(text, "g.yaml", environ=environ, options_of=options_of)
    return str(caught.value)


@pytest.mark.parametrize(
    "use",
    [
        "login: {password: [hunter2]}",
        "login: {password: 'hunter2', usr: x}",
        "login: {others: {a: {b: hunter2}}}",
        "login: {others: hunter2, password: {a: hunter2}, user: {b: hunter2}}",
        "failing: {user: a, password: hunter2, others: {b: hunter2}}",
        "careless: {password: hunter2}",
        "careless: {password: '${A}'}",
        "broken: {}",
    ],
)
def test_a_secret_is_never_shown(use: str) -> None:
    assert "hunter" not in refused(f"filters: [{use}]", A="hunter2")


def test_a_validator_that_breaks_is_one_problem() -> None:
    expected = "filters[0]: expected options that the plugin broken can check; got KeyError in a validator of "

    assert expected in refused("filters: [broken: {}]")


def test_the_user_and_password_of_a_url_are_not_shown() -> None:
    found = problems("services: {a: {endpoints: ['http://user:hunter2@host']}}")

    assert len(found) == 1
    assert "hunter" not in found[0]
    assert "http://***@host" in found[0]


def test_a_union_of_models_tells_of_the_member_that_was_meant() -> None:
    class Left(Options):
        left: int

    class Right(Options):
        right: int
        more: int

    class Either(Options):
        side: Left | Right | str

    options_of = options_from({"filter": {"either": Either}, "router": {"table": None}, "store": {"memory": None}})
    with pytest.raises(ConfigError) as caught:
        load("filters: [either: {side: {left: x}}]", "g.yaml", environ={}, options_of=options_of)

    assert [str(problem) for problem in caught.value.problems] == [
        'g.yaml:1: filters[0].either.side.left: expected a whole number; got "x"'
    ]


def test_a_union_that_is_told_apart_by_a_key_says_which_keys_there_are() -> None:
    class Cat(Options):
        kind: Literal["cat"]
        lives: int

    class Dog(Options):
        kind: Literal["dog"]

    class Pets(Options):
        pets: tuple[Annotated[Cat | Dog, Field(discriminator="kind")], ...]

    options_of = options_from({"filter": {"pets": Pets}, "router": {"table": None}, "store": {"memory": None}})
    with pytest.raises(ConfigError) as caught:
        load("filters: [pets: {pets: [{kind: cow}, {kind: cat, live: 9}, {}]}]", "g", environ={}, options_of=options_of)

    assert [str(problem).removeprefix("g:1: filters[0].pets.") for problem in caught.value.problems] == [
        "pets[0]: expected one of cat, dog in kind; got a mapping",
        "pets[2]: expected a value that says its kind in kind; got an empty mapping",
        "pets[1].lives: expected a value, as this key is required; got nothing",
        'pets[1].live: expected one of the keys kind or lives; got an unknown key (did you mean "lives"?)',
    ]
