"""A service manager as systemd is one: it is notified, and hands over sockets."""

import contextlib
import os
import socket
import threading

from .wait import wait_until


class Manager:
    """The socket of NOTIFY_SOCKET and all that arrived there."""

    def __init__(self, address, watchdog_ms=None):
        """`address` is a path, or @NAME in the abstract namespace."""
        self.messages = []  # dicts
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address[0] == "@" else address)
        if address[0] != "@":
            os.chmod(address, 0o666)
        self.environment = {"NOTIFY_SOCKET": address}
        if watchdog_ms:
            self.environment["WATCHDOG_USEC"] = str(watchdog_ms * 1000)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def wait_for(self, after=0, **wanted):
        """The first message past `after` that holds all of `wanted`."""
        def find():
            for message in self.messages[after:]:
                if all(message.get(key) == value for key, value in wanted.items()):
                    return message
            return None

        return wait_until(find, f"a notification with {wanted}; there are {self.messages}")

    def count(self, key):
        return sum(key in message for message in self.messages)

    def close(self):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._socket.close()

    def _read(self):
        while data := self._socket.recv(4096):
            lines = data.decode().split("\n")
            self.messages.append(dict(line.split("=", 1) for line in lines))


def activating(sockets):
    """A command that hands over `sockets` (name, socket) to the one that follows."""
    setup = "; ".join(f"os.dup2({sock.fileno()}, {100 + number})"
                      for number, (_, sock) in enumerate(sockets))
    place = "; ".join(f"os.dup2({100 + number}, {3 + number})"
                      for number in range(len(sockets)))
    names = ":".join(name for name, _ in sockets)
    code = (f"import os, sys; {setup}; {place}; os.closerange({3 + len(sockets)}, 256); "
            f"[os.set_inheritable(3 + n, True) for n in range({len(sockets)})]; "
            f"os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='{len(sockets)}', "
            f"LISTEN_FDNAMES='{names}'); os.execvp(sys.argv[1], sys.argv[1:])")
    return ["/usr/bin/python3", "-c", code]
