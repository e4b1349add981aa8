"""ClientHellos made by hand, for what no library would offer, and the answers to them."""

import os
import struct
from dataclasses import dataclass, field

from .tls import tcp

TLS10, TLS11, TLS12, TLS13 = 0x0301, 0x0302, 0x0303, 0x0304
P256, P384, X25519, X25519MLKEM768 = 0x0017, 0x0018, 0x001D, 0x11EC

AES128_GCM = 0x1301
ECDHE_ECDSA_AES128_GCM, ECDHE_RSA_AES128_GCM = 0xC02B, 0xC02F
STATIC_RSA_GCM, STATIC_RSA_CBC = 0x009C, 0x002F
ECDHE_ECDSA_CBC, ECDHE_RSA_CBC = 0xC009, 0xC013
DHE_RSA_AES128_GCM, ECDH_ANON_CBC = 0x009E, 0xC018

ECDSA_SHA256, RSA_PSS_SHA256, RSA_PKCS1_SHA256 = 0x0403, 0x0804, 0x0401
RSA_PKCS1_SHA1, ED448 = 0x0201, 0x0808

ALERTS = {10: "unexpected_message", 22: "record_overflow", 40: "handshake_failure",
          47: "illegal_parameter", 50: "decode_error", 70: "protocol_version",
          80: "internal_error", 109: "missing_extension", 112: "unrecognized_name"}


@dataclass
class Hello:
    """An acceptable TLS 1.3 hello; each test changes what it is about."""

    legacy_version: int = TLS12
    suites: tuple = (AES128_GCM, ECDHE_ECDSA_AES128_GCM, ECDHE_RSA_AES128_GCM)
    versions: tuple = (TLS13, TLS12)  # empty: no supported_versions
    groups: tuple = (X25519, P256)
    shares: tuple = (X25519,)
    signatures: tuple = (ECDSA_SHA256, RSA_PSS_SHA256, RSA_PKCS1_SHA256)
    sni: bytes = b"app.example"
    psk_modes: tuple = ()
    psk: bool = False
    more: list = field(default_factory=list)  # further (type, data)

    def extensions(self):
        found = []
        if self.sni:
            name = b"\0" + _vector(2, self.sni)
            found.append((0, _vector(2, name)))
        if self.groups:
            found.append((10, _vector(2, _words(self.groups))))
        if self.signatures:
            found.append((13, _vector(2, _words(self.signatures))))
        if self.versions:
            found.append((43, _vector(1, _words(self.versions))))
            shares = b"".join(_words((group,)) + _vector(2, _share(group))
                              for group in self.shares)
            found.append((51, _vector(2, shares)))
        if self.psk_modes:
            found.append((45, _vector(1, bytes(self.psk_modes))))
        found += self.more
        if self.psk:  # must be the last
            identity = _vector(2, os.urandom(32)) + bytes(4)
            found.append((41, _vector(2, identity) + _vector(2, _vector(1, bytes(32)))))
        return found

    def body(self):
        extensions = b"".join(_words((kind,)) + _vector(2, data)
                              for kind, data in self.extensions())
        return (_words((self.legacy_version,)) + os.urandom(32) + _vector(1, os.urandom(32))
                + _vector(2, _words(self.suites)) + b"\1\0" + _vector(2, extensions))

    def record(self):
        return record(handshake(1, self.body()))


def handshake(kind, body):
    return bytes([kind]) + _vector(3, body)


def record(payload, kind=22, version=TLS10):
    return struct.pack("!BHH", kind, version, len(payload)) + payload


def fragmented(hello_record, size):
    """The same handshake message in records of at most `size` bytes of payload."""
    message = hello_record[5:]
    return b"".join(record(message[start:start + size])
                    for start in range(0, len(message), size))


def answer(address, data, end=False):
    """What comes back for `data`: an alert's name, the kind of record, or `closed`."""
    with tcp(address) as sock:
        sock.sendall(data)
        if end:
            sock.shutdown(1)
        return first_record(sock)


def first_record(sock):
    try:
        head = _receive(sock, 5)
        payload = _receive(sock, struct.unpack("!H", head[3:])[0])
    except (EOFError, ConnectionResetError):
        return "closed"
    if head[0] == 21 and payload[0] == 2:
        return ALERTS.get(payload[1], f"alert {payload[1]}")
    return {22: "handshake", 23: "data"}.get(head[0], f"record {head[0]}")


def _receive(sock, size):
    parts = b""
    while len(parts) < size:
        part = sock.recv(size - len(parts))
        if not part:
            raise EOFError
        parts += part
    return parts


def _share(group):
    """Bytes that look like a public key of the group; only X25519 takes any."""
    sizes = {X25519: 32, P256: 65, P384: 97, X25519MLKEM768: 1216}
    key = bytearray(os.urandom(sizes.get(group, 32)))
    if group in (P256, P384):
        key[0] = 4
    else:
        key[-1] &= 0x7F
    return bytes(key)


def _words(values):
    return b"".join(struct.pack("!H", value) for value in values)


def _vector(width, data):
    return len(data).to_bytes(width, "big") + data
