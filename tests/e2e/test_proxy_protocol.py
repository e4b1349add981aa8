"""What backends learn about the client in front of its bytes."""

import ipaddress
import struct

import pytest
from harness import haproxy
from harness.backends import recorder
from harness.certs import pem_to_der
from harness.client_ca import ClientAuthority
from harness.ports import free_address, split_address
from harness.tls import client_context
from harness.wait import wait_until

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ALPN, AUTHORITY, UNIQUE_ID, TLS, TLS_VERSION, TLS_CIPHER = 0x01, 0x02, 0x05, 0x20, 0x21, 0x23
TLS_CN, TLS_GROUP, TLS_CERTIFICATE = 0x22, 0x26, 0x28


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
    assert details[TLS_GROUP] in (b"X25519", b"X25519MLKEM768", b"SECP256R1")
    assert ALPN not in tlvs and TLS_CN not in details and TLS_CERTIFICATE not in details
    assert proxy.session_line(client)["id"].encode() == tlvs[UNIQUE_ID]


def test_v2_with_tls_names_the_protocol(pawl, serve):
    backend = serve(recorder)
    proxy = pawl(backend, backend_keys={"send_proxy": "v2-tls"},
                 extra={"listener web": {"alpn": "h2, http/1.1"}})
    tlvs = parse_v2(received(backend, proxy.connect(
        context=client_context(alpn=["http/1.1"]))))[3]
    assert tlvs[ALPN] == b"http/1.1"


def test_sessions_have_different_ids(pawl, serve):
    backend = serve(recorder)
    proxy = pawl(backend, backend_keys={"send_proxy": "v2-tls"})
    first, second = proxy.connect(), proxy.connect()
    wait_until(lambda: len(backend.notes) == 2, "two connections")
    ids = {proxy.session_line(client)["id"] for client in (first, second)}
    assert len(ids) == 2 and all(len(name) == 32 for name in ids)


@pytest.mark.parametrize("whole", [False, True], ids=["cn", "certificate"])
@pytest.mark.parametrize("mode", ["required", "optional"])
def test_v2_with_tls_tells_the_client_s_certificate(pawl, serve, run_folder, whole, mode):
    ca = ClientAuthority(run_folder / f"proxy{whole}{mode}")
    alice = ca.client("alice", "DNS:alice.example")
    backend = serve(recorder)
    proxy = pawl(backend, backend_keys={"send_proxy": "v2-tls",
                                        "send_proxy_certificate": "yes" if whole else "no"},
                 extra={"listener web": {"clients": "staff"},
                        "clients staff": {"ca": ca.ca, "mode": mode}})
    proxy.guarded = True
    client = proxy.connect(context=alice.load_into(client_context()))
    tlvs = parse_v2(received(backend, client))[3]
    assert struct.unpack("!BI", tlvs[TLS][:5]) == (7, 0)
    details = parse_tlvs(tlvs[TLS][5:])
    assert details[TLS_CN] == b"alice"
    der = pem_to_der(alice.chain.read_text())[0]
    assert details.get(TLS_CERTIFICATE) == (der if whole else None)


def test_v2_with_tls_tells_that_an_optional_certificate_is_absent(pawl, serve, run_folder):
    ca = ClientAuthority(run_folder / "absent")
    backend = serve(recorder)
    proxy = pawl(backend, backend_keys={"send_proxy": "v2-tls"},
                 extra={"listener web": {"clients": "staff"},
                        "clients staff": {"ca": ca.ca, "mode": "optional"}})
    tlvs = parse_v2(received(backend, proxy.connect()))[3]
    assert struct.unpack("!BI", tlvs[TLS][:5]) == (1, 1)


@pytest.mark.skipif(not haproxy.PROGRAM, reason="haproxy is not installed")
@pytest.mark.parametrize("kind", ["v1", "v2", "v2-tls"])
def test_haproxy_behind_understands_it(pawl, folder, kind):
    back = free_address()
    balancer = haproxy.behind(folder, back, "%[src] %[src_port] %[dst] %[dst_port] "
                              "%[fc_rcvd_proxy] %[fc_pp_authority] %[fc_pp_unique_id]")
    try:
        proxy = pawl(back, backend_keys={"send_proxy": kind})
        client = proxy.connect()
        client.send(b"GET / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n")
        words = client.recv_all().decode().partition("\r\n\r\n")[2].split(" ")
        port = client.sock.getsockname()[1]
        line = proxy.session_line(client)
        told = ["127.0.0.1", str(port), "127.0.0.1",
                str(split_address(proxy.listen[0])[1]), "1"]
        assert words[:5] == told
        assert words[5:] == (["app.example", line["id"]] if kind == "v2-tls" else ["", ""])
    finally:
        balancer.stop()


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
