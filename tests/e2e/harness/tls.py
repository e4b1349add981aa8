"""A TLS client that shows what the socket hides: every byte, alert and way of ending."""

import contextlib
import select
import socket
import ssl
import struct

from .env import SOCKET_SECONDS
from .ports import split_address

_CHUNK = 256 * 1024

TLS12 = ssl.TLSVersion.TLSv1_2
TLS13 = ssl.TLSVersion.TLSv1_3


class Truncated(Exception):
    """The connection ended without close_notify."""


def client_context(ca=None, version=None, ciphers=None, alpn=None):
    """A verifying context; `version` pins one TLS version."""
    context = ssl.create_default_context(cafile=ca)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # Python would hide truncation
    if ca is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if ciphers:
        context.set_ciphers(ciphers)
    if alpn:
        context.set_alpn_protocols(alpn)
    return context


def tcp(address, source=None):
    """A plain connection with the harness's deadline on every read and write.

    `source` is the local host it comes from, e.g. 127.0.0.2.
    """
    sock = socket.create_connection(split_address(address), timeout=SOCKET_SECONDS,
                                    source_address=(source, 0) if source else None)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def reset(sock):
    """Closes with RST."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class TlsClient:
    """TLS over memory buffers and a socket of our own. Not for two threads at once."""

    def __init__(self, address, context, sni="app.example", session=None, source=None):
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=sni,
                                    session=session)
        self._unread = b""  # plaintext taken out of the TLS object ahead of recv
        self.sock = tcp(address, source)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def hello(self):
        """The ClientHello record, taken out so that the test may send it its own way."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        return self._outgoing.read()

    def handshake(self):
        self._run(self.tls.do_handshake)
        return self

    def send(self, data):
        view = memoryview(data)
        while view:
            written = self._run(self.tls.write, view[:_CHUNK])
            view = view[written:]

    def recv(self, size=65536):
        """Some bytes; b"" at close_notify; Truncated at an end without it."""
        if self._unread:
            taken, self._unread = self._unread[:size], self._unread[size:]
            return taken
        try:
            return self._run(self.tls.read, size)
        except ssl.SSLZeroReturnError:
            return b""

    def recv_exactly(self, size):
        parts = bytearray()
        while len(parts) < size:
            part = self.recv(min(65536, size - len(parts)))
            if not part:
                raise EOFError(f"end after {len(parts)} of {size} bytes")
            parts += part
        return bytes(parts)

    def recv_all(self):
        parts = bytearray()
        while part := self.recv():
            parts += part
        return bytes(parts)

    def exchange(self, data, expected):
        """Sends `data` and receives `expected` bytes at the same time."""
        view, received = memoryview(data), bytearray()
        self.sock.setblocking(False)
        while len(received) < expected:
            if view and self._outgoing.pending < _CHUNK:
                view = view[self.tls.write(view[:_CHUNK]):]
            received += self._turn()
        self.sock.settimeout(SOCKET_SECONDS)
        self._flush()
        return bytes(received)

    def close_notify(self):
        """Ends our direction; the other goes on."""
        with contextlib.suppress(ssl.SSLError):  # unwrap() would fail on data that is there
            self._unread += self._read_ready()
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self._flush()

    def fin(self):
        """Ends our direction of TCP, with or without close_notify before."""
        self.sock.shutdown(socket.SHUT_WR)

    def at_tcp_end(self):
        """Whether the next thing on the socket is its end; waits for it."""
        return self.sock.recv(1) == b""

    def close(self):
        """A clean end, whatever state we are in."""
        with contextlib.suppress(OSError, ValueError):
            self.close_notify()
        self.sock.close()

    def reset(self):
        reset(self.sock)

    def abandon(self):
        """Closes the socket without close_notify."""
        self.sock.close()

    @property
    def version(self):
        return self.tls.version()

    @property
    def cipher(self):
        return self.tls.cipher()[0]

    @property
    def session(self):
        """What resumes; with TLS 1.3 not before something was received."""
        return self.tls.session

    @property
    def resumed(self):
        return self.tls.session_reused

    @property
    def certificate(self):
        return self.tls.getpeercert(binary_form=True)

    def local_address(self):
        host, port = self.sock.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def _run(self, operation, *arguments):
        while True:
            try:
                result = operation(*arguments)
                self._flush()
                return result
            except ssl.SSLWantReadError:
                self._flush()
                self._fill()
            except ssl.SSLError as error:
                with contextlib.suppress(OSError):
                    self._flush()
                if error.reason == "UNEXPECTED_EOF_WHILE_READING":
                    raise Truncated from error
                raise

    def _flush(self):
        if self._outgoing.pending:
            self.sock.sendall(self._outgoing.read())

    def _fill(self):
        data = self.sock.recv(_CHUNK)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _turn(self):
        """One wait on the non-blocking socket; returns the plaintext that came."""
        writers = [self.sock] if self._outgoing.pending else []
        readable, writable, _ = select.select([self.sock], writers, [], SOCKET_SECONDS)
        if not readable and not writable:
            raise TimeoutError("neither readable nor writable")
        if writable:
            pending = self._outgoing.read()
            sent = self._send_some(pending)
            self._outgoing.write(pending[sent:])
        if readable:
            self._fill()
        return self._read_ready()

    def _send_some(self, data):
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0

    def _read_ready(self):
        received = bytearray()
        with contextlib.suppress(ssl.SSLWantReadError):
            while part := self.tls.read(65536):
                received += part
        return received
