"""The admin process's HTTP, as its clients see it."""

import http.client
import json
import re
import socket

from .env import SOCKET_SECONDS
from .ports import split_address

_SAMPLE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=SOCKET_SECONDS)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(SOCKET_SECONDS)
        self.sock.connect(self._path)


class Admin:
    """Asks the admin process at `address`."""

    def __init__(self, address):
        self.address = address

    def ask(self, path, method="GET", headers=None, body=None):
        """(status, headers, body as text)"""
        if self.address.startswith("unix:"):
            connection = _UnixConnection(self.address[len("unix:"):])
        else:
            host, port = split_address(self.address)
            connection = http.client.HTTPConnection(host, port, timeout=SOCKET_SECONDS)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode()
        finally:
            connection.close()

    def text(self, path):
        code, _, body = self.ask(path)
        assert code == 200, (path, code, body)
        return body

    def status(self):
        return json.loads(self.text("/status"))

    def metrics(self):
        """{(name, (("label", "value"), ...)): number}, names without their pawl_."""
        found = {}
        for line in self.text("/metrics").splitlines():
            if line.startswith("#"):
                continue
            name, labels, value = _SAMPLE.match(line).groups()
            key = (name.removeprefix("pawl_"), tuple(sorted(_LABEL.findall(labels or ""))))
            assert key not in found, line
            found[key] = float(value)
        return found


def total(metrics, name, **labels):
    """The sum of all samples of `name` that have these labels."""
    return sum(value for (found, has), value in metrics.items()
               if found == name and set(labels.items()) <= set(has))
