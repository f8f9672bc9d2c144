"""Plugin files as their tests import them."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshwright_sdk import NoOptions
from meshwright_sdk.testing import build, import_file


def test_a_file_in_any_folder_is_a_module_whose_plugins_can_be_built(tmp_path: Path) -> None:
    file = tmp_path / "stamp.py"
    file.write_text("from meshwright_sdk import Filter\nclass Stamp(Filter): ...", "utf-8")

    stamp = build(import_file(file).Stamp)

    assert (stamp.name, stamp.options) == ("stamp", NoOptions())


def test_a_file_that_is_missing_or_no_python_is_refused(tmp_path: Path) -> None:
    (tmp_path / "stamp.txt").write_text("", "utf-8")

    with pytest.raises(FileNotFoundError):
        import_file(tmp_path / "stamp.py")
    with pytest.raises(ImportError, match=r"expected a file that ends in \.py"):
        import_file(tmp_path / "stamp.txt")
