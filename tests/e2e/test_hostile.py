"""What is refused on the TLS port, how, and what the log says about it."""

import random
import struct
import time

import pytest
from harness import hello, procfs
from harness.backends import echo, http
from harness.env import SANITIZED
from harness.hello import Hello
from harness.http import HttpClient
from harness.load import Load
from harness.tls import TLS12, TLS13, client_context, reset, tcp

REFUSED = {
    "plain http": (b"GET / HTTP/1.1\r\nHost: app.example\r\n\r\n", "closed", "plain_http"),
    "garbage": (b"\xff\xfe\x00 this is not TLS" * 4, "closed", "not_tls"),
    "ssh": (b"SSH-2.0-OpenSSH_9.2p1\r\n", "closed", "not_tls"),
    "a server's record": (hello.record(b"\x02\x00\x00\x00"), "unexpected_message",
                          "malformed"),
    "data first": (hello.record(b"early", kind=23), None, ("malformed", "not_tls")),
    "a torn hello": (hello.record(hello.handshake(1, Hello().body()[:40])), "decode_error",
                     "malformed"),
    "no extension's end": (hello.record(b"\1\0\0\4\3\3\0\0"), "decode_error", "malformed"),
    "too large": (hello.record(b"\1\xff\xff\xff" + bytes(1000)), None, "too_large"),
    "static RSA": (Hello(versions=(), suites=(hello.STATIC_RSA_GCM,)).record(),
                   "handshake_failure", "suite"),
    "static RSA with CBC": (Hello(versions=(), suites=(hello.STATIC_RSA_CBC,)).record(),
                            "handshake_failure", "suite"),
    "CBC": (Hello(versions=(), suites=(hello.ECDHE_ECDSA_CBC, hello.ECDHE_RSA_CBC)).record(),
            "handshake_failure", "suite"),
    "DHE": (Hello(versions=(), suites=(hello.DHE_RSA_AES128_GCM,)).record(),
            "handshake_failure", "suite"),
    "anonymous": (Hello(versions=(), suites=(hello.ECDH_ANON_CBC,)).record(),
                  "handshake_failure", "suite"),
    "TLS 1.3 without its suites": (Hello(versions=(hello.TLS13,),
                                         suites=(hello.ECDHE_RSA_AES128_GCM,)).record(),
                                   "handshake_failure", "suite"),
    "TLS 1.1": (Hello(legacy_version=hello.TLS11, versions=()).record(), "protocol_version",
                "version"),
    "TLS 1.0": (Hello(legacy_version=hello.TLS10, versions=()).record(), "protocol_version",
                "version"),
    "TLS 1.1 by extension": (Hello(versions=(hello.TLS11, hello.TLS10)).record(),
                             "protocol_version", "version"),
    "P-384 only": (Hello(groups=(hello.P384,), shares=(hello.P384,)).record(),
                   "handshake_failure", "group"),
    "P-384 only in TLS 1.2": (Hello(versions=(), groups=(hello.P384,)).record(),
                              "handshake_failure", "group"),
    "no groups": (Hello(groups=(), shares=()).record(), "missing_extension", "group"),
    "SHA-1 signatures only": (Hello(signatures=(hello.RSA_PKCS1_SHA1,)).record(),
                              "handshake_failure", "signature"),
    "no signatures": (Hello(signatures=()).record(), "missing_extension", "signature"),
    "psk_ke only": (Hello(psk_modes=(0,), psk=True).record(), "handshake_failure", "psk_ke"),
    "psk without modes": (Hello(psk=True).record(), "missing_extension", "psk_ke"),
    "a name with a NUL": (Hello(sni=b"app.example\0.evil").record(), "unrecognized_name",
                          "sni"),
    "a name with a blank": (Hello(sni=b"app example").record(), "unrecognized_name", "sni"),
    "an endless name": (Hello(sni=b"a" * 300).record(), "unrecognized_name", "sni"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_and_logged(pawl, serve, case):
    data, alert, reason = REFUSED[case]
    backend = serve(echo)
    proxy = pawl(backend)
    answer = hello.answer(proxy.listen[0], data)
    assert answer not in ("handshake", "data") and alert in (None, answer)
    line = proxy.log.wait_for("handshake failed")
    assert line["reason"] in ([reason] if isinstance(reason, str) else reason)
    assert line["detail"] and line["state"] == "hello" and line.role == "worker 0"
    assert backend.accepted == 0


@pytest.mark.parametrize("data, words", [
    (Hello(legacy_version=hello.TLS11, versions=()).record(), ["TLS 1.1", "TLS 1.2"]),
    (Hello(groups=(hello.P384,), shares=()).record(), ["secp384r1", "x25519"]),
    (Hello(signatures=(hello.ED448,)).record(), ["ed448"]),
    (Hello(versions=(), suites=(0x009C, 0x002F)).record(), ["2 suites", "0x009c"]),
    (b"POST /x HTTP/1.1\r\n\r\n", ["HTTP"]),
])
def test_the_log_says_what_the_client_offered(pawl, serve, data, words):
    proxy = pawl(serve(echo))
    hello.answer(proxy.listen[0], data)
    detail = proxy.log.wait_for("handshake failed")["detail"]
    assert all(word in detail for word in words), detail


def test_a_name_of_a_failed_handshake_cannot_forge_the_log(pawl, serve):
    proxy = pawl(serve(echo))
    evil = b"x\" reason=finished\n2026-01-01T00:00:00.000Z error master: gone"
    hello.answer(proxy.listen[0], Hello(sni=evil).record())
    assert proxy.log.wait_for("handshake failed")["reason"] == "sni"
    assert not proxy.log.find("master: gone$")


def test_a_hello_cut_short_is_logged(pawl, serve):
    proxy = pawl(serve(echo), extra={"log": {"level": "debug"}})
    assert hello.answer(proxy.listen[0], Hello().record()[:60], end=True) == "closed"
    line = proxy.log.wait_for("handshake failed")
    assert line["state"] == "hello"
    assert line["reason"] in ("client_closed", "client_truncated")


def test_an_acceptable_hand_made_hello_is_answered(pawl, serve):
    proxy = pawl(serve(echo))
    assert hello.answer(proxy.listen[0], Hello().record()) == "handshake"


def test_grease_does_no_harm(pawl, serve):
    proxy = pawl(serve(echo))
    greased = Hello(suites=(0x0A0A, hello.AES128_GCM), versions=(0x3A3A, hello.TLS13),
                    groups=(0x1A1A, hello.X25519), more=[(0x2A2A, b""), (0x4A4A, b"\0")])
    assert hello.answer(proxy.listen[0], greased.record()) == "handshake"


def test_a_slow_handshake_is_cut_while_others_are_served(pawl, serve):
    proxy = pawl(serve(http), limits={"handshake_timeout": "1s"})
    started = time.monotonic()
    with tcp(proxy.listen[0]) as slow, Load(proxy.listen[0], kept=1, fresh=1) as load:
        slow.sendall(Hello().record()[:50])
        assert slow.recv(100) == b""
        elapsed = time.monotonic() - started
    assert not load.failures
    assert 0.9 < elapsed < 10
    line = proxy.log.wait_for("handshake failed")
    assert line["reason"] == "handshake_timeout" and line["state"] == "hello"


def test_a_trickled_hello_is_cut_all_the_same(pawl, serve):
    proxy = pawl(serve(echo), limits={"handshake_timeout": "500ms"})
    with tcp(proxy.listen[0]) as slow:
        with pytest.raises(OSError):
            for byte in Hello().record() * 100:
                slow.send(bytes([byte]))
                time.sleep(0.02)  # the client's own slowness
    assert proxy.log.wait_for("handshake failed")["reason"] == "handshake_timeout"


def test_a_client_that_never_finishes_is_cut(pawl, serve):
    proxy = pawl(serve(echo), limits={"handshake_timeout": "500ms"})
    with tcp(proxy.listen[0]) as silent:
        silent.sendall(Hello().record())
        while silent.recv(65536):
            pass
    line = proxy.log.wait_for("handshake failed")
    assert line["reason"] == "handshake_timeout" and line["state"] == "handshake"


def test_a_connection_without_a_byte_is_cut(pawl, serve):
    proxy = pawl(serve(echo), limits={"handshake_timeout": "500ms"})
    with tcp(proxy.listen[0]) as silent:
        assert silent.recv(1) == b""


@pytest.mark.parametrize("version", [TLS12, TLS13], ids=["tls12", "tls13"])
def test_clients_that_vanish_within_the_handshake_do_no_harm(pawl, serve, version):
    proxy = pawl(serve(echo))
    context = client_context(version=version)
    for number in range(100):
        client = proxy.client(context=context)
        client.sock.sendall(client.hello())
        if number % 3 == 1:
            client.sock.recv(1)
        reset(client.sock) if number % 2 else client.sock.close()
    client = proxy.connect()
    client.send(b"x")
    assert client.recv_exactly(1) == b"x"


def test_damaged_hellos_do_no_harm(pawl, serve):
    proxy = pawl(serve(echo))
    dice = random.Random(7)
    with_extras = Hello(psk_modes=(1,), psk=True, more=[(16, b"\0\3\2h2")]).record()
    for _ in range(300):
        damaged = bytearray(with_extras)
        for _ in range(dice.randint(1, 4)):
            damaged[dice.randrange(5, len(damaged))] = dice.randrange(256)
        assert hello.answer(proxy.listen[0], bytes(damaged), end=True) != "data"
    assert len(proxy.roles("worker")) == 1


def test_garbage_after_the_handshake_ends_the_session(pawl, serve):
    backend = serve(echo)
    proxy = pawl(backend, limits={"linger_timeout": "500ms"})
    client = proxy.connect()
    client.send(b"x")
    client.recv_exactly(1)
    client.sock.sendall(hello.record(bytes(100), kind=23, version=hello.TLS12))
    assert hello.first_record(client.sock) in ("data", "closed")  # an alert, encrypted
    line = proxy.session_line(client)
    assert line["reason"] == "tls_error" and line["detail"]
    backend.wait_idle()


@pytest.mark.parametrize("kind, payload", [(20, b"\1"), (21, b"\1\x5a"), (22, b"")])
def test_floods_of_idle_records_end(pawl, serve, kind, payload):
    proxy = pawl(serve(echo), limits={"linger_timeout": "500ms"})
    client = proxy.client()
    client.sock.sendall(client.hello())
    records = hello.record(payload, kind=kind, version=hello.TLS12) * 1000
    with pytest.raises(OSError):
        for _ in range(1_000_000):
            client.sock.sendall(records)
    assert proxy.log.wait_for("handshake failed")["reason"] in ("tls_error", "tls_alert")


def test_many_half_open_handshakes_cost_little(pawl, serve):
    proxy = pawl(serve(http))
    worker = proxy.role("worker 0")
    HttpClient(proxy.connect()).request()
    before = procfs.rss_bytes(worker)
    socks = [tcp(proxy.listen[0]) for _ in range(300)]
    for sock in socks:
        sock.sendall(struct.pack("!BHH", 22, hello.TLS10, 16000) + b"\1\0\x3e\x7c" + bytes(996))
    assert HttpClient(proxy.connect()).request().status == 200
    growth = procfs.rss_bytes(worker) - before
    for sock in socks:
        sock.close()
    assert growth < 300 * 8192 or SANITIZED  # whose own memory is measured
