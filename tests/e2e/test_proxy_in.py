"""The PROXY protocol from a load balancer in front."""

import socket
import ssl
import struct

import pytest
from harness import haproxy
from harness.backends import echo, recorder
from harness.hello import Hello
from harness.ports import free_address
from harness.tls import TlsClient, client_context, tcp
from harness.wait import wait_until

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
V1 = b"PROXY TCP4 192.0.2.7 203.0.113.9 4321 443\r\n"


def v2(command=0x21, family=0x11, block=None):
    if block is None:
        block = (socket.inet_aton("192.0.2.7") + socket.inet_aton("203.0.113.9")
                 + struct.pack("!HH", 4321, 443))
    return SIGNATURE + struct.pack("!BBH", command, family, len(block)) + block


V2_IPV6 = v2(family=0x21, block=socket.inet_pton(socket.AF_INET6, "2001:db8::7")
             + socket.inet_pton(socket.AF_INET6, "2001:db8::9") + struct.pack("!HH", 4321, 443))


@pytest.fixture
def behind(pawl, serve):
    """Pawl behind a balancer at 127.0.0.1."""
    def start(handler=echo, networks="127.0.0.0/8", backend_keys=None, limits=None):
        backend = serve(handler)
        proxy = pawl(backend, backend_keys=backend_keys, limits=limits, extra={
            "listener web": {"accept_proxy": "yes", "proxy_networks": networks}})
        proxy.guarded = True
        proxy.app = backend
        return proxy

    return start


def connect(proxy, header, pieces=None):
    """A TLS client whose connection begins with `header`."""
    client = proxy.client()
    for piece in pieces or [header]:
        client.sock.sendall(piece)
    client.handshake()
    client.send(b"hello")
    return client


@pytest.mark.parametrize("header, address", [
    (V1, "192.0.2.7:4321"), (v2(), "192.0.2.7:4321"), (V2_IPV6, "[2001:db8::7]:4321"),
    (b"PROXY TCP6 2001:db8::7 2001:db8::9 4321 443\r\n", "[2001:db8::7]:4321"),
], ids=["v1", "v2", "v2-ipv6", "v1-ipv6"])
def test_the_client_is_who_the_balancer_says(behind, header, address):
    proxy = behind()
    client = connect(proxy, header)
    assert client.recv_exactly(5) == b"hello"
    via = client.local_address()
    client.close()
    line = proxy.log.wait_for("session closed", client=address)
    assert line["via"] == via


@pytest.mark.parametrize("header", [v2(0x20, 0, b""), v2(0x20), v2(family=0, block=b""),
                                    b"PROXY UNKNOWN\r\n"],
                         ids=["local", "local-with-block", "unspec", "unknown"])
def test_a_header_that_names_nobody_leaves_the_connection_s_address(behind, header):
    proxy = behind()
    client = connect(proxy, header)
    assert client.recv_exactly(5) == b"hello"
    assert proxy.session_line(client)["via"] is None


def test_the_header_may_come_byte_by_byte(behind):
    proxy = behind()
    client = connect(proxy, None, [bytes([byte]) for byte in V1])
    assert client.recv_exactly(5) == b"hello"


def test_header_and_hello_may_come_together(behind):
    proxy = behind()
    with tcp(proxy.listen[0]) as sock:
        sock.sendall(v2() + Hello().record())
        assert sock.recv(1) == b"\x16"
        for piece in (v2()[:20],):
            with tcp(proxy.listen[0]) as second:
                second.sendall(piece)
                second.sendall(v2()[20:] + Hello().record())
                assert second.recv(1) == b"\x16"


@pytest.mark.parametrize("kind, start", [
    ("v1", b"PROXY TCP4 192.0.2.7 203.0.113.9 4321 443\r\n"), ("v2", v2())])
def test_the_backend_gets_the_conveyed_addresses(behind, kind, start):
    proxy = behind(recorder, backend_keys={"send_proxy": kind})
    connect(proxy, V1)
    wait_until(lambda: proxy.app.notes and proxy.app.notes[0].endswith(b"hello"), "the bytes")
    assert proxy.app.notes[0] == start + b"hello"


def test_others_are_refused(behind):
    proxy = behind(networks="10.0.0.0/8, 127.0.0.2")
    with tcp(proxy.listen[0]) as sock:
        sock.sendall(V1)
        try:
            assert sock.recv(1) == b""
        except ConnectionResetError:
            pass
        name = f"127.0.0.1:{sock.getsockname()[1]}"
    line = proxy.log.wait_for("handshake failed", client=name)
    assert line["reason"] == "proxy_untrusted" and line["state"] == "proxy"


@pytest.mark.parametrize("start", [
    b"GET / HTTP/1.1\r\n\r\n", Hello().record(), b"PROXY TCP4 x y 1 2\r\n",
    b"PROXY " + b"x" * 200, v2(0x31), v2(family=0x12), v2(block=b"1234"),
    v2(block=b"1" * 14)], ids=str)
def test_what_is_no_header_is_refused(behind, start):
    proxy = behind()
    proxy.expect_log("reason=proxy_malformed")
    with tcp(proxy.listen[0]) as sock:
        sock.sendall(start)
        try:
            assert sock.recv(1) == b""
        except ConnectionResetError:
            pass
    line = proxy.log.wait_for("handshake failed")
    assert line["reason"] == "proxy_malformed" and line["detail"]


def test_a_slow_header_is_timed_out(behind):
    proxy = behind(limits={"handshake_timeout": "500ms"})
    with tcp(proxy.listen[0]) as sock:
        sock.sendall(V1[:-1])
        assert sock.recv(1) == b""
    line = proxy.log.wait_for("handshake failed")
    assert (line["reason"], line["state"]) == ("handshake_timeout", "proxy")


def test_a_header_alone_is_timed_out_in_hello(behind):
    proxy = behind(limits={"handshake_timeout": "500ms"})
    with tcp(proxy.listen[0]) as sock:
        sock.sendall(V1)
        assert sock.recv(1) == b""
    line = proxy.log.wait_for("handshake failed", client="192.0.2.7:4321")
    assert line["state"] == "hello"


def test_without_the_key_a_header_is_no_tls(pawl, serve):
    proxy = pawl(serve(echo))
    client = proxy.client()
    client.sock.sendall(V1)
    with pytest.raises((ssl.SSLError, OSError, Exception)):
        client.handshake()
    assert proxy.session_line(client)["reason"] == "not_tls"


def test_networks_are_required(pawl, serve):
    proxy = pawl(serve(echo))
    proxy.sections["listener web"]["accept_proxy"] = "yes"
    assert any("accept_proxy needs proxy_networks" in line for line in proxy.reload_refused())


needs_haproxy = pytest.mark.skipif(not haproxy.PROGRAM, reason="haproxy is not installed")


@needs_haproxy
@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2",
                                    "send-proxy-v2 proxy-v2-options crc32c,unique-id"])
def test_haproxy_in_front_is_understood(behind, folder, option):
    proxy = behind()
    front = free_address()
    balancer = haproxy.in_front(folder, front, proxy.listen[0], option)
    try:
        client = TlsClient(front, client_context()).handshake()
        client.send(b"hello")
        assert client.recv_exactly(5) == b"hello"
        name = client.local_address()
        client.close()
        assert proxy.log.wait_for("session closed", client=name)["via"] != name
    finally:
        balancer.stop()


@needs_haproxy
def test_health_checks_of_haproxy_pass(behind, folder):
    proxy = behind()
    front = free_address()
    balancer = haproxy.in_front(folder, front, proxy.listen[0],
                                "send-proxy-v2 check check-send-proxy check-ssl verify none "
                                "inter 200ms fall 1")
    try:
        wait_until(lambda: proxy.log.find("session closed"), "a health check")
        client = TlsClient(front, client_context()).handshake()
        client.send(b"hello")
        assert client.recv_exactly(5) == b"hello"
        client.close()
    finally:
        balancer.stop()
