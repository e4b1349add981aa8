"""A syslog daemon's socket: datagrams by RFC 5424, taken strictly."""

import re
import socket
import threading
from dataclasses import dataclass

from . import logs
from .env import PATIENCE

_FACILITIES = {1: "user", 3: "daemon", 4: "auth", 10: "authpriv",
               **{16 + i: f"local{i}" for i in range(8)}}
_SEVERITIES = {3: "error", 4: "warning", 6: "info", 7: "debug"}

# Section 6, without the free choice that Pawl makes no use of: NILVALUE for structured data.
_MESSAGE = re.compile(
    r"<(?P<pri>0|[1-9]\d{0,2})>1 "
    r"(?P<time>\d{4}-(?:0\d|1[0-2])-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d\.\d{1,6}Z) "
    r"(?P<host>[\x21-\x7e]{1,255}) (?P<app>[\x21-\x7e]{1,48}) (?P<pid>[\x21-\x7e]{1,128}) "
    r"(?P<id>[\x21-\x7e]{1,32}) - (?P<text>.*)", re.DOTALL)


# As the C library writes to /dev/log, but for the time, which daemons do not believe.
_LOCAL = re.compile(r"<(?P<pri>[1-9]\d{0,2})>(?P<app>pawl)\[(?P<pid>\d+)\]: (?P<text>.*)",
                    re.DOTALL)
_NO_TIME = "2026-01-01T00:00:00.000Z"


@dataclass
class Message:
    facility: str
    level: str
    host: str
    app: str
    pid: int
    id: str
    text: str
    line: logs.Line  # as it would stand on standard error


def parse(datagram, expression=_MESSAGE):
    match = expression.fullmatch(datagram.decode())
    assert match, f"not of this form: {datagram!r}"
    fields = {"time": _NO_TIME, "host": None, "id": None, **match.groupdict()}
    facility, severity = divmod(int(match["pri"]), 8)
    level = _SEVERITIES[severity]
    text = match["text"]
    raw = text if text.startswith("{") else f"{fields['time']} {level} {text}"
    line = logs.parse(raw)
    assert line.parsed and "\n" not in text, f"not a log line: {raw!r}"
    return Message(_FACILITIES[facility], level, fields["host"], match["app"],
                   int(match["pid"]), fields["id"], text, line)


def parse_local(datagram):
    return parse(datagram, _LOCAL)


class Syslog:
    """Reads from `path` until it is stopped; may be started again."""

    def __init__(self, path, read=parse):
        self.path = path
        self._read = read
        self.messages = []
        self._changed = threading.Condition()
        self._socket = self._thread = None
        self._stop = False

    def bind(self):
        """Is there, but reads nothing yet."""
        self.path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self.path.chmod(0o666)
        return self

    def start(self):
        if not self._socket:
            self.bind()
        self._stop = False
        self._socket.settimeout(0.05)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def stop(self):
        """As a daemon ends: the socket is closed and its file is gone."""
        self._stop = True
        if self._thread:
            self._thread.join()
        if self._socket:
            self._socket.close()
            self.path.unlink(missing_ok=True)
        self._socket = self._thread = None

    def _run(self):
        while not self._stop:
            try:
                datagram = self._socket.recv(65536)
            except TimeoutError:
                continue
            with self._changed:
                self.messages.append(self._read(datagram))
                self._changed.notify_all()

    def find(self, pattern, after=0, **fields):
        return [message for message in self.messages[after:]
                if re.search(pattern, message.text)
                and all(str(message.line[key]) == str(value) for key, value in fields.items())]

    def wait_for(self, pattern, after=0, count=1, seconds=10, **fields):
        """The `count`-th message that matches."""
        def enough():
            return len(self.find(pattern, after, **fields)) >= count

        with self._changed:
            self._changed.wait_for(enough, seconds * PATIENCE)
        found = self.find(pattern, after, **fields)
        if len(found) < count:
            shown = "\n".join(message.text for message in self.messages[-30:])
            raise AssertionError(f"no message {pattern!r} {fields or ''} in:\n{shown}")
        return found[count - 1]
