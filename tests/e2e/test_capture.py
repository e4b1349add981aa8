"""Whoever records the traffic and gets the certificate's private key later reads nothing.

Sessions are recorded with tcpdump and given to tshark, with the private key or with the
client's key log.  That tshark could use the private key is shown on a server that does not
have forward secrecy.
"""

import shutil
import subprocess

import pytest
from harness.backends import echo
from harness.env import PATIENCE
from harness.live import SClient
from harness.ports import accepts, free_address, split_address
from harness.wait import wait_until

MARKER = "a sentence that is in the recording somewhere"

SESSIONS = pytest.mark.parametrize("kind, options", [
    ("rsa", ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]),
    ("ecdsa", ["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]),
    ("rsa", ["-tls1_3", "-sigalgs", "RSA-PSS+SHA256"]),
    ("ecdsa", ["-tls1_3", "-sigalgs", "ECDSA+SHA256"]),
], ids=["tls12-rsa", "tls12-ecdsa", "tls13-rsa", "tls13-ecdsa"])


class Recording:
    """What goes over the loopback to and from one address, while the context is open."""

    def __init__(self, address, folder):
        self._port = split_address(address)[1]
        self._file = folder / "recording.pcap"
        self._errors = folder / "tcpdump.log"

    def __enter__(self):
        command = ["tcpdump", "-i", "lo", "-U", "--immediate-mode", "-Z", "root", "-w",
                   self._file, f"tcp port {self._port}"]
        with self._errors.open("w") as errors:
            self._process = subprocess.Popen([str(word) for word in command], stderr=errors)
        wait_until(lambda: "listening on" in self._errors.read_text()
                   or self._process.poll() is not None, "tcpdump to listen")
        if self._process.poll() is not None:
            pytest.skip(f"no recording: {self._errors.read_text().strip()}")
        return self

    def __exit__(self, *_):
        self._process.send_signal(2)
        self._process.wait(10 * PATIENCE)

    def wait_closed(self):
        wait_until(lambda: self._file.exists() and self._packets("tcp.flags.fin == 1"),
                   "the connection's end in the recording")

    def read_with_key(self, key):
        return self._read(f'uat:rsa_keys:"{key}",""')

    def read_with_key_log(self, path):
        return self._read(f"tls.keylog_file:{path}")

    def _read(self, preference):
        """All that tshark can decrypt of the only connection."""
        return self._tshark("-o", preference, "-q", "-z", "follow,tls,ascii,0")

    def _packets(self, wanted):
        return self._tshark("-Y", wanted)

    def _tshark(self, *options):
        command = ["tshark", "-r", self._file, "-d", f"tcp.port=={self._port},tls", *options]
        return subprocess.run([str(word) for word in command], capture_output=True,
                              text=True, timeout=60 * PATIENCE).stdout


@pytest.fixture(autouse=True)
def programs():
    for name in ("tcpdump", "tshark"):
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")


@pytest.fixture
def certificate(app_cert, app_rsa_cert):
    return {"rsa": app_rsa_cert, "ecdsa": app_cert}


def talk(address, folder, options):
    with SClient(address, folder, *options) as client:
        client.say(MARKER)
        client.close()


@SESSIONS
def test_the_private_key_opens_no_recording(pawl, serve, folder, certificate, kind, options):
    proxy = pawl(serve(echo), certificates=list(certificate.values()))
    with Recording(proxy.listen[0], folder) as recording:
        talk(proxy.listen[0], folder, options)
        recording.wait_closed()
    assert proxy.log.wait_for("session closed")["certificate"] == certificate[kind].name
    assert MARKER not in recording.read_with_key(certificate[kind].key)
    assert MARKER in recording.read_with_key_log(folder / "key.log")


@pytest.fixture
def static_server(app_rsa_cert):
    """A server that lets its clients choose a key exchange by the certificate's key."""
    address = free_address()
    command = ["openssl", "s_server", "-accept", address, "-cert", app_rsa_cert.chain,
               "-key", app_rsa_cert.key, "-tls1_2", "-cipher", "AES128-GCM-SHA256",
               "-rev", "-quiet"]
    process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_until(lambda: _is_up(address), "openssl s_server")
    yield address
    process.kill()
    process.communicate()


def _is_up(address):
    try:
        return accepts(address)
    except ConnectionError:
        return False


def test_the_private_key_opens_what_is_not_forward_secret(folder, certificate,
                                                          static_server):
    with Recording(static_server, folder) as recording:
        with SClient(static_server, folder, "-tls1_2") as client:
            client.say_and_receive(MARKER, MARKER[::-1])
            client.close()
        recording.wait_closed()
    assert MARKER in recording.read_with_key(certificate["rsa"].key)
