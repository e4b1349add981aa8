"""Clients that come and go for as long as a day lasts, and know what became of each.

Nobody here takes a failure as the end: it is noted with the client's own address, so that
a test can say whose it was, and the client connects again.
"""

import re
import subprocess
import threading
from dataclasses import dataclass

from .env import PATIENCE, SOCKET_SECONDS
from .http import HttpClient
from .tls import TlsClient, client_context
from .wait import wait_until

ANSWER = 2000  # bytes, without its head
_PATH = f"/bytes/{ANSWER}"


@dataclass(frozen=True)
class Broken:
    """A connection that did not end as it should have."""

    ends: tuple  # of the connection, as ends_of() has them; empty if it never was one
    kind: str
    error: str


def ends_of(client, listener):
    """What tells a connection from all others: ports are used again for other listeners."""
    return client, listener


class Ledger:
    """What the clients of all crowds did, added up."""

    def __init__(self):
        self.opened = 0  # TCP connections that were made
        self.requests = 0  # answered, lines of residents included
        self.broken = []
        self.probes = 0  # of them, those that were closed again without a byte
        self.ends_by_pawl = 0  # with close_notify, when that was to be expected
        self._live = set()
        self._lock = threading.Lock()

    def count(self, **figures):
        with self._lock:
            for name, value in figures.items():
                setattr(self, name, getattr(self, name) + value)

    def enter(self, ends):
        with self._lock:
            self.opened += 1
            self._live.add(ends)

    def leave(self, ends):
        with self._lock:
            self._live.discard(ends)

    def note(self, ends, kind, error):
        with self._lock:
            self.broken.append(Broken(ends, kind, f"{type(error).__name__}: {error}"))

    def wait_noticed(self, lost):
        """Until none of these connections goes on: their owners know that they are lost."""
        wait_until(lambda: not self._live & lost, "clients to notice their loss", 60)

    def take_broken(self):
        with self._lock:
            taken, self.broken = self.broken, []
        return taken


class Crowd:
    """Threads that each repeat: connect, some requests, a proper end of both directions."""

    def __init__(self, ledger, address, kept=0, fresh=0, pause=0.02):
        """A kept connection is for 100 requests, a fresh one for one."""
        self._ledger, self._address, self._pause = ledger, address, pause
        self._context = client_context()
        self._stopping = threading.Event()
        self._until_refused = False
        each = [100] * kept + [1] * fresh
        self._counts = [0] * len(each)
        self._threads = [threading.Thread(target=self._run, args=(number, requests),
                                          daemon=True)
                         for number, requests in enumerate(each)]

    def start(self):
        for thread in self._threads:
            thread.start()
        self.wait_progress(1)
        return self

    def stop(self):
        self._stopping.set()
        self._join()

    def wait_progress(self, requests=10, seconds=60):
        """Until every thread has so many more answers."""
        before = list(self._counts)
        wait_until(lambda: all(now - then >= requests
                               for now, then in zip(self._counts, before)),
                   "the load to go on", seconds)

    @property
    def answers(self):
        return sum(self._counts)

    def expect_refusal(self):
        """From now on a refused connection is the end of a thread, and no failure."""
        self._until_refused = True

    def wait_refused(self):
        self._join()

    def _join(self):
        for thread in self._threads:
            thread.join(60 * PATIENCE)
        assert not any(thread.is_alive() for thread in self._threads), "a request hangs"

    def _run(self, number, requests):
        while not self._stopping.is_set():
            try:
                client = TlsClient(self._address, self._context)
            except ConnectionRefusedError as error:
                if self._until_refused:
                    return
                self._ledger.note((), "request", error)
            except OSError as error:
                self._ledger.note((), "request", error)
            else:
                self._use(client, number, requests)
            self._stopping.wait(self._pause)

    def _use(self, client, number, requests):
        ends = ends_of(client.local_address(), self._address)
        self._ledger.enter(ends)
        try:
            http = HttpClient(client.handshake())
            for _ in range(requests):
                response = http.request(_PATH)
                assert response.status == 200 and len(response.body) == ANSWER
                self._counts[number] += 1
                self._ledger.count(requests=1)
                if requests > 1 and self._stopping.wait(self._pause):
                    break
            client.close_notify()
            assert client.recv_all() == b""
        except Exception as error:  # pylint: disable=broad-except
            self._ledger.note(ends, "request", error)
        finally:
            client.sock.close()
            self._ledger.leave(ends)


class Resident:
    """One long session that says a line every second and hears it again."""

    def __init__(self, ledger, address):
        self._ledger, self._address = ledger, address
        self._leaving, self._end_expected = threading.Event(), threading.Event()
        self.client = None
        self.lines = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()
        wait_until(lambda: self.lines, "a resident's first line", 30)
        return self

    def expect_end(self):
        """From now on Pawl may end the session, with a close_notify."""
        self._end_expected.set()

    def leave(self):
        """Says a last line and ends the session from this side."""
        self._leaving.set()
        self.wait_end()

    def wait_end(self, seconds=60):
        self._thread.join(seconds * PATIENCE)
        assert not self._thread.is_alive(), "a long session hangs"

    def _run(self):
        while not self._live_once():
            pass

    def _live_once(self):
        """One session; false if it was lost and another has to be begun."""
        ends = ()
        try:
            client = TlsClient(self._address, client_context())
            self.client = client.local_address()
            ends = ends_of(self.client, self._address)
            self._ledger.enter(ends)
            client.handshake()
            return self._talk(client)
        except Exception as error:  # pylint: disable=broad-except
            self._ledger.note(ends, "resident", error)
            return self._end_expected.is_set()
        finally:
            self._ledger.leave(ends)

    def _talk(self, client):
        with client.sock:
            while True:
                leaving = self._leaving.wait(1 if self.lines else 0)
                if self._end_expected.is_set() and not self._say_last(client):
                    self._ledger.count(ends_by_pawl=1)
                    return True
                if not self._end_expected.is_set():
                    self._say(client)
                if leaving:
                    client.close_notify()
                    assert client.recv_all() == b""
                    return True

    def _say(self, client):
        line = f"line {self.lines}\n".encode()
        client.send(line)
        assert client.recv_exactly(len(line)) == line
        self.lines += 1
        self._ledger.count(requests=1)

    def _say_last(self, client):
        """Waits for Pawl's end; false when it has come, in order."""
        assert client.recv() == b""
        return False


class Wrk:
    """wrk with some kept connections; nothing that it asks may fail."""

    def __init__(self, ledger, address, folder, connections=4):
        self._ledger, self._connections = ledger, connections
        self.requests = 0
        script = folder / "pace.lua"  # it would take all of the machine
        script.write_text("function delay()\n  return 5\nend\n")
        self._command = ["wrk", "-t1", f"-c{connections}", "-d1h", "--timeout",
                         f"{SOCKET_SECONDS}s", "-s", str(script),
                         f"https://{address}{_PATH}"]
        self._process = None

    def __enter__(self):
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, text=True,
                                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        # One connection is to see whether there is a server.
        self._ledger.count(opened=self._connections + 1, probes=1)
        return self

    def __exit__(self, kind, *_):
        if kind is None:
            self._process.send_signal(2)
        else:
            self._process.kill()
        output, _ = self._process.communicate(timeout=60 * PATIENCE)
        if kind is None:
            self._check(output)

    def _check(self, output):
        found = re.search(r"(\d+) requests in", output)
        assert found and int(found[1]) > 0, output
        assert "Socket errors" not in output and "Non-2xx" not in output, output
        self.requests = int(found[1])
        self._ledger.count(requests=self.requests)
