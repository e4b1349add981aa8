"""Clients that stay connected to an echo while a test looks at the server, and that tell
every secret of their connection."""

import contextlib
import re
import subprocess

from . import secrets
from .env import SOCKET_SECONDS
from .ports import split_address
from .wait import wait_until


class _Program:
    """A client program that is spoken to line by line."""

    def __init__(self, *command):
        self.process = subprocess.Popen(
            [str(word) for word in command], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def _type(self, line):
        self.process.stdin.write(line)
        self.process.stdin.flush()

    def close(self):
        """The connection's proper end."""
        self.process.stdin.close()
        self.process.wait(SOCKET_SECONDS)

    def kill(self):
        self.process.kill()
        self.process.wait(SOCKET_SECONDS)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()


class SClient(_Program):
    """openssl s_client with a key log."""

    def __init__(self, address, folder, *options):
        self._key_log, self._messages = folder / "key.log", folder / "messages"
        self._key_log.unlink(missing_ok=True)
        self._messages.unlink(missing_ok=True)
        super().__init__("openssl", "s_client", "-connect", address, "-servername",
                         "app.example", "-quiet", "-no_ign_eof", "-keylogfile",
                         self._key_log, "-msg", "-msgfile", self._messages, *options)

    def say(self, text="hello"):
        """Sends a line and waits for its echo."""
        self.say_and_receive(text, text)

    def type_line(self, text):
        self._type(text.encode() + b"\n")

    def say_and_receive(self, text, answer):
        self.type_line(text)
        assert self.process.stdout.readline() == answer.encode() + b"\n"

    def messages(self):
        """What was sent (>>>) and received (<<<) so far, as -msg shows it."""
        return self._messages.read_text() if self._messages.exists() else ""

    def key_updates(self, direction):
        return len(re.findall(f"^{direction} .*KeyUpdate", self.messages(), re.M))

    def traces(self, cipher):
        """label -> bytes of all secrets and of what they open records with."""
        found, random = secrets.read_key_log(self._key_log)
        if "CLIENT_RANDOM" in found:
            return secrets.traces_of_tls12(found["CLIENT_RANDOM"], random,
                                           self._server_random(), cipher)
        traces = {"EXPORTER_SECRET": found.pop("EXPORTER_SECRET")}
        for label, secret in found.items():
            traces |= secrets.traces_of_secret(label, secret, cipher)
        return traces

    def traces_of_generation(self, number, cipher):
        """What the traffic keys are after so many KeyUpdates."""
        found, _ = secrets.read_key_log(self._key_log)
        traces = {}
        for side in ("CLIENT", "SERVER"):
            secret = found[f"{side}_TRAFFIC_SECRET_0"]
            for _ in range(number):
                secret = secrets.updated(secret)
            traces |= secrets.traces_of_secret(f"{side}_{number}", secret, cipher)
        return traces

    def _server_random(self):
        match = re.search(r"ServerHello\n((?: +[0-9a-f ]+\n)+)", self.messages())
        return bytes.fromhex(match[1])[6:38]


class SecretsClient(_Program):
    """The wolfSSL client that knows more than a key log, from tests/tools."""

    def __init__(self, path, address, *options):
        self.secrets, self.publics = {}, {}
        super().__init__(path, *split_address(address), *options)

    def wait_ready(self):
        self._read_until("ready")
        return self

    def wait_secret(self, label):
        while label not in self.secrets:
            self._read()

    def say(self):
        self._type(b"hello\n")
        self._read_until("echoed")

    def traces(self, *labels):
        """label -> bytes; a hybrid's shared secret also in its two parts."""
        found = {label: self.secrets[label] for label in labels}
        shared = found.get("shared", b"")
        if len(shared) > 32 and len(shared) % 32 == 0:
            found |= {f"shared, part {at // 32}": shared[at:at + 32]
                      for at in range(0, len(shared), 32)}
        return found

    def _read_until(self, word):
        while self._read() != word:
            pass

    def _read(self):
        line = self.process.stdout.readline().decode().split()
        assert line, "secrets_client has ended"
        if line[0] == "secret":  # the first of a name: later ones are renewed keys
            self.secrets.setdefault(line[1], bytes.fromhex(line[2]))
        elif line[0] == "public":
            self.publics[line[1]] = bytes.fromhex(line[2])
        return line[0]


def ticket_of(address, folder):
    """A session ticket of TLS 1.3 as bytes, and the file that s_client resumes it from."""
    path = folder / "session.pem"
    path.unlink(missing_ok=True)
    with SClient(address, folder, "-tls1_3", "-sess_out", path) as client:
        client.say()
        wait_until(path.exists, "a session ticket")
        client.close()
    return ticket_in(path), path


def ticket_in(path):
    shown = subprocess.run(["openssl", "sess_id", "-in", path, "-noout", "-text"],
                           check=True, capture_output=True, text=True, timeout=60).stdout
    rows = re.findall(r"^ +[0-9a-f]{4} - ((?:[0-9a-f]{2}[ -]){1,16})", shown, re.M)
    return bytes.fromhex("".join(rows).replace("-", " "))
