"""Downloads from a real HTTP server that serves WFDB files, breaks off, lies, or is not there."""

import hashlib
import re
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec

import pytest

from atml.ecg.importing import import_recordings
from atml.ecg.provenance import read_provenance
from atml.ecg.sources.physionet import fetch_recordings
from atml.errors import CannotWrite, DataError
from tests.recordings import sine, write_wfdb

pytestmark = pytest.mark.skipif(find_spec("wfdb") is None, reason="pip install 'atml[formats]'")
KNOWS_RANGES, NO_RANGES = True, False


class Server(ThreadingHTTPServer):
    """Serves a folder; can break off in the middle of a file, and remembers what was asked for."""

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.ranges = KNOWS_RANGES
        self.break_off = {}  # file name → how often to break off after half of what is asked for
        self.status = {}  # file name → status to answer with
        self.asked = []  # (path, Range)
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.server.folder / self.path.lstrip("/")
        self.server.asked.append((path.name, self.headers.get("Range")))
        if path.name in self.server.status or not path.is_file():
            self.send_error(self.server.status.get(path.name, 404))
            return
        content = path.read_bytes()
        start = 0
        if self.server.ranges and (asked := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))):
            start = int(asked[1])
            if start >= len(content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        rest = content[start:]
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if self.server.break_off.get(path.name, 0) > 0:
            self.server.break_off[path.name] -= 1
            self.wfile.write(rest[: len(rest) // 2])
            self.close_connection = True
        else:
            self.wfile.write(rest)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(tmp_path):
    folder = tmp_path / "www" / "cpsc2021" / "1.0.0"
    records = [f"Training_set_I/data_{name}" for name in ("1_1", "1_2", "2_1")]
    for record in records:
        write_wfdb(folder / "Training_set_I", record.rpartition("/")[2], signal=sine(200, 30), rate_hz=200)
    (folder / "RECORDS").write_text("\n".join(records) + "\n")
    (folder / "LICENSE.txt").write_text("CC BY 4.0\n")
    (folder / "index.html").write_text("not wanted\n")
    write_sums(folder)
    with Server(tmp_path / "www") as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def write_sums(folder):
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "SHA256SUMS.txt"]
    sums = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.relative_to(folder).as_posix()}"
        for path in files
    ]
    (folder / "SHA256SUMS.txt").write_text("\n".join(sums) + "\n")


def fetch(server, out, **options):
    return fetch_recordings("cpsc2021", out, base_url=server.url, **options)


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_everything_arrives_with_licence_and_attribution(server, tmp_path):
    seen = []
    done = fetch(server, tmp_path / "db", progress=lambda *counts: seen.append(counts))
    assert (done.records, done.files, seen[-1]) == (3, 10, (10, 10))
    signals = {f"Training_set_I/data_{n}.{e}" for n in ("1_1", "1_2", "2_1") for e in ("hea", "dat", "atr")}
    beside = {"RECORDS", "LICENSE.txt", "SHA256SUMS.txt", "ATTRIBUTION.md", "source.json"}
    assert names(tmp_path / "db") == signals | beside
    for name in signals:
        source = tmp_path / "www" / "cpsc2021" / "1.0.0" / name
        assert (tmp_path / "db" / name).read_bytes() == source.read_bytes()
    attribution = (tmp_path / "db" / "ATTRIBUTION.md").read_text()
    assert "Creative Commons Attribution 4.0" in attribution
    assert "Goldberger" in attribution


def test_an_import_knows_origin_licence_and_who_is_who(server, tmp_path):
    fetch(server, tmp_path / "db")
    for path in (tmp_path / "db", tmp_path / "db" / "Training_set_I"):
        out = tmp_path / f"out-{path.name}"
        made = import_recordings(path, out)
        assert {subject: len(records) for subject, records in made.subjects.items()} == {"S1": 2, "S2": 1}
        known = read_provenance(out)
        assert known["licence"].startswith("Creative Commons")
        assert "Challenge 2021, version 1.0.0" in known["origin"]


def test_a_second_call_downloads_only_the_lists(server, tmp_path):
    fetch(server, tmp_path / "db")
    server.asked.clear()
    fetch(server, tmp_path / "db")
    assert [name for name, _ in server.asked] == ["SHA256SUMS.txt"]


def test_an_empty_file_arrives(server, tmp_path):
    folder = tmp_path / "www/cpsc2021/1.0.0"
    (folder / "Training_set_I/data_2_1.atr").write_bytes(b"")
    write_sums(folder)
    fetch(server, tmp_path / "db")
    assert (tmp_path / "db/Training_set_I/data_2_1.atr").stat().st_size == 0
    assert import_recordings(tmp_path / "db", tmp_path / "out", skip_bad=True).segments > 0


def test_a_connection_that_breaks_off_is_resumed(server, tmp_path):
    server.break_off["data_1_2.dat"] = 2
    fetch(server, tmp_path / "db")
    size = (tmp_path / "www/cpsc2021/1.0.0/Training_set_I/data_1_2.dat").stat().st_size
    half = size // 2
    asked = [range_ for name, range_ in server.asked if name == "data_1_2.dat"]
    assert asked == [None, f"bytes={half}-", f"bytes={half + (size - half) // 2}-"]


def test_a_download_that_failed_continues_when_run_again(server, tmp_path):
    server.break_off["data_1_2.dat"] = 5
    with pytest.raises(DataError, match=r"data_1_2\.dat: the connection ended early; check the network"):
        fetch(server, tmp_path / "db")
    with pytest.raises(DataError, match="is not complete; run `atml data fetch` again"):
        import_recordings(tmp_path / "db", tmp_path / "out")
    kept = (tmp_path / "db" / "Training_set_I" / ".data_1_2.dat.part").stat().st_size
    assert kept > 0
    server.asked.clear()
    fetch(server, tmp_path / "db")
    assert ("data_1_2.dat", f"bytes={kept}-") in server.asked
    assert "data_1_1.dat" not in [name for name, _ in server.asked]
    assert import_recordings(tmp_path / "db", tmp_path / "out").segments > 0


def test_a_server_without_ranges_starts_over(server, tmp_path):
    server.ranges = NO_RANGES
    server.break_off["data_1_2.dat"] = 1
    fetch(server, tmp_path / "db")
    source = tmp_path / "www/cpsc2021/1.0.0/Training_set_I/data_1_2.dat"
    assert (tmp_path / "db/Training_set_I/data_1_2.dat").read_bytes() == source.read_bytes()


def test_a_wrong_checksum_is_refused_and_not_kept(server, tmp_path):
    path = tmp_path / "www/cpsc2021/1.0.0/Training_set_I/data_2_1.dat"
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(DataError, match=r"data_2_1\.dat does not have the checksum in SHA256SUMS\.txt"):
        fetch(server, tmp_path / "db")
    assert not [name for name in names(tmp_path / "db") if "data_2_1.dat" in name]
    path.write_bytes(good)
    fetch(server, tmp_path / "db")


def test_a_file_that_was_changed_on_disk_is_fetched_again(server, tmp_path):
    fetch(server, tmp_path / "db")
    path = tmp_path / "db/Training_set_I/data_1_1.dat"
    good = path.read_bytes()
    path.write_bytes(b"x")
    fetch(server, tmp_path / "db")
    assert path.read_bytes() == good


def test_names_that_lead_out_of_the_directory_are_ignored(server, tmp_path):
    folder = tmp_path / "www/cpsc2021/1.0.0"
    (tmp_path / "www/evil.hea").write_text("evil")
    with (folder / "RECORDS").open("a") as file:
        file.write("../../evil\n")
    write_sums(folder)
    with (folder / "SHA256SUMS.txt").open("a") as file:
        file.write(f"{hashlib.sha256(b'evil').hexdigest()} ../../evil.hea\n")
    fetch(server, tmp_path / "a" / "b" / "db")
    assert not list(tmp_path.joinpath("a").rglob("evil.hea"))


@pytest.mark.parametrize(
    ("status", "text"), [(404, "answers 404"), (403, "answers 403"), (503, "answers 503")]
)
def test_a_refusal_is_one_sentence(server, tmp_path, status, text):
    server.status["data_1_1.hea"] = status
    with pytest.raises(DataError, match=text):
        fetch(server, tmp_path / "db")


def test_without_a_network_it_says_so(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(DataError, match=r"cannot download .*: .*refused; check the network connection"):
        fetch_recordings("afdb", tmp_path / "db", base_url=f"http://127.0.0.1:{port}")
    with pytest.raises(DataError, match=r"cannot download .*nowhere\.invalid.*; check the network"):
        fetch_recordings("afdb", tmp_path / "db", base_url="http://nowhere.invalid")


def test_wrong_names_and_addresses_are_refused(tmp_path):
    with pytest.raises(DataError, match="no database mitdb; there are afdb, ltafdb, cpsc2021"):
        fetch_recordings("mitdb", tmp_path / "db")
    with pytest.raises(DataError, match="must begin with https:// or http://"):
        fetch_recordings("afdb", tmp_path / "db", base_url="file:///etc")


def test_an_unwritable_place_is_named(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CannotWrite, match="file/db"):
        fetch(server, tmp_path / "file" / "db")
