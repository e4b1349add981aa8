"""A running Pawl: start it, drive it, and check that it ends as it should."""

import contextlib
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from . import procfs, settings
from .env import BINARY, PATIENCE
from .logs import LineReader
from .ports import accepts, split_address
from .tls import TlsClient, client_context
from .wait import wait_until

_SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|runtime error:|UndefinedBehavior")


def command(*arguments, folder=None, environment=None, timeout=30):
    """Runs a pawl command to its end."""
    return subprocess.run([BINARY, *map(str, arguments)], cwd=folder, text=True,
                          env={**os.environ, **(environment or {})}, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=timeout * PATIENCE)


class Pawl:
    """One master with its roles, in its own process group."""

    def __init__(self, folder, arguments, listen, environment=None):
        self.folder = Path(folder)
        self.listen = list(listen)  # addresses that must be closed when it has ended
        self.probe = None  # called with a fresh TlsClient before the end
        self.descriptors = None  # how many files each process may have open
        self.binary = BINARY
        self.wrapper = []  # a program with arguments that becomes pawl
        self.handed_over = []  # descriptors that it gets
        self.guarded = False  # a client without more ado is refused: do not look
        self._arguments = [str(argument) for argument in arguments]
        self._environment = {**os.environ, **(environment or {})}
        self.clients = []
        self._allowed = []
        self._expected = []
        self._ended_by_test = False
        self.process = self.log = self.output = None

    # --- Starting and configuring.

    @classmethod
    def from_sections(cls, folder, sections, environment=None):
        """`pawl run` on a proxy.ini made of `sections` (kept; change and `reload()`)."""
        listen = [address for title, keys in sections.items() if title.startswith("listener")
                  for address in _addresses(keys["address"])]
        pawl = cls(folder, ["run", "-c", Path(folder) / "proxy.ini"], listen,
                   environment)
        pawl.sections = sections
        pawl.write_config()
        return pawl

    @property
    def config_file(self):
        return self.folder / "proxy.ini"

    def write_config(self, text=None):
        self.config_file.write_text(settings.ini(self.sections) if text is None else text)

    def start(self):
        limit = [f"--nofile={self.descriptors}:{self.descriptors}"]
        wrapper = [*self.wrapper, *(["prlimit", *limit] if self.descriptors else [])]
        self.process = subprocess.Popen(
            [*wrapper, self.binary, *self._arguments], cwd=self.folder, env=self._environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True, pass_fds=self.handed_over)
        self.log = LineReader(self.process.stderr)
        self.output = LineReader(self.process.stdout)
        return self

    def wait_ready(self):
        self.log.wait_for(r"\bready\b", seconds=20, role="master")
        return self

    # --- Looking at it.

    @property
    def pid(self):
        return self.process.pid

    def is_running(self):
        return self.process.poll() is None

    def role(self, title):
        """The pid of `worker 0`, `keyholder 1`, ...; waits until there is one."""
        return wait_until(lambda: self.roles().get(title), f"a {title}")

    def roles(self, kind=""):
        """title -> pid of the roles that run now, e.g. those whose title has `worker`."""
        found = {}
        for pid in procfs.children_of(self.pid):
            arguments = procfs.arguments_of(pid)
            title = " ".join(arguments[1:3])
            if len(arguments) >= 3 and arguments[2].isdigit() and kind in title:
                found[title] = pid
        return found

    def skip_unless_inspectable(self):
        """Roles are not dumpable: only root may look into them."""
        try:
            for pid in self.processes():
                os.listdir(f"/proc/{pid}/fd")
        except PermissionError:
            pytest.skip("this user may not look into the processes")

    def processes(self):
        return [self.pid, *procfs.descendants_of(self.pid)]

    def rss(self):
        """Resident bytes by pid."""
        return {pid: procfs.rss_bytes(pid) for pid in self.processes()}

    # --- Talking to it.

    def connect(self, sni="app.example", context=None, address=None, session=None):
        """A TLS client after its handshake; closed at the end of the test."""
        return self.client(sni, context, address, session).handshake()

    def client(self, sni="app.example", context=None, address=None, session=None):
        """A TLS client before its handshake."""
        client = TlsClient(address or self.listen[0], context or client_context(), sni,
                           session)
        self.clients.append(client)
        return client

    def session_line(self, client, **fields):
        """The log line of the end of a session or failed handshake.

        A client is hung up first; its address as text leaves it alone.
        """
        if isinstance(client, TlsClient):
            name = client.local_address()
            client.close()
        else:
            name = client
        return self.log.wait_for(r"session closed|handshake failed", client=name, **fields)

    # --- Signals.

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self):
        """Writes the sections, sends HUP and waits for the success."""
        self.write_config()
        mark = self.log.mark()
        self.signal(signal.SIGHUP)
        self.log.wait_for(r"\breloaded\b", after=mark, role="master")

    def reload_refused(self, text=None):
        """The same with a configuration that is refused; returns the lines of the reasons."""
        self.write_config(text)
        mark = self.log.mark()
        self.expect_log(r"^\S+ error master: ")
        self.signal(signal.SIGHUP)
        self.log.wait_for("reload refused", after=mark, role="master")
        return [line.message for line in self.log.find(" error master: ", after=mark)
                if "reload refused" not in line.message]

    def drain(self):
        """Sends TERM and waits until it has been taken."""
        self._ended_by_test = True
        mark = self.log.mark()
        self.signal(signal.SIGTERM)
        self.log.wait_for(r"\bdraining\b", after=mark, role="master")

    def interrupt(self):
        self._ended_by_test = True
        self.signal(signal.SIGINT)

    def kill(self):
        """Kills the master; the test must see to its roles."""
        self._ended_by_test = True
        self.process.kill()

    def wait_exit(self, seconds=10):
        self._ended_by_test = True
        try:
            return self.process.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"pawl still runs after {seconds * PATIENCE} s:\n"
                                 f"{self.log.text()}") from None

    # --- What the log may hold besides info lines.

    def expect_log(self, pattern):
        """Declares error or warning lines that must come."""
        self._expected.append(re.compile(pattern))

    def allow_log(self, pattern):
        """Declares error or warning lines that may come."""
        self._allowed.append(re.compile(pattern))

    # --- The end.

    def finish(self):
        """Ends it if the test did not, and checks what must hold after every test."""
        complaints = []
        known = []
        try:
            for check in (self._check_answers, self._check_zombies):
                if not self._ended_by_test:
                    _collect(complaints, check)
            self._close_clients()
            known = self.processes()
            if not self._ended_by_test:
                _collect(complaints, self._check_clean_exit)
            _collect(complaints, lambda: self._check_nothing_left(known))
        finally:
            self._kill_everything()
            print(f"--- log of {' '.join(self._arguments)}\n{self.log.text()}")
        _collect(complaints, self._check_log)
        assert not complaints, "after the test:\n" + "\n".join(complaints)

    def _check_answers(self):
        assert self.is_running(), f"pawl has ended with status {self.process.returncode}"
        if not self.listen or self.guarded:
            return
        with self.client().handshake() as client:
            if self.probe:
                self.probe(client)

    def _check_zombies(self):
        def zombies():
            return [pid for pid in self.processes() if procfs.state_of(pid) == "Z"]

        wait_until(lambda: not zombies(), "pawl to reap its children")

    def _check_clean_exit(self):
        self.signal(signal.SIGTERM)
        code = self.wait_exit(seconds=15)
        assert code == 0, f"exit status {code} after TERM"

    def _check_nothing_left(self, known):
        wait_until(lambda: not any(procfs.is_running(pid) for pid in known),
                   "all processes to end")
        assert self.log.wait_end(), "somebody still holds pawl's stderr"
        for address in self.listen:
            assert not _is_listening(address), f"{address} is still open"

    def _check_log(self):
        for line in self.log.lines:
            assert not _SANITIZER.search(line.raw), f"sanitizer report:\n{self.log.text()}"
            assert line.parsed, f"not a log line: {line.raw!r}"
            if line.level in ("error", "warning"):
                known = self._expected + self._allowed
                assert any(p.search(line.raw) for p in known), f"undeclared: {line.raw}"
        for pattern in self._expected:
            assert self.log.find(pattern), f"expected in the log: {pattern.pattern}"

    def _close_clients(self):
        for client in self.clients:
            client.close()

    def _kill_everything(self):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(10)
        self.log.wait_end()
        self.output.wait_end()
        self.process.stderr.close()
        self.process.stdout.close()


def _collect(complaints, check):
    try:
        check()
    except Exception as error:  # pylint: disable=broad-except
        complaints.append(f"{type(error).__name__}: {error}")


def _addresses(value):
    texts = value if isinstance(value, (list, tuple)) else str(value).split(",")
    return [text.strip() for text in texts]


def _is_listening(address):
    host, port = split_address(address)
    if host in ("*", "0.0.0.0"):
        host = "127.0.0.1"
    return accepts(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
