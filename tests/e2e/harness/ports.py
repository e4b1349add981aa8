"""Free ports, outside the range that the kernel hands to outgoing connections."""

import random
import socket

_FIRST, _LAST = 20000, 31999
_taken = set()


def free_port():
    """A port that nobody in this run was given before and that is free on both loopbacks."""
    while True:
        port = random.randint(_FIRST, _LAST)
        if port not in _taken and _is_free(port):
            _taken.add(port)
            return port


def free_address(host="127.0.0.1"):
    return f"[{host}]:{free_port()}" if ":" in host else f"{host}:{free_port()}"


def split_address(address):
    """The (host, port) of 127.0.0.1:80, [::1]:80 or localhost:80."""
    host, port = address.rsplit(":", 1)
    return host.strip("[]"), int(port)


def accepts(address):
    """Whether a TCP connection to `address` is accepted."""
    try:
        socket.create_connection(split_address(address), timeout=5).close()
        return True
    except ConnectionRefusedError:
        return False


def _is_free(port):
    for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                return False
    return True
