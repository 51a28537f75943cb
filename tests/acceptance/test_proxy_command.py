"""`atml proxy` as it is typed, and the commands that take its address for their storage."""

import re
import signal

import pytest

from atml.errors import AddressError
from atml.service.address import Address
from atml.service.proxy import Proxy
from atml.service.storage import open_storage
from tests.databases import close

PATIENCE_SECONDS = 120


def test_commands_take_its_address_for_their_storage(proxy, call, tmp_path, simulated):
    def atml(*arguments):
        done = call(tmp_path, *arguments, "--storage", proxy.url)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    spec = tmp_path / "mine.toml"
    spec.write_text('phase = "architecture"\nname = "mine"\ndata = { folds = 3 }\n')
    atml("submit", spec, "--train", simulated)
    atml("stop", "mine")
    assert '"by": "user"' in atml("status", "--json")
    atml("resume", "mine")
    assert '"stopped": null' in atml("status", "mine", "--json")


class TestCommand:
    @pytest.mark.parametrize(("how", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
    def test_a_signal_ends_it(self, start, storage_url, how, code):
        process = start("proxy", "--storage", storage_url, "--port", 0)
        (url,) = re.findall(r"grpc://127.0.0.1:\d+", process.stderr.readline())
        close(open_storage(url))
        process.send_signal(how)
        assert process.wait(PATIENCE_SECONDS) == code
        assert "Traceback" not in process.stderr.read()

    def test_a_port_in_use_is_one_sentence(self, proxy, database):
        port = int(proxy.url.rpartition(":")[2])
        with pytest.raises(AddressError, match=f"127.0.0.1 port {port}: it is in use.*--port"):
            Proxy(database, Address(port=port))

    def test_a_proxy_of_a_proxy_is_refused(self, call, tmp_path):
        done = call(tmp_path, "proxy", "--storage", "grpc://127.0.0.1:13000")
        assert done.returncode == 1
        assert "is a proxy itself; give this one the database" in done.stderr

    @pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), ("127.0.0.1", False)])
    def test_other_machines_are_warned_of(self, call, tmp_path, monkeypatch, host, warned):
        monkeypatch.setattr("atml.service.proxy.serve", lambda database, *_, **__: close(database))
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        done = call(tmp_path, "proxy", "--host", host)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        assert ("no password and no encryption" in done.stderr) is warned
