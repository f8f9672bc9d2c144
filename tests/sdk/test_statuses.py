from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from meshwright_sdk import Statuses, every_status


def read(*given: object) -> frozenset[int]:
    return every_status(TypeAdapter(Statuses).validate_python(given))


def test_a_status_is_written_as_number_or_text() -> None:
    assert read(503, "404") == {503, 404}


def test_a_class_stands_for_all_of_its_statuses() -> None:
    assert read("5xx") == set(range(500, 600))


@pytest.mark.parametrize("wrong", ["6xx", "50x", "99", 600, 50, True, 5.0, None, "503 "])
def test_what_is_no_status_is_refused(wrong: object) -> None:
    with pytest.raises(ValidationError, match="expected a status such as 503, or a class of them such as 5xx"):
        read(wrong)
