from __future__ import annotations

import os
from pathlib import Path

from meshwright.net.watched_files import WatchedFiles


def replace(file: Path, text: str) -> None:
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


def test_files_that_stay_have_not_changed(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("1")
    watched = WatchedFiles([file])

    assert [watched.have_changed() for _ in range(3)] == [False] * 3


def test_a_change_counts_once_when_the_files_stand_still(tmp_path: Path) -> None:
    one, other = tmp_path / "a", tmp_path / "b"
    for file in (one, other):
        file.write_text("1")
    watched = WatchedFiles([one, other])

    replace(one, "2")
    while_it_changes = watched.have_changed()
    replace(other, "2")

    assert [while_it_changes, *(watched.have_changed() for _ in range(3))] == [False, False, True, False]


def test_a_file_that_was_missing_and_a_file_that_is_gone_are_changes(tmp_path: Path) -> None:
    file = tmp_path / "a"
    watched = WatchedFiles([file])
    file.write_text("1")
    came = [watched.have_changed() for _ in range(2)]
    file.unlink()

    assert (came, [watched.have_changed() for _ in range(2)]) == ([False, True], [False, True])


def test_a_swap_of_the_folder_behind_a_link_is_a_change(tmp_path: Path) -> None:
    for version in ("1", "2"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "tls.crt").write_text("same size")
        os.utime(tmp_path / version / "tls.crt", (1, 1))
    (tmp_path / "..data").symlink_to("1")
    (tmp_path / "tls.crt").symlink_to("..data/tls.crt")
    watched = WatchedFiles([tmp_path / "tls.crt"])

    (tmp_path / "..next").symlink_to("2")
    (tmp_path / "..next").replace(tmp_path / "..data")

    assert [watched.have_changed() for _ in range(3)] == [False, True, False]


def test_a_change_that_could_not_be_used_counts_until_it_can(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("1")
    watched = WatchedFiles([file])
    replace(file, "2")
    looks = [watched.have_changed() for _ in range(2)]
    for _ in range(2):
        watched.could_not_be_used()
        assert watched.are_known()
        looks.append(watched.have_changed())

    assert [*looks, watched.have_changed()] == [False, True, True, True, False]
