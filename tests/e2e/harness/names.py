"""A private /etc/hosts and resolver for one Pawl, and a name server to go with it."""

import os
import shutil
import socket
import struct
import threading

import pytest

_COUNTER = iter(range(1, 250))


class Names:
    """Files that stand in place of those in /etc, in a mount namespace of their own."""

    def __init__(self, folder):
        if os.geteuid() != 0 or not shutil.which("unshare"):
            pytest.skip("a mount namespace takes root")
        self._folder = folder
        for name in ("hosts", "resolv.conf", "nsswitch.conf"):
            (folder / name).write_text("")
            (folder / name).chmod(0o644)
        (folder / "nsswitch.conf").write_text("hosts: files dns\n")
        (folder / "resolv.conf").write_text("nameserver 127.255.255.1\n"  # where nobody is
                                            "options timeout:1 attempts:1\n")

    @property
    def wrapper(self):
        """What a command is to be started with to see them."""
        mounts = " && ".join(f"mount --bind {self._folder}/{name} /etc/{name}"
                             for name in ("hosts", "resolv.conf", "nsswitch.conf"))
        return ["unshare", "-m", "sh", "-c", f'{mounts} && exec "$@"', "sh"]

    def hosts(self, **addresses):
        """Rewrites the file in place: a bind mount shows the file, not the name."""
        lines = [f"{address} {name.replace('_', '.')}\n"
                 for name, several in addresses.items() for address in several.split()]
        with open(self._folder / "hosts", "r+", encoding="ascii") as file:
            file.write("".join(lines))
            file.truncate()

    def server(self, address):
        with open(self._folder / "resolv.conf", "r+", encoding="ascii") as file:
            file.write(f"nameserver {address}\noptions timeout:20 attempts:1\n")
            file.truncate()


class NameServer:
    """A name server on a loopback address of its own.  `records` maps names to lists of IPv4
    addresses; while `silent` it hears and says nothing."""

    def __init__(self):
        self.records = {}
        self.silent = False
        self.asked = 0
        self.address = f"127.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250}.{next(_COUNTER)}"
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((self.address, 53))
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self):
        stopper = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        stopper.sendto(b"", (self.address, 53))
        stopper.close()
        self._thread.join(5)
        self._socket.close()

    def _serve(self):
        while True:
            query, peer = self._socket.recvfrom(4096)
            if not query:
                return
            self.asked += 1
            if not self.silent:
                self._socket.sendto(self._answer(query), peer)

    def _answer(self, query):
        end = 12
        labels = []
        while query[end]:
            labels.append(query[end + 1:end + 1 + query[end]].decode())
            end += query[end] + 1
        end += 1
        (kind,) = struct.unpack("!H", query[end:end + 2])
        known = self.records.get(".".join(labels))
        found = known if known and kind == 1 else []
        flags = 0x8180 if known else 0x8183  # a name that is not there
        head = query[:2] + struct.pack("!HHHHH", flags, 1, len(found), 0, 0)
        body = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 0, 4) + socket.inet_aton(ip)
                        for ip in found)
        return head + query[12:end + 4] + body
