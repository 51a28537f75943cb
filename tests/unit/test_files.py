"""Files that are there whole or not at all, and what is said when they cannot be."""

import errno
import os
import re
import stat
from pathlib import Path

import pytest

from atml import files
from atml.errors import AtmlError, CannotWrite, DataError
from atml.files import (
    cannot_write,
    make_folder,
    prepare_folder,
    read_file,
    remove_abandoned,
    whole,
    whole_directory,
    why_unreadable,
    write_whole,
)
from tests.disks import small_disk


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", mebibytes=2) as disk:
        yield disk


def names(folder):
    return sorted(one.name for one in folder.iterdir())


class TestWriteWhole:
    def test_the_content_is_there_and_no_other_file(self, path):
        write_whole(path, b"new")
        assert path.read_bytes() == b"new"
        assert names(path.parent) == [path.name]

    def test_an_older_file_is_replaced(self, path):
        write_whole(path, b"a long old content")
        write_whole(path, b"new")
        assert path.read_bytes() == b"new"

    def test_others_may_read_it_as_any_file(self, path):
        umask = os.umask(0o022)
        try:
            write_whole(path, b"new")
        finally:
            os.umask(umask)
        assert stat.S_IMODE(path.stat().st_mode) == 0o644

    def test_a_full_disk_keeps_the_older_file_and_names_the_new(self, disk):
        path = disk.folder / "model.onnx"
        write_whole(path, b"old")
        with disk.full(), pytest.raises(CannotWrite) as caught:
            write_whole(path, bytes(100_000))
        assert str(caught.value) == f"cannot write {path}: its disk is full; make room there"
        assert (path.read_bytes(), names(disk.folder)) == (b"old", [path.name])

    def test_a_disk_that_fills_up_within_a_file_leaves_no_half_of_it(self, disk):
        with pytest.raises(CannotWrite):
            write_whole(disk.folder / "model.onnx", bytes(3 << 20))
        assert names(disk.folder) == []

    def test_a_read_only_disk_is_named(self, disk):
        with disk.read_only(), pytest.raises(CannotWrite, match="its disk is read-only; grant write access"):
            write_whole(disk.folder / "model.onnx", b"new")

    def test_a_folder_that_is_gone_is_not_made_anew(self, tmp_path):
        with pytest.raises(CannotWrite, match="its folder is gone"):
            write_whole(tmp_path / "nowhere" / "model.onnx", b"new")
        assert names(tmp_path) == []


class TestWhole:
    @pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt()])
    def test_whatever_ends_the_block_the_older_file_stays(self, path, error):
        path.write_bytes(b"old")
        writing = whole(path)
        writing.__enter__().write(b"new")
        assert not writing.__exit__(type(error), error, None)
        assert (path.read_bytes(), names(path.parent)) == (b"old", [path.name])

    def test_before_its_end_the_name_is_not_taken(self, path):
        with whole(path) as file:
            file.write(b"new")
            assert not path.exists()

    def test_a_device_is_not_replaced(self, tmp_path):
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        with pytest.raises(OSError, match="not a regular file"), whole(pipe):
            pass
        assert pipe.is_fifo()
        assert names(tmp_path) == ["pipe"]


class TestFolders:
    def test_a_folder_is_made_with_those_above_it_and_left_empty(self, tmp_path):
        prepare_folder(tmp_path / "a" / "b")
        prepare_folder(tmp_path / "a" / "b")
        assert names(tmp_path / "a" / "b") == []

    @pytest.mark.parametrize("prepare", [prepare_folder, make_folder])
    def test_a_file_in_its_place_is_named(self, prepare, path):
        path.write_bytes(b"")
        with pytest.raises(CannotWrite, match=f"^cannot write {path}: File exists; fix this$"):
            prepare(path)

    def test_a_full_disk_is_noticed_before_anything_is_begun(self, disk):
        with disk.full(), pytest.raises(CannotWrite, match=f"cannot write {disk.folder}: its disk is full"):
            prepare_folder(disk.folder)
        assert names(disk.folder) == []  # the ballast is gone again

    def test_a_read_only_disk_is_noticed_too(self, disk):
        with disk.read_only(), pytest.raises(CannotWrite, match="its disk is read-only"):
            prepare_folder(disk.folder)

    def test_only_what_was_abandoned_is_removed(self, tmp_path):
        users = ["..tmp", ".hidden", ".mine.tmp", ".notes.draft.tmp", "model.0123.tmp", "model.tmp"]
        for name in (".model.onnx.0123abcd.tmp", ".young.0123.tmp", *users):
            (tmp_path / name).write_text("")
            if name != ".young.0123.tmp":
                os.utime(tmp_path / name, (0, 0))
        bundle = tmp_path / ".97-93.1.tmp"
        bundle.mkdir()
        (bundle / "model.onnx").write_text("")
        os.utime(bundle, (0, 0))
        remove_abandoned(tmp_path)
        assert names(tmp_path) == sorted([*users, ".young.0123.tmp"])
        remove_abandoned(tmp_path / "nowhere")

    def test_what_a_killed_writer_leaves_is_what_is_removed(self, path, monkeypatch):
        writing = whole(path)
        writing.__enter__()
        monkeypatch.setattr(files, "ABANDONED_SECONDS", 0.0)
        remove_abandoned(path.parent)
        assert names(path.parent) == []
        with pytest.raises(FileNotFoundError):
            writing.__exit__(None, None, None)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (errno.ENOSPC, "its disk is full; make room there"),
        (errno.EDQUOT, "this user's share of its disk is used up; make room there"),
        (errno.EROFS, "its disk is read-only; grant write access"),
        (errno.EACCES, "permission denied; grant write access"),
        (errno.EIO, f"{os.strerror(errno.EIO)}; fix this"),
    ],
)
def test_every_reason_is_told_in_words_with_what_to_do(code, told):
    error = cannot_write("here", OSError(code, os.strerror(code)))
    assert isinstance(error, AtmlError)
    assert str(error) == f"cannot write here: {told}"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (errno.ENOENT, "there is no such file or folder; check the path"),
        (errno.EACCES, "permission denied; grant access"),
        (errno.ENOSPC, "its disk is full; make room there"),
        (errno.EISDIR, f"{os.strerror(errno.EISDIR)}; fix this"),
    ],
)
def test_what_cannot_be_read_comes_with_advice_for_readers(code, told):
    assert why_unreadable(OSError(code, os.strerror(code))) == told


def test_a_caller_may_know_better_what_to_do():
    error = cannot_write("here", OSError(errno.ENOSPC, ""), advice="set ATML_CACHE")
    assert str(error) == "cannot write here: its disk is full; set ATML_CACHE"


@pytest.mark.parametrize("path", ["/", "."])
def test_a_folder_is_no_file_to_write(path):
    with pytest.raises(CannotWrite, match=f"cannot write {re.escape(path)}: Is a directory"):
        write_whole(Path(path), b"")


class TestWholeDirectory:
    @staticmethod
    def refuse(directory):
        with pytest.raises(DataError, match="which cannot be replaced; name a folder within it"):
            whole_directory(directory).__enter__()

    def test_what_a_rename_cannot_replace_is_refused_before_anything_is_done(self, tmp_path, monkeypatch):
        (tmp_path / "here").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "here")
        (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
        monkeypatch.chdir(tmp_path / "here")
        for directory in (Path(), tmp_path / "here", tmp_path / "link", tmp_path / "dangling"):
            self.refuse(directory)
        assert names(tmp_path) == ["dangling", "here", "link"]

    def test_a_mounted_disk_is_refused_too(self, disk):
        self.refuse(disk.folder)

    def test_what_a_killed_writer_leaves_is_removed_by_the_next(self, tmp_path, monkeypatch):
        killed = whole_directory(tmp_path / "new")
        killed.__enter__()
        assert len(names(tmp_path)) == 1
        monkeypatch.setattr(files, "ABANDONED_SECONDS", 0.0)
        with whole_directory(tmp_path / "new") as directory:
            assert names(tmp_path) == [directory.name]
        assert names(tmp_path) == ["new"]


class TestReading:
    def test_a_file_is_read_if_it_is_not_too_large(self, tmp_path):
        path = tmp_path / "file"
        path.write_bytes(b"12345")
        assert read_file(path, most_bytes=5) == b"12345"
        with pytest.raises(OSError, match="has 5 bytes, more than 4"):
            read_file(path, most_bytes=4)

    def test_a_pipe_or_a_device_is_refused_at_once(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
            with pytest.raises(OSError, match="not a regular file"):
                read_file(path, most_bytes=10)
