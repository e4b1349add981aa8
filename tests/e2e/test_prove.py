"""pawl prove: what it says about Pawl, and about servers that are known to be weaker."""

import contextlib
import json

import pytest
from harness.backends import echo, stall
from harness.pawl import command
from harness.peers import Peers
from harness.ports import free_address


@pytest.fixture
def peers(folder):
    with contextlib.ExitStack() as stack:
        yield Peers(folder, stack)


class Report:
    """The findings of one run."""

    def __init__(self, done):
        assert "Sanitizer" not in done.stderr, done.stderr
        self.code = done.returncode
        self.stderr = done.stderr
        self.object = json.loads(done.stdout)
        self.findings = self.object.get("findings", [])

    def verdict(self, name):
        verdicts = {item["verdict"] for item in self.findings if item["id"] == name}
        assert len(verdicts) == 1, (name, verdicts, self.findings)
        return verdicts.pop()

    def evidence(self, name):
        return " ".join(item["evidence"] for item in self.findings if item["id"] == name)

    def with_verdict(self, verdict):
        return {item["id"] for item in self.findings if item["verdict"] == verdict}


def prove(address, *options):
    return Report(command("prove", address, "--json", "--sni", "app.example", *options,
                          timeout=90))


REFUSED = {"version-tls11", "version-tls10", "version-ssl30", "suite-static-rsa",
           "suite-static-dh", "suite-psk", "suite-cbc", "suite-null", "suite-anon",
           "suite-export", "suite-rc4", "suite-3des", "suite-dhe", "compression",
           "renegotiation", "early-data-hello", "resumption-tls12-id",
           "resumption-tls12-ticket"}


# --- Pawl itself


def test_pawl_with_both_kinds_of_certificate_is_clean(pawl, serve, authority, app_cert,
                                                      app_rsa_cert):
    proxy = pawl(serve(echo), certificates=[app_cert, app_rsa_cert])
    report = prove(proxy.listen[0], "--ca", authority.root)
    assert report.code == 0, report.findings
    assert not report.with_verdict("fail") and not report.with_verdict("warn")
    assert REFUSED <= report.with_verdict("ok")
    assert {"post-quantum", "early-data", "resumption-tls13", "psk-ke", "certificate-trust",
            "certificate-names", "certificate-chain"} <= report.with_verdict("ok")
    assert report.evidence("version-tls12").startswith("6 of ")
    assert report.evidence("version-tls13").startswith("3 of ")
    assert report.evidence("groups-tls13").startswith("X25519MLKEM768, X25519, secp256r1;")
    assert "X25519MLKEM768" in report.evidence("resumption-tls13")
    keys = report.evidence("certificate-key")
    assert "ECDSA P-256" in keys and "RSA, 2048 bits" in keys


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_pawl_with_one_certificate_is_clean(pawl, serve, app_cert, app_rsa_cert, kind):
    proxy = pawl(serve(echo), certificates=[app_cert if kind == "ecdsa" else app_rsa_cert])
    report = prove(proxy.listen[0])
    assert report.code == 0 and not report.with_verdict("fail"), report.findings
    assert report.evidence("version-tls12").startswith("3 of ")


def test_pawl_of_tls13_alone_is_clean(pawl, serve):
    proxy = pawl(serve(echo), extra={"tls": {"min_version": "1.3", "tickets": "off"}})
    report = prove(proxy.listen[0])
    assert report.code == 0 and not report.with_verdict("fail"), report.findings
    assert report.verdict("version-tls12") == "info"
    assert report.verdict("tickets") == "ok"
    assert "ECDSA P-256" in report.evidence("certificate-key")


def test_the_address_comes_from_the_configuration(pawl, serve):
    proxy = pawl(serve(echo))
    for options in ([], ["--listener", "web"]):
        done = command("prove", "-c", proxy.config_file, *options, timeout=90)
        assert done.returncode == 0, done.stdout + done.stderr
        lines = done.stdout.splitlines()
        assert lines[0] == proxy.listen[0]
        assert any(line.startswith("ok    TLS 1.3 is negotiable ") for line in lines)
        assert lines[-1].startswith("0 FAIL, ")


# --- Servers that are weaker, in ways that are known


def test_nginx_as_it_comes(peers, app_rsa_cert):
    report = prove(peers.nginx(app_rsa_cert, "ssl_protocols TLSv1.2 TLSv1.3;"))
    assert report.code == 1
    assert {"suite-static-rsa", "suite-cbc", "resumption-tls12-ticket"} == \
        report.with_verdict("fail")
    assert "RSA_WITH_AES_128_GCM_SHA256" in report.evidence("suite-static-rsa")
    assert "ECDHE_RSA_WITH_AES_256_CBC_SHA384" in report.evidence("suite-cbc")
    for name in ("suite-null", "suite-anon", "suite-rc4", "suite-3des", "suite-export",
                 "renegotiation", "resumption-tls12-id", "psk-ke", "resumption-tls13"):
        assert report.verdict(name) == "ok", name


def test_nginx_with_early_data_and_a_cache(peers, app_cert):
    report = prove(peers.nginx(app_cert, "ssl_protocols TLSv1.2 TLSv1.3; ssl_early_data on; "
                                         "ssl_session_cache shared:s:1m;"))
    assert {"early-data", "resumption-tls12-id"} <= report.with_verdict("fail")
    assert "early_data, up to 16384 bytes" in report.evidence("early-data")
    assert report.verdict("suite-static-rsa") == "ok"  # the certificate has an ECDSA key


def test_nginx_kept_strict(peers, app_cert):
    report = prove(peers.nginx(app_cert, "ssl_protocols TLSv1.2 TLSv1.3; "
                                         "ssl_session_tickets off; "
                                         "ssl_ciphers ECDHE+AESGCM;"))
    assert report.code == 0 and not report.with_verdict("fail"), report.findings


def test_haproxy_as_it_comes(peers, app_rsa_cert):
    report = prove(peers.haproxy(app_rsa_cert))
    assert {"suite-static-rsa", "suite-cbc", "resumption-tls12-id",
            "resumption-tls12-ticket"} == report.with_verdict("fail")
    assert report.verdict("post-quantum") in ("warn", "ok")
    assert report.verdict("renegotiation") == "ok"


def test_hitch_as_it_comes(peers, serve, app_rsa_cert):
    report = prove(peers.hitch(app_rsa_cert, serve(echo).address))
    assert report.verdict("suite-cbc") == "fail"
    assert report.verdict("resumption-tls12-ticket") == "fail"
    assert report.verdict("suite-static-rsa") == "ok"
    assert report.verdict("version-tls13") == "ok"


def test_openssl_with_old_versions_and_suites(peers, app_rsa_cert):
    report = prove(peers.openssl(app_rsa_cert, "-cipher", "ALL:eNULL:aNULL:PSK:@SECLEVEL=0",
                                 "-psk", "1a2b3c"))
    assert report.code == 1
    assert {"version-tls10", "version-tls11", "suite-null", "suite-anon", "suite-psk",
            "suite-cbc", "suite-static-rsa"} <= report.with_verdict("fail")
    assert report.verdict("version-ssl30") == "ok"
    assert report.verdict("suite-dhe") in ("warn", "fail")
    assert "prime of " in report.evidence("suite-dhe")
    assert "RSA_WITH_NULL_SHA256" in report.evidence("suite-null")
    assert "TLS 1.0:" in report.evidence("suite-cbc")


def test_openssl_that_resumes_without_a_key_exchange(peers, app_cert):
    report = prove(peers.openssl(app_cert, "-allow_no_dhe_kex", "-early_data",
                                 "-max_early_data", "1000"))
    assert {"psk-ke", "early-data"} <= report.with_verdict("fail")
    assert "with pre_shared_key, no key_share" in report.evidence("psk-ke")
    assert "up to 1000 bytes" in report.evidence("early-data")


def test_openssl_that_lets_clients_renegotiate(peers, app_cert):
    report = prove(peers.openssl(app_cert, "-tls1_2", "-client_renegotiation"))
    assert report.verdict("renegotiation") == "fail"
    assert report.evidence("renegotiation").endswith("came back: ServerHello")


def test_a_certificate_for_somebody_else_is_a_failure(peers, authority):
    report = prove(peers.openssl(authority.self_signed("other", ["other.example"])),
                   "--ca", str(authority.root))
    assert {"certificate-names", "certificate-trust"} <= report.with_verdict("fail")
    assert report.verdict("certificate-chain") == "warn"


def test_an_expired_certificate_is_a_failure(peers, authority):
    cert = authority.dated_leaf("gone", ["app.example"], "20200101000000Z", "20210101000000Z")
    report = prove(peers.openssl(cert))
    assert report.verdict("certificate-dates") == "fail"
    assert "2021-01-01" in report.evidence("certificate-dates")


# --- Servers that are none


def test_a_server_that_cannot_be_reached(folder):
    address = free_address()
    report = prove(address)
    assert report.code == 1
    assert report.stderr == (f"pawl prove: cannot connect to {address}: "
                             "Connection refused\n")
    assert report.object == {"target": address,
                             "error": f"cannot connect to {address}: Connection refused"}


def test_plain_http_is_no_tls(serve):
    def refuse(connection, backend):
        connection.recv(10000)
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    report = prove(serve(refuse).address)
    assert report.code == 1 and report.verdict("tls") == "fail"
    assert report.verdict("version-tls13") == "info"
    assert "not TLS" in report.evidence("version-tls13")


def test_a_server_that_says_nothing_is_given_up(serve):
    backend = serve(stall)
    report = prove(backend.address)
    assert report.code == 1 and {"tls", "run"} == report.with_verdict("fail")
    assert backend.accepted < 10


def test_a_server_that_says_too_much_is_given_up(serve):
    def babble(connection, backend):
        connection.recv(10000)
        hello = bytes.fromhex("160303002c0200002803 03") + bytes(32) + bytes.fromhex(
            "00c02f000000")
        connection.sendall(hello)
        with contextlib.suppress(OSError):
            while not backend.stopping.is_set():
                connection.sendall(b"\x15\x03\x03\x00\x02\x01\x70" * 1000)

    report = prove(serve(babble).address)
    assert report.code in (0, 1)


# --- The command line


@pytest.mark.parametrize("arguments", [["--bad"], ["a:1", "b:2"], ["--sni"],
                                       ["a:1", "--listener", "web"]])
def test_usage_errors_end_with_2(arguments):
    done = command("prove", *arguments)
    assert done.returncode == 2 and "usage: pawl prove" in done.stderr


@pytest.mark.parametrize("address", ["app.example", "a:b", "[::1]", ":443", "a:1:2"])
def test_what_is_no_address_is_said_to_be_none(address):
    done = command("prove", address)
    assert done.returncode in (1, 2) and f'"{address}" is not HOST:PORT' in done.stderr


def test_a_listener_that_is_not_there(folder):
    file = folder / "proxy.ini"
    file.write_text("[listener web]\naddress = 127.0.0.1:1\n")
    done = command("prove", "-c", file, "--listener", "other")
    assert done.returncode == 1 and 'no listener "other"' in done.stderr
