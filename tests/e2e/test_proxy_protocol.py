"""What backends learn about the client in front of its bytes."""

import ipaddress
import struct

import pytest
from harness.backends import recorder
from harness.ports import free_address, split_address
from harness.tls import client_context
from harness.wait import wait_until

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ALPN, AUTHORITY, TLS, TLS_VERSION, TLS_CIPHER = 0x01, 0x02, 0x20, 0x21, 0x23


def received(backend, client):
    """All that the backend got of a client which said `hello`."""
    client.send(b"hello")
    wait_until(lambda: backend.notes and backend.notes[0].endswith(b"hello"), "the bytes")
    return backend.notes[0]


def parse_v2(data):
    """(command byte, family byte, address block, {TLV type: value}, what follows)."""
    assert data.startswith(SIGNATURE)
    command, family, length = struct.unpack("!BBH", data[12:16])
    block, rest = data[16:16 + length], data[16 + length:]
    size = {0x11: 12, 0x21: 36}.get(family, 0)
    return command, family, block[:size], parse_tlvs(block[size:]), rest


def parse_tlvs(data):
    found = {}
    while data:
        kind, length = struct.unpack("!BH", data[:3])
        found[kind] = data[3:3 + length]
        data = data[3 + length:]
    return found


@pytest.mark.parametrize("host, family", [("127.0.0.1", "TCP4"), ("::1", "TCP6")])
def test_v1_names_both_ends(pawl, serve, host, family):
    backend = serve(recorder)
    proxy = pawl(backend, listen=free_address(host), backend_keys={"send_proxy": "v1"})
    client = proxy.connect()
    port = client.sock.getsockname()[1]
    listening = split_address(proxy.listen[0])[1]
    line = f"PROXY {family} {host} {host} {port} {listening}\r\n"
    assert received(backend, client) == line.encode() + b"hello"


@pytest.mark.parametrize("host, family", [("127.0.0.1", 0x11), ("::1", 0x21)])
def test_v2_names_both_ends(pawl, serve, host, family):
    backend = serve(recorder)
    proxy = pawl(backend, listen=free_address(host), backend_keys={"send_proxy": "v2"})
    client = proxy.connect()
    data = parse_v2(received(backend, client))
    packed = ipaddress.ip_address(host).packed
    ports = struct.pack("!HH", client.sock.getsockname()[1],
                        split_address(proxy.listen[0])[1])
    assert (data[0], data[1], data[2], data[4]) == (0x21, family, packed * 2 + ports, b"hello")


def test_v2_with_tls_says_what_was_negotiated(pawl, serve):
    backend = serve(recorder)
    proxy = pawl(backend, backend_keys={"send_proxy": "v2-tls"})
    client = proxy.connect(context=client_context())
    _, _, _, tlvs, rest = parse_v2(received(backend, client))
    assert rest == b"hello" and tlvs[AUTHORITY] == b"app.example"
    flags, verified = struct.unpack("!BI", tlvs[TLS][:5])
    details = parse_tlvs(tlvs[TLS][5:])
    assert flags & 1 and not flags & 6 and verified != 0  # TLS, no client certificate
    assert details[TLS_VERSION].startswith(b"TLSv1.3")
    assert details[TLS_CIPHER].decode() in client.cipher


def test_no_header_is_sent_unless_asked_for(pawl, serve):
    backend = serve(recorder)
    proxy = pawl(backend)
    assert received(backend, proxy.connect()) == b"hello"


def test_the_header_comes_even_from_a_client_that_says_nothing(pawl, serve):
    backend = serve(recorder)
    proxy = pawl(backend, backend_keys={"send_proxy": "v1"})
    client = proxy.connect()
    wait_until(lambda: backend.notes, "the header")
    assert backend.notes[0].startswith(b"PROXY TCP4 ")
    assert client.recv_exactly(2) == b"ok"


def test_the_header_goes_to_a_unix_socket_too(pawl, serve, folder):
    backend = serve(recorder, f"unix:{folder}/app.sock")
    proxy = pawl(backend, backend_keys={"send_proxy": "v1"})
    client = proxy.connect()
    assert received(backend, client).startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 ")
