"""The folder of a release: what it replaces, what it refuses to touch, and that a killed one never looks whole."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from neo_assets.lake.storage import Storage
from neo_assets.products.release.folder import FORMAT, Folder, Refused
from neo_assets_tests.products.release.by_hand import contents_of

KILLED_WHILE = """
import os, signal, sys
from pathlib import Path
from neo_assets.lake.storage import Storage
from neo_assets.products.release import folder

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

replaced = os.replace
calls = []

def replace(source, target):
    calls.append(target)
    if len(calls) == int(sys.argv[2]):
        die()
    replaced(source, target)

os.replace = replace
with folder.Folder(Path(sys.argv[1]), Storage("elsewhere")) as place:
    place.write("a.txt", [b"new"])
    place.write("c.txt", (die() if sys.argv[2] == "0" else b"new" for _ in [0]))
    place.finish('{"format": "%s", "files": [{"name": "a.txt"}, {"name": "c.txt"}]}' % folder.FORMAT)
"""
"""Writes a release; the argument says at which replacement it is killed, 0 for while files are made."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "release"


def write(folder: Path, lake: Storage, **files: str) -> None:
    with Folder(folder, lake) as place:
        for name, text in files.items():
            place.write(f"{name}.txt", [text.encode()])
        place.finish(json.dumps({"format": FORMAT, "files": [{"name": f"{name}.txt"} for name in files]}))


def test_it_is_created_with_digests_of_everything(folder: Path, lake: Storage) -> None:
    write(folder / "deep", lake, a="one", b="two")
    found = contents_of(folder / "deep")
    assert found.keys() == {"a.txt", "b.txt", "manifest.json", "SHA256SUMS"}
    sums = [line.split("  ") for line in found.pop("SHA256SUMS").decode().splitlines()]
    assert sums == [[hashlib.sha256(content).hexdigest(), name] for name, content in sorted(found.items())]


def test_a_former_release_is_replaced_and_hidden_files_are_left(folder: Path, lake: Storage) -> None:
    write(folder, lake, a="one", b="two")
    (folder / ".git").mkdir()
    (folder / ".git/config").write_text("mine")
    (folder / ".gitattributes").write_text("mine")
    write(folder, lake, a="new", c="three")
    found = contents_of(folder)
    assert found.keys() == {"a.txt", "c.txt", "manifest.json", "SHA256SUMS", ".git/config", ".gitattributes"}
    assert found["a.txt"] == b"new"


@pytest.mark.parametrize("name", ["notes.txt", "README.md", "manifest.json"])
def test_files_of_no_release_are_left_alone(folder: Path, lake: Storage, name: str) -> None:
    folder.mkdir()
    (folder / name).write_text("{}")
    with pytest.raises(Refused, match=rf"holds {name}, which are of no release: name another folder"):
        write(folder, lake, a="one")
    assert contents_of(folder) == {name: b"{}"}


def test_a_file_beside_a_release_is_left_alone_too(folder: Path, lake: Storage) -> None:
    write(folder, lake, a="one")
    (folder / "notes.txt").write_text("mine")
    before = contents_of(folder)
    with pytest.raises(Refused, match=r"holds notes\.txt, which"):
        write(folder, lake, a="new")
    assert contents_of(folder) == before


def test_a_manifest_cannot_have_files_deleted_elsewhere(folder: Path, lake: Storage) -> None:
    outside = folder.parent / "mine.txt"
    outside.write_text("mine")
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"format": FORMAT, "files": [{"name": "../mine.txt"}]}))
    write(folder, lake, a="one")
    assert outside.read_text() == "mine"


def test_a_file_is_no_folder(folder: Path, lake: Storage) -> None:
    folder.write_text("mine")
    with pytest.raises(Refused, match="release is a file: name a folder"):
        write(folder, lake, a="one")
    assert folder.read_text() == "mine"


def test_it_is_not_in_the_lake_nor_the_lake_in_it(lake: Storage) -> None:
    for place in (Path(lake.root), Path(lake.root) / "products", Path(lake.root).parent):
        with pytest.raises(Refused, match=r"are in each other: name a folder outside of it"):
            write(place, lake, a="one")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_one_line(folder: Path, lake: Storage) -> None:
    folder.parent.chmod(0o500)
    with pytest.raises(Refused, match="release cannot be written: Permission denied"):
        write(folder, lake, a="one")


def test_an_error_leaves_the_former_release_whole(folder: Path, lake: Storage) -> None:
    write(folder, lake, a="one")
    before = contents_of(folder)
    with pytest.raises(ZeroDivisionError), Folder(folder, lake) as place:
        place.write("a.txt", (b"x" * (1 // zero) for zero in [0]))
    assert contents_of(folder) == before


@pytest.mark.parametrize("at", range(5), ids="killed at replacement {}".format)
def test_a_killed_one_never_looks_whole_and_the_next_one_is(folder: Path, lake: Storage, at: int) -> None:
    write(folder, lake, a="old", b="old")
    before = contents_of(folder)
    died = subprocess.run([sys.executable, "-c", KILLED_WHILE, str(folder), str(at)], check=False)
    found = contents_of(folder)
    if at == 0:  # while files are made aside, the former release stays as it was
        assert {name: found.get(name) for name in before} == before
    else:  # a.txt, c.txt, SHA256SUMS, then the manifest
        assert "manifest.json" not in found
    assert died.returncode == -signal.SIGKILL
    write(folder, lake, a="newer")
    assert contents_of(folder).keys() == {"a.txt", "manifest.json", "SHA256SUMS"}
