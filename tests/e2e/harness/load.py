"""Requests that keep coming while a test does something to Pawl."""

import threading
import time
from dataclasses import dataclass

from .env import PATIENCE
from .http import HttpClient
from .tls import TlsClient, client_context
from .wait import wait_until


@dataclass
class Failure:
    kind: str  # "kept" or "fresh"
    worker: int
    error: Exception


class Load:
    """Threads with one kept connection each, and threads with one connection a request.

    A thread stops at its first failure.  Used as a context manager; `failures` is complete
    after its end.
    """

    def __init__(self, address, kept=4, fresh=4, pause=0.0):
        self.failures = []
        self.counts = {}
        self.slowest = 0.0
        self._address = address
        self._context = client_context()
        self._pause = pause
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(kind, number), daemon=True)
                         for kind, many in (("kept", kept), ("fresh", fresh))
                         for number in range(many)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        self.wait_progress()
        return self

    def __exit__(self, *_):
        self._stopping.set()
        for thread in self._threads:
            thread.join(60 * PATIENCE)
        assert not any(thread.is_alive() for thread in self._threads), "a request hangs"

    @property
    def requests(self):
        return sum(self.counts.values())

    def wait_progress(self, requests=20, seconds=30):
        """Until every thread that has not failed has done so many more requests."""
        before = dict(self.counts)

        def done():
            failed = {(failure.kind, failure.worker) for failure in self.failures}
            return all(self.counts.get(key, 0) - before.get(key, 0) >= requests
                       for key in self._keys() if key not in failed)

        wait_until(done, "the load to go on", seconds)

    def _keys(self):
        return [thread._args for thread in self._threads if thread.is_alive()]

    def _run(self, kind, number):
        try:
            self._serve_kept(number) if kind == "kept" else self._serve_fresh(number)
        except Exception as error:  # pylint: disable=broad-except
            self.failures.append(Failure(kind, number, error))

    def _serve_kept(self, number):
        with self._connect() as client:
            http = HttpClient(client)
            while not self._stopping.is_set():
                self._request(http, "kept", number)

    def _serve_fresh(self, number):
        while not self._stopping.is_set():
            started = time.monotonic()
            with self._connect() as client:
                self._request(HttpClient(client), "fresh", number)
            self.slowest = max(self.slowest, time.monotonic() - started)

    def _connect(self):
        return TlsClient(self._address, self._context).handshake()

    def _request(self, http, kind, number):
        response = http.request("/bytes/2000")
        assert response.status == 200 and len(response.body) == 2000
        self.counts[kind, number] = self.counts.get((kind, number), 0) + 1
        if self._pause:
            self._stopping.wait(self._pause)
