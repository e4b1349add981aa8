"""What Pawl speaks: versions, suites, groups, with the clients that people use."""

import ssl

import pytest
from harness import hello, pattern
from harness.backends import echo, http
from harness.programs import curl, run_tool, s_client
from harness.tls import TLS12, TLS13, client_context

REQUEST = "GET / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n"

VERSIONS = pytest.mark.parametrize("version", [TLS12, TLS13], ids=["tls12", "tls13"])


@pytest.mark.parametrize("option, version", [("--tlsv1.3", "TLSv1.3"),
                                             ("--tls-max 1.2", "TLSv1.2")])
def test_curl_is_served(pawl, serve, authority, option, version):
    proxy = pawl(serve(http))
    done = curl(proxy.listen[0], *option.split(), ca=authority.root)
    assert done.stdout == b"hello from app\n"
    line = proxy.log.wait_for("session closed")
    assert line["version"] == version


def test_curl_downloads_and_uploads(pawl, serve, authority, folder):
    proxy = pawl(serve(http))
    size = 5_000_000
    upload = folder / "upload"
    upload.write_bytes(pattern.whole(size))
    done = curl(proxy.listen[0], "--data-binary", f"@{upload}", ca=authority.root)
    assert done.stdout.decode() == pattern.digest(size)
    done = curl(proxy.listen[0], ca=authority.root, path=f"/bytes/{size}")
    assert done.stdout == pattern.whole(size)


@VERSIONS
def test_python_ssl_verifies_the_chain(pawl, serve, authority, version):
    proxy = pawl(serve(echo))
    client = proxy.connect(context=client_context(authority.root, version))
    client.send(b"hello")
    assert client.recv_exactly(5) == b"hello"


@pytest.mark.parametrize("suite", ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                   "TLS_CHACHA20_POLY1305_SHA256"])
def test_each_suite_of_tls13_is_spoken(pawl, serve, suite):
    proxy = pawl(serve(echo))
    shown = s_client(proxy.listen[0], "-tls1_3", "-ciphersuites", suite)
    assert shown.cipher == suite


@pytest.mark.parametrize("suite", ["ECDHE-ECDSA-AES128-GCM-SHA256",
                                   "ECDHE-ECDSA-AES256-GCM-SHA384",
                                   "ECDHE-ECDSA-CHACHA20-POLY1305",
                                   "ECDHE-RSA-AES128-GCM-SHA256",
                                   "ECDHE-RSA-AES256-GCM-SHA384",
                                   "ECDHE-RSA-CHACHA20-POLY1305"])
def test_each_suite_of_tls12_is_spoken(pawl, serve, app_cert, app_rsa_cert, suite):
    proxy = pawl(serve(echo), certificates=[app_cert, app_rsa_cert])
    shown = s_client(proxy.listen[0], "-tls1_2", "-cipher", suite)
    assert shown.cipher == suite


def test_the_server_chooses_the_suite(pawl, serve):
    proxy = pawl(serve(echo))
    offer = "TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256"
    shown = s_client(proxy.listen[0], "-tls1_3", "-ciphersuites", offer)
    assert shown.cipher == "TLS_AES_128_GCM_SHA256"


@pytest.mark.parametrize("group", ["X25519MLKEM768", "X25519", "P-256"])
def test_each_group_is_spoken(pawl, serve, authority, tool, group):
    proxy = pawl(serve(http))
    facts, answer = run_tool(tool("tls_client"), proxy.listen[0], "--groups", group, "--sni",
                             "app.example", "--ca", authority.root, "--request", REQUEST)
    assert group in (facts["group"], {"SECP256R1": "P-256"}.get(facts["group"]))
    assert answer.endswith(b"hello from app\n")
    assert proxy.log.wait_for("session closed")["group"] == facts["group"]


def test_the_hybrid_group_is_preferred_over_the_clients_order(pawl, serve, tool):
    proxy = pawl(serve(http))
    facts, _ = run_tool(tool("tls_client"), proxy.listen[0], "--groups",
                        "X25519,X25519MLKEM768", "--shares", "2")
    assert facts["group"] == "X25519MLKEM768"


def test_a_client_without_a_usable_key_share_is_asked_again(pawl, serve):
    proxy = pawl(serve(echo))
    shown = s_client(proxy.listen[0], "-tls1_3", "-groups", "P-384:P-256", "-msg")
    assert shown.cipher and shown.has("Server Temp Key: ECDH, prime256v1")
    assert len(shown.text.split(", ClientHello")) == 3


def test_the_hybrid_hello_over_several_records_is_understood(pawl, serve, tool):
    proxy = pawl(serve(http))
    facts, answer = run_tool(tool("tls_client"), proxy.listen[0], "--groups",
                             "X25519MLKEM768,X25519", "--shares", "2", "--record", "300",
                             "--sni", "app.example", "--request", REQUEST)
    assert facts["group"] == "X25519MLKEM768" and int(facts["hello_bytes"]) > 1300
    assert answer.endswith(b"hello from app\n")


def test_the_hybrid_hello_in_small_writes_is_understood(pawl, serve, tool):
    proxy = pawl(serve(http))
    facts, answer = run_tool(tool("tls_client"), proxy.listen[0], "--record", "100",
                             "--write", "7", "--request", REQUEST)
    assert facts["group"] == "X25519MLKEM768"
    assert answer.endswith(b"hello from app\n")


@VERSIONS
def test_a_hello_in_single_bytes_is_understood(pawl, serve, version):
    proxy = pawl(serve(echo))
    client = proxy.client(context=client_context(version=version))
    for byte in client.hello():
        client.sock.send(bytes([byte]))
    client.handshake()
    client.send(b"hello")
    assert client.recv_exactly(5) == b"hello"


@pytest.mark.parametrize("size", [1, 16, 500])
@VERSIONS
def test_a_long_hello_over_several_records_is_understood(pawl, serve, version, size):
    proxy = pawl(serve(echo))
    names = [f"protocol-{number:03}" for number in range(120)]  # 1.8 KB in all
    client = proxy.client(context=client_context(version=version, alpn=names))
    record = client.hello()
    assert len(record) > 1700
    client.sock.sendall(hello.fragmented(record, size))
    client.handshake()
    client.send(b"hello")
    assert client.recv_exactly(5) == b"hello"


def test_tls_1_2_is_not_resumed(pawl, serve):
    proxy = pawl(serve(echo))
    context = client_context(version=TLS12)
    first = proxy.connect(context=context)
    first.send(b"x")
    first.recv_exactly(1)
    session = first.tls.session
    assert not session or not session.has_ticket
    first.close()
    second = proxy.client(context=context)
    if session:
        second.tls.session = session
    second.handshake()
    assert not second.tls.session_reused


def test_renegotiation_is_refused(pawl, serve):
    proxy = pawl(serve(echo))
    talk = [(b"one two three\n", b"one two three\n"), (b"R\n", b"alert")]
    shown = s_client(proxy.listen[0], "-tls1_2", talk=talk)
    assert shown.has("unexpected_message|unexpected message|no renegotiation"), shown.text
    assert proxy.log.wait_for("session closed")["reason"] in ("tls_error", "tls_alert")


def test_a_client_may_change_its_keys(pawl, serve):
    backend = serve(echo)
    proxy = pawl(backend)
    talk = [(b"one\n", b"one"), (b"K\n", b"KEYUPDATE"), (b"two\n", b"two")]
    shown = s_client(proxy.listen[0], "-tls1_3", "-msg", talk=talk)
    assert shown.text.count("KeyUpdate") >= 2  # ours and the server's
    assert proxy.log.wait_for("session closed")["reason"] == "finished"


def test_compression_is_not_negotiated(pawl, serve):
    proxy = pawl(serve(echo))
    assert s_client(proxy.listen[0], "-tls1_2", "-comp").has("Compression: NONE")


@VERSIONS
def test_the_whole_chain_is_sent(pawl, serve, version, authority):
    proxy = pawl(serve(echo))
    flag = "-tls1_2" if version == TLS12 else "-tls1_3"
    shown = s_client(proxy.listen[0], flag, "-showcerts", "-CAfile", authority.root,
                     "-verify_return_error")
    assert shown.text.count("-----BEGIN CERTIFICATE-----") == 2
    assert shown.has("Verification: OK")


def test_a_client_that_trusts_somebody_else_is_logged(pawl, serve):
    proxy = pawl(serve(echo))
    client = proxy.client(context=ssl.create_default_context())
    with pytest.raises(ssl.SSLCertVerificationError):
        client.handshake()
    name = client.local_address()
    client.abandon()
    line = proxy.session_line(name)
    assert line["reason"] == "tls_alert"
    assert "unknown_ca" in line["detail"] or "unknown ca" in line["detail"].lower()


@VERSIONS
def test_a_session_is_logged_with_its_facts(pawl, serve, version):
    backend = serve(echo)
    proxy = pawl(backend)
    client = proxy.connect(context=client_context(version=version))
    client.send(b"hello")
    assert client.recv_exactly(5) == b"hello"
    client.close_notify()
    assert client.recv() == b""
    line = proxy.session_line(client)
    facts = {"listener": "web", "sni": "app.example", "version": client.version,
             "certificate": "main", "backend": backend.address, "bytes_in": "5",
             "bytes_out": "5", "reason": "finished"}
    assert {key: line[key] for key in facts} == facts
    assert line["group"] == "X25519" and line["cipher"] and int(line["duration_ms"]) < 20000
    assert line.level == "info" and line.role == "worker 0"


@pytest.mark.parametrize("versions", [(hello.TLS13, hello.TLS12), ()], ids=["1.3", "1.2"])
def test_a_client_may_offer_every_suite_there_is(pawl, serve, versions):
    """As scanners do: more of them than the library has room for by itself."""
    suites = tuple(range(0x0001, 0x00C6)) + tuple(range(0xC001, 0xC0B6)) + hello.Hello.suites
    proxy = pawl(serve(echo))
    offer = hello.Hello(versions=versions, suites=suites)
    assert hello.answer(proxy.listen[0], offer.record()) == "handshake"
