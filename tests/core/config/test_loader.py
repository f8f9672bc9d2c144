from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshwright.config import (
    KeyPath,
    Problem,
    plugin_entries,
    problems_beside_plugins,
    read_document,
    validate,
)
from meshwright_sdk import ConfigError, Secret
from tests.certificates import write_certificate
from tests.core.config.samples import OPTIONS, SHOP, Jwt, RateLimit, load, loaded, options_from, problems


def test_every_problem_of_a_file_is_told_at_once_in_its_order() -> None:
    text = """\
# nothing here
listeners: [{name: web, bnd: "0.0.0.0:8080"}]
admin: {token: "${TOKEN}"}
stor: redis
filters:
  - jwt: {issuer: "${file:issuer}"}
  - rate_limit: {rate: 100, burst: 0}
routes:
  - to: nobody
  - match: {path: x}
services:
  a: {endpoints: ["http://a"], connect_timeout: 10}
  b: {}
"""

    assert [problem.partition(":")[0] for problem in problems(text)] == [
        "2", "2", "3", "4", "6", "7", "7", "9", "10", "12", "13"
    ]  # fmt: skip


def test_a_reference_that_fails_is_one_problem_and_not_two() -> None:
    found = problems("services: {a: {endpoints: ['${A}'], connect_timeout: '${B}', discovery: null, zone: '${C}'}}")

    assert [problem.partition(" for")[0] for problem in found] == [
        "1: services.a.endpoints[0]: expected the environment variable A",
        "1: services.a.connect_timeout: expected the environment variable B",
        "1: services.a.zone: expected the environment variable C",
    ]


def test_a_service_that_a_failed_reference_names_is_not_missed_as_well() -> None:
    found = problems("routes: [{to: '${A}'}]\nservices: {a: {app: 'a:b'}}")

    assert len(found) == 1
    assert "expected the environment variable A" in found[0]


def test_plain_references_become_numbers_where_numbers_are_wanted() -> None:
    config = loaded("filters:\n  - rate_limit:\n      rate: ${R}\n      burst: ${B}", R="5/s", B="7").config

    options = config.filters[0].options
    assert isinstance(options, RateLimit)
    assert (options.burst, str(options.rate)) == (7, "5/s")


def test_a_token_of_digits_alone_stays_a_text() -> None:
    text = """
        admin:
          token: ${TOKEN}
        filters:
          - jwt:
              issuer: ${ISSUER}
              secret: ${TOKEN}
          - rate_limit:
              rate: 1/s
              burst: ${BURST}
        """

    config = loaded(text, TOKEN="0123456", ISSUER="1.10", BURST="5").config

    assert config.admin.token == Secret("0123456")
    assert config.filters[0].options == Jwt(issuer="1.10", secret=Secret("0123456"))
    assert config.filters[1].options == RateLimit.model_validate({"rate": "1/s", "burst": 5})


def test_problems_beside_a_token_of_digits_are_told_as_ever() -> None:
    text = "admin:\n  token: ${TOKEN}\n  bind: 5\nfilters:\n  - retry:\n      attempts: ${N}"

    assert [problem.partition(": ")[2] for problem in problems(text, TOKEN="123", N="99")] == [
        "admin.bind: expected an address such as 127.0.0.1:8080, [::1]:8080 or unix:/run/web.sock; got 5",
        "filters[0].retry.attempts: expected a whole number from 1 to 10; got ${N}",
    ]


def test_plugins_can_be_found_between_reading_and_checking(tmp_path: Path) -> None:
    write_certificate(tmp_path)
    document = read_document(SHOP, tmp_path / "gateway.yaml", environ={})

    assert plugin_entries(document) == ("./filters/tenant.py",)
    assert validate(document, options_from(OPTIONS)).document.folder == tmp_path


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("a: 1", ()),
        ("plugins: x", ()),
        ("plugins: [a, 5, b]", ("a", "", "b")),
        ("plugins: ['${NONE}', 'x${A}']", ("", "xb")),
    ],
)
def test_entries_that_are_no_texts_keep_their_place(text: str, entries: tuple[str, ...]) -> None:
    assert plugin_entries(read_document(text, "g.yaml", environ={"A": "b"})) == entries


def test_other_problems_are_told_also_when_plugins_cannot_be_had() -> None:
    document = read_document("filters: [unknown: {a: 1}]\nstor: 1\nplugins: [5]\nadmin: '${A}'", "g", environ={})

    assert [str(problem).partition(": expected")[0] for problem in problems_beside_plugins(document)] == [
        "g:4: admin",
        "g:3: plugins[0]",
        "g:2: stor",
    ]


def test_the_files_of_references_are_known(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("abc\n")

    config = loaded("admin: {token: '${file:token}'}", tmp_path)

    assert config.files == {tmp_path / "token"}
    assert config.config.admin.token == Secret("abc")


def test_a_problem_that_is_found_later_gets_its_line_and_loses_what_is_hidden() -> None:
    config = loaded("admin:\n  token: hunter2\nlisteners:\n  - name: web\n    bind: '${BIND}'", BIND="10.9.8.7:80")
    path: KeyPath = ("listeners", 0, "bind")

    found = config.problem(path, "a free address", "10.9.8.7:80 taken by hunter2")

    assert str(found) == "gateway.yaml:5: listeners[0].bind: expected a free address; got ${BIND} taken by ***"
    assert config.located(Problem("", None, (*path, 0), "a", "b")).line == config.line_of(path) == 5


def test_a_large_configuration_is_read_in_bearable_time() -> None:
    routes = "\n".join(f"  - match: {{path: /a{n}, methods: [GET]}}\n    to: s{n % 10}" for n in range(2000))
    services = "\n".join(f"  s{n}: {{endpoints: ['http://a:{n + 1}']}}" for n in range(10))

    config = loaded(f"routes:\n{routes}\nservices:\n{services}").config

    assert len(config.routes) == 2000


def test_a_large_configuration_that_is_wrong_everywhere_is_told_in_bearable_time() -> None:
    found = problems("routes:\n" + "\n".join(f"  - {{mtch{n}: 1, too: 2}}" for n in range(5000)))

    assert 100 < len(found) <= 201


def attempt(text: str) -> None:
    """Load a text; whatever is wrong with it must come as problems."""
    try:
        load(text, "g.yaml", environ={"A": "x", "N": "5"}, options_of=options_from(OPTIONS))
    except ConfigError as error:
        assert all(isinstance(problem, Problem) for problem in error.problems)  # noqa: PT017
        assert "nput should" not in str(error)  # noqa: PT017


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    attempt(text)


WORDS = st.sampled_from(
    re.findall(
        r"\S+",
        """a 5 0 -1 true null 1.5 10 5s 100/s '' '${A}' '${N}' '${X}' '${' /a /{a}/* http://a '127.0.0.1:80' unix:/a
        rate_limit jwt many table redis [] {}""",
    )
)
KEYS = st.sampled_from(
    re.findall(
        r"\w+",
        """listeners admin plugins store router filters routes services name bind tls certificate key token match host
        certificates client_ca ca
        path path_regex methods headers query cookies to service weight sticky cookie header endpoints url zone labels
        discovery consul app balancer pool rate_limit rate burst jwt issuer many wait mode count answer zones exact
        regex present x""",
    )
)
VALUES = st.recursive(
    WORDS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(KEYS, inner, max_size=4).map(
            lambda items: "{" + ", ".join(f"{key}: {value}" for key, value in items.items()) + "}"
        ),
    ),
    max_leaves=25,
)


@given(st.dictionaries(KEYS, VALUES, min_size=1, max_size=8))
@settings(max_examples=300)
def test_any_configuration_is_read_or_refused(sections: dict[str, str]) -> None:
    attempt("\n".join(f"{key}: {value}" for key, value in sections.items()))


@given(st.lists(st.tuples(st.integers(0, len(SHOP)), st.integers(0, 40), st.text(max_size=5)), min_size=1, max_size=3))
@settings(max_examples=300)
def test_any_slip_in_a_configuration_is_read_or_refused(slips: list[tuple[int, int, str]]) -> None:
    text = SHOP
    for start, length, instead in slips:
        text = text[:start] + instead + text[start + length :]
    attempt(text)
