import hashlib
import json
import os
import sys
from pathlib import Path

import pytest

from atml.errors import CannotWrite
from atml.reports import bundle
from atml.reports.bundle import to_json, write_bundle


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.fixture
def failing(monkeypatch):
    """Let the writing of the file `fails` fail half-way with an error."""

    def failing(error):
        write = Path.write_bytes

        def fail(path, content):
            write(path, content[: len(content) // 2])
            raise error

        monkeypatch.setattr(
            Path,
            "write_bytes",
            lambda path, content: (fail if path.name == "fails" else write)(path, content),
        )
        return {"fails": b"whole"}

    return failing


def test_a_bundle_holds_its_files_and_a_manifest_with_their_checksums(tmp_path):
    folder = write_bundle(tmp_path / "study" / "97-93", {"a": b"one", "b": "äö".encode()}, {"trial": 3})
    assert folder == tmp_path / "study" / "97-93"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["trial"] == 3
    assert [entry["name"] for entry in manifest["files"]] == ["a", "b"]
    for entry in manifest["files"]:
        content = (folder / entry["name"]).read_bytes()
        assert entry["bytes"] == len(content)
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
    assert sorted(contents(folder)) == ["a", "b", "manifest.json"]
    assert [path.name for path in folder.parent.iterdir()] == ["97-93"]


def test_a_repeated_bundle_replaces_the_older_one_whole(tmp_path):
    folder = tmp_path / "97-93"
    write_bundle(folder, {"a": b"old", "gone": b"old"}, {})
    write_bundle(folder, {"a": b"new"}, {})
    assert sorted(contents(folder)) == ["a", "manifest.json"]
    assert (folder / "a").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["97-93"]


def test_a_link_to_a_folder_stays_one(tmp_path):
    elsewhere, link = tmp_path / "elsewhere" / "97-93", tmp_path / "results" / "97-93"
    link.parent.mkdir()
    link.symlink_to(elsewhere)
    for content in ("old", "new"):
        write_bundle(link, {"a": content.encode()}, {})
        assert link.is_symlink()
        assert (elsewhere / "a").read_text() == content


def test_what_people_put_into_the_folder_stays(tmp_path):
    folder = write_bundle(tmp_path / "97-93", {"a": b"old", "gone": b"old"}, {})
    (folder / "remarks.txt").write_text("mine")
    (folder / "plots").mkdir()
    (folder / "plots" / "one.svg").write_text("mine too")
    write_bundle(folder, {"a": b"new"}, {})
    assert sorted(path.name for path in folder.iterdir()) == ["a", "manifest.json", "plots", "remarks.txt"]
    assert (folder / "a").read_text() == "new"
    assert (folder / "remarks.txt").read_text() == "mine"
    assert (folder / "plots" / "one.svg").read_text() == "mine too"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert [entry["name"] for entry in manifest["files"]] == ["a"]


def test_what_people_edited_or_put_under_a_name_of_the_bundle_is_kept_beside_it(tmp_path):
    folder = tmp_path / "8KB-dscnn-trial3"
    folder.mkdir()
    (folder / "a").write_text("there before the bundle")
    (folder / "manifest.json").write_text("not a manifest")
    write_bundle(folder, {"a": b"first"}, {})
    (folder / "a").write_text("edited")
    for _ in range(2):
        write_bundle(folder, {"a": b"second"}, {})
    found = contents(folder)
    assert found["a"] == "second"
    assert sorted(text for name, text in found.items() if ".kept" in name) == [
        "edited",
        "not a manifest",
        "there before the bundle",
    ]
    assert len(found) == 5


def test_a_model_of_another_study_is_not_replaced(tmp_path):
    folder = tmp_path / "8KB-dscnn-trial3"
    one, other = ({"study": "ecm", "trial": 3, "config": {"width": (width,)}} for width in (4, 8))
    assert write_bundle(folder, {"a": b"one"}, one) == folder
    second = write_bundle(folder, {"a": b"other"}, other)
    assert second.name == "8KB-dscnn-trial3-2"
    assert (folder / "a").read_text() == "one"
    assert (second / "a").read_text() == "other"
    # Each is replaced by itself.
    assert write_bundle(folder, {"a": b"one again"}, one) == folder
    assert write_bundle(folder, {"a": b"other again"}, other) == second
    assert sorted(path.name for path in tmp_path.iterdir()) == [folder.name, second.name]


class Killed(BaseException):
    """Stands for the end of the process: nothing behind it runs but what an interpreter cannot skip."""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux swaps two folders in one step")
def test_a_bundle_stands_under_its_name_at_every_moment(tmp_path, monkeypatch):
    folder = write_bundle(tmp_path / "97-93", {"a": b"old"}, {})
    swap, seen = bundle._exchange, []

    def watched(one, other):
        seen.append((folder / "a").read_text())
        done = swap(one, other)
        seen.append((folder / "a").read_text())
        return done

    monkeypatch.setattr(bundle, "_exchange", watched)
    write_bundle(folder, {"a": b"new"}, {})
    assert seen == ["old", "new"]


def test_where_folders_cannot_be_swapped_an_older_bundle_comes_back(tmp_path, monkeypatch):
    folder = write_bundle(tmp_path / "97-93", {"a": b"old"}, {})
    (folder / "remarks.txt").write_text("mine")
    monkeypatch.setattr(bundle, "_exchange", lambda one, other: False)
    rename = Path.rename

    def killed_between(path, target):
        if path.name.endswith(".tmp"):
            raise Killed
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed_between)
        with pytest.raises(Killed):
            write_bundle(folder, {"a": b"new"}, {})
    assert not folder.exists()
    write_bundle(folder, {"a": b"newest"}, {})
    assert (folder / "a").read_text() == "newest"
    assert (folder / "remarks.txt").read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["97-93"]


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(28, "No space left on device"), CannotWrite),
        (ValueError("a bug"), ValueError),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
)
@pytest.mark.parametrize("older", [True, False])
def test_a_failed_write_leaves_neither_half_a_bundle_nor_scratch(tmp_path, failing, error, raised, older):
    folder = tmp_path / "97-93"
    if older:
        write_bundle(folder, {"a": b"old"}, {})
    before = contents(folder) if older else None
    with pytest.raises(raised):
        write_bundle(folder, {"a": b"new", **failing(error)}, {})
    assert [path.name for path in tmp_path.iterdir()] == (["97-93"] if older else [])
    assert not older or contents(folder) == before


def test_a_full_disk_is_one_message_that_names_the_place(tmp_path, failing):
    with pytest.raises(
        CannotWrite, match="97-93: the bundle cannot be written: its disk is full; make room there"
    ):
        write_bundle(tmp_path / "97-93", failing(OSError(28, "No space left on device")), {})


def test_what_a_killed_process_of_the_same_number_left_is_no_hindrance(tmp_path):
    """In a container every run may have the same process number."""
    folder = tmp_path / "97-93"
    write_bundle(folder, {"a": b"old"}, {})
    for name in (f".97-93.{os.getpid()}.tmp", f".97-93.{os.getpid()}.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").touch()
    write_bundle(folder, {"a": b"new"}, {})
    assert (folder / "a").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["97-93"]


def test_json_has_no_nan():
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"fbeta": float("nan")})
    assert to_json({"name": "Kyriakos Γ"}).endswith('Γ"\n}\n')
