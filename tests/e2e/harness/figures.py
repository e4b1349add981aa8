"""Pawl's own figures over a day: that none goes back, and what its processes hold."""

import os
import threading

from . import procfs


class Watcher:
    """Reads /metrics every second; what counts may only grow."""

    def __init__(self, admin):
        self.samples = 0
        self.faults = []
        self._admin = admin
        self._last = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def stop(self):
        self._stopping.set()
        self._thread.join(60)
        assert not self._thread.is_alive(), "the admin process does not answer"

    def _run(self):
        while not self._stopping.wait(1):
            try:
                self._compare(self._admin.metrics())
            except Exception as error:  # pylint: disable=broad-except
                self.faults.append(f"{type(error).__name__}: {error}")

    def _compare(self, metrics):
        counters = {key: value for key, value in metrics.items()
                    if key[0].endswith(("_total", "_count", "_sum", "_bucket"))}
        self.faults += [f"{key} went from {self._last[key]} to {value}"
                        for key, value in counters.items()
                        if value < self._last.get(key, 0)]
        self.faults += [f"{key} is gone" for key in self._last if key not in counters]
        self._last = counters
        self.samples += 1


def holdings(proxy):
    """kind -> (processes, bytes, descriptors): what all processes of a kind hold."""
    found = {"master": [1, procfs.pss_bytes(proxy.pid), _descriptors(proxy.pid)]}
    for title, pid in proxy.roles().items():
        kind = found.setdefault(title.split()[0], [0, 0, 0])
        kind[0] += 1
        kind[1] += procfs.pss_bytes(pid)
        kind[2] += _descriptors(pid)
    return {kind: tuple(figures) for kind, figures in found.items()}


def _descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))
