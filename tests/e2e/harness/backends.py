"""Apps behind Pawl: each a function that serves one plain connection in a thread."""

import contextlib
import fcntl
import hashlib
import os
import select
import socket
import struct
import termios
import threading

from . import pattern
from .env import SOCKET_SECONDS
from .http import HttpClient
from .ports import free_address, split_address
from .tls import reset
from .wait import wait_until

_CHUNK = 256 * 1024


class Backend:
    """A listening socket and one thread for each connection it gets.

    `serve(connection, backend)` runs in that thread; when it returns the connection is
    closed.  `backend.stopping` is set when it should give up waiting.
    """

    def __init__(self, serve, address=None, name="app", backlog=1024):
        self.address = address or free_address()
        self.name = name
        self.accepted = 0
        self.received = 0  # by handlers that count
        self.sent = 0
        self.notes = []  # whatever a handler wants its test to see
        self.stopping = threading.Event()
        self._serve = serve
        self._backlog = backlog
        self._open = set()
        self._lock = threading.Lock()
        self._threads = []
        self._listener = None

    @property
    def probe(self):
        """What a fresh client can do to see this app answer; None: nothing simple."""
        return getattr(self._serve, "probe", None)

    def start(self):
        self.stopping.clear()
        self._listener = _listen(self.address, self._backlog)
        self._spawn(self._accept_all, self._listener)
        return self

    def stop(self):
        """Closes the listener, resets what is open and ends every thread."""
        self.stopping.set()
        self.refuse()
        with self._lock:
            for connection in self._open:
                _wake(connection)
        for thread in self._threads:
            thread.join(SOCKET_SECONDS)
        assert not any(thread.is_alive() for thread in self._threads), "a backend hangs"
        self._threads = []

    def refuse(self):
        """Stops listening; open connections go on."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # wakes the accepting thread
        listener.close()
        if self.address.startswith("unix:/"):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.address[5:])

    def retire(self):
        """A unix socket's gentle end: nobody finds it, who found it is served."""
        os.unlink(self.address[5:])
        wait_until(lambda: not select.select([self._listener], [], [], 0.05)[0],
                   "the backend's queue to be empty")
        self.wait_idle()
        self.refuse()

    def wait_connections(self, count):
        wait_until(lambda: self.accepted >= count, f"{count} connections at the backend")

    def wait_idle(self):
        wait_until(lambda: not self._open, "the backend's connections to end")

    def _accept_all(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connection.settimeout(SOCKET_SECONDS)
            with self._lock:
                self.accepted += 1
                self._open.add(connection)
            self._spawn(self._run, connection)

    def _run(self, connection):
        try:
            self._serve(connection, self)
        except (OSError, EOFError) as error:
            self.notes.append(error.with_traceback(None))  # a traceback keeps sockets
        finally:
            with self._lock:
                self._open.discard(connection)
            connection.close()

    def _spawn(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()


def _listen(address, backlog):
    if address.startswith("unix:"):
        sock = socket.socket(socket.AF_UNIX)
        path = address[5:]
        sock.bind("\0" + path[1:] if path.startswith("@") else path)
        if path.startswith("/"):
            os.chmod(path, 0o666)  # connecting needs write permission
    else:
        host, port = split_address(address)
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    sock.listen(backlog)
    return sock


def _wake(connection):
    """Ends a connection that another thread may be blocked on."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def receive_exactly(connection, size):
    parts = bytearray()
    while len(parts) < size:
        part = connection.recv(size - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


# --- What connections are served with.


def echo(connection, backend):
    """Returns every byte; ends its side when the client has ended its own."""
    while data := connection.recv(_CHUNK):
        backend.received += len(data)
        connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


def _probe_echo(client):
    client.send(b"still there?")
    assert client.recv_exactly(12) == b"still there?"


echo.probe = _probe_echo


def sink(connection, backend):
    """Swallows everything up to the end, then answers with its SHA-256 and length."""
    digest = hashlib.sha256()
    size = 0
    while data := connection.recv(_CHUNK):
        digest.update(data)
        size += len(data)
        backend.received += len(data)
    connection.sendall(f"{digest.hexdigest()} {size}\n".encode())


def source(size):
    """Sends `size` bytes of the pattern, ends its side, then notes what the client sends."""
    def serve(connection, backend):
        for piece in pattern.chunks(size):
            connection.sendall(piece)
            backend.sent += len(piece)
        connection.shutdown(socket.SHUT_WR)
        backend.notes.append(b"".join(iter(lambda: connection.recv(_CHUNK), b"")))

    return serve


def flood(connection, backend):
    """Sends as much as is taken until it is stopped or the client goes."""
    piece = bytes(65536)
    connection.settimeout(0.2)
    while not backend.stopping.is_set():
        try:
            backend.sent += connection.send(piece)
        except TimeoutError:
            continue


def stall(connection, backend):
    """Reads nothing, sends nothing, keeps the connection."""
    backend.stopping.wait()


def banner(connection, backend):
    """Speaks first, as SMTP does, then echoes."""
    connection.sendall(b"220 ready\r\n")
    echo(connection, backend)


def resetting(after):
    """Sends `after` bytes of the pattern once the client spoke, then resets."""
    def serve(connection, backend):
        if not connection.recv(_CHUNK):
            return
        connection.sendall(pattern.whole(after))
        wait_until(lambda: _unsent(connection) == 0, "the proxy to take the bytes")
        reset(connection)

    return serve


def resetting_at_once(connection, backend):
    """Resets before the client said anything."""
    reset(connection)


def recorder(connection, backend):
    """Keeps all that the first connection brings as one note and answers `ok` once."""
    backend.notes.append(b"")
    while data := connection.recv(_CHUNK):
        if not backend.notes[0]:
            connection.sendall(b"ok")
        backend.notes[0] += data


def http(connection, backend):
    """HTTP/1.1 with keep-alive: /bytes/N sends the pattern, POST answers with SHA-256."""
    with connection.makefile("rb") as stream:
        while line := stream.readline():
            method, path, _ = line.decode("latin-1").split()
            headers = dict(_headers(stream))
            _respond(connection, backend, stream, method, path, headers)
            if headers.get("connection") == "close":
                return


def _respond(connection, backend, stream, method, path, headers):
    if method == "POST":
        body = _digest_body(stream, int(headers.get("content-length", 0)))
        _answer(connection, backend, [body], len(body))
    elif path.startswith("/bytes/"):
        size = int(path.rpartition("/")[2])
        _answer(connection, backend, pattern.chunks(size), size)
    else:
        body = f"hello from {backend.name}\n".encode()
        _answer(connection, backend, [body], len(body))


def _probe_http(client):
    assert HttpClient(client).request().status == 200


http.probe = _probe_http


def _headers(stream):
    while (line := stream.readline()) not in (b"\r\n", b""):
        key, _, value = line.decode("latin-1").partition(":")
        yield key.lower(), value.strip()


def _digest_body(stream, size):
    digest = hashlib.sha256()
    while size > 0:
        piece = stream.read(min(_CHUNK, size))
        if not piece:
            raise EOFError
        digest.update(piece)
        size -= len(piece)
    return digest.hexdigest().encode()


def _answer(connection, backend, pieces, size):
    head = (f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n"
            f"Content-Type: text/plain\r\nX-Backend: {backend.name}\r\n\r\n")
    connection.sendall(head.encode())
    for piece in pieces:
        connection.sendall(piece)
        backend.sent += len(piece)


def _unsent(connection):
    """Bytes the peer's kernel has not taken yet (SIOCOUTQ)."""
    return struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0" * 4))[0]
