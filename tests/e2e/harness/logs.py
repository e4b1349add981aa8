"""Pawl's log, read line by line while it is written."""

import contextlib
import fcntl
import json
import re
import threading
from dataclasses import dataclass, field

from .env import PATIENCE
from .wait import wait_until

_LINE = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) "
    r"(?P<level>error|warning|info|debug) (?P<role>[a-z-]+(?: \d+)?): (?P<rest>.*)$"
)
_FIELD = re.compile(r' ([a-z][a-z0-9_]*)=("(?:[^"\\]|\\.)*"|[^\s"]\S*)')

_SHOWN = 30
_PIPE_BYTES = 1 << 20


@dataclass
class Line:
    raw: str
    time: str = ""
    level: str = ""
    role: str = ""
    message: str = ""
    fields: dict = field(default_factory=dict)

    @property
    def parsed(self):
        return bool(self.level)

    def __getitem__(self, key):
        return getattr(self, key) if key in ("role", "level", "message") else self.fields.get(key)


def parse(raw):
    """A line of either format; `parsed` is false for what is not a log line."""
    if raw.startswith("{"):
        return _parse_json(raw)
    match = _LINE.match(raw)
    if not match:
        return Line(raw)
    rest = match["rest"]
    first = _FIELD.search(rest)
    message = rest[: first.start()] if first else rest
    fields = {key: _unquote(value) for key, value in _FIELD.findall(rest)}
    return Line(raw, match["time"], match["level"], match["role"], message, fields)


def _parse_json(raw):
    try:
        fields = json.loads(raw)
        head = [fields.pop(key) for key in ("time", "level", "role", "message")]
        return Line(raw, *head, fields)
    except (ValueError, KeyError):
        return Line(raw)


def _unquote(value):
    if not value.startswith('"'):
        return value
    return re.sub(r"\\x([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), value[1:-1])


class LineReader:
    """Collects the lines of a pipe in a thread; `wait_for` blocks until one matches."""

    def __init__(self, pipe):
        self.lines = []
        self.at_end = False
        self._pipe = pipe
        self._reading = threading.Lock()
        # Pawl drops lines rather than wait for a slow reader; let it be a fast one.
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        for raw in self._pipe:
            with self._reading:
                self._add(parse(raw.decode(errors="backslashreplace").rstrip("\n")))
        with self._changed:
            self.at_end = True
            self._changed.notify_all()

    def _add(self, line):
        with self._changed:
            self.lines.append(line)
            self._changed.notify_all()

    @contextlib.contextmanager
    def unread(self):
        """Nobody reads meanwhile, and the pipe holds only a few lines."""
        wait_until(self._begin_unread, "the log to be read up to its last lines")
        try:
            yield
        finally:
            fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
            self._reading.release()

    def _begin_unread(self):
        """False: more lines are in the pipe than are to fit in it."""
        self._reading.acquire()
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._pipe, fcntl.F_SETPIPE_SZ, 4096)
            return True
        self._reading.release()
        return False

    def mark(self):
        """A position; `wait_for(..., after=mark)` looks only at what comes later."""
        return len(self.lines)

    def find(self, pattern, after=0, **fields):
        """The lines whose text matches `pattern` and whose fields are as given."""
        expression = re.compile(pattern)
        return [line for line in self.lines[after:]
                if expression.search(line.raw) and _has(line, fields)]

    def wait_for(self, pattern, after=0, count=1, seconds=10, **fields):
        """The `count`-th line that matches; fails the test when it does not come."""
        def enough():
            return len(self.find(pattern, after, **fields)) >= count or self.at_end

        with self._changed:
            self._changed.wait_for(enough, seconds * PATIENCE)
        found = self.find(pattern, after, **fields)
        if len(found) < count:
            raise AssertionError(f"no log line {pattern!r} {fields or ''} in:\n{self.text(after)}")
        return found[count - 1]

    def wait_end(self, seconds=10):
        """Whether every process that could write has closed its end."""
        with self._changed:
            return self._changed.wait_for(lambda: self.at_end, seconds * PATIENCE)

    def text(self, after=0):
        """The log for people: a long one without its middle."""
        raw = [line.raw for line in self.lines[after:]]
        if len(raw) > 2 * _SHOWN:
            raw[_SHOWN:-_SHOWN] = [f"... {len(raw) - 2 * _SHOWN} lines ..."]
        return "\n".join(raw)


def _has(line, fields):
    return all(str(line[key]) == str(value) for key, value in fields.items())
