"""Which certificate a client gets: by its name and by the signatures it accepts."""

import shutil

import pytest
from harness import hello
from harness.backends import echo
from harness.programs import s_client
from harness.tls import TLS12, TLS13, client_context


@pytest.fixture(scope="module")
def many(authority, app_cert, app_rsa_cert):
    """Certificates by name: a default, an exact pair, a wildcard, and one below it."""
    return {
        "fallback": authority.leaf("fallback", ["fallback.example"]),
        "main": app_cert,
        "main-rsa": app_rsa_cert,
        "wild": authority.leaf("wild", ["*.wild.example"]),
        "exact": authority.leaf("exact", ["exact.wild.example", "Mixed.Example"]),
    }


@pytest.mark.parametrize("sni, expected", [
    ("app.example", "main"),
    ("APP.Example", "main"),
    ("app.example.", "main"),
    ("mixed.example", "exact"),
    ("one.wild.example", "wild"),
    ("exact.wild.example", "exact"),
    ("two.labels.wild.example", "fallback"),
    ("wild.example", "fallback"),
    ("unknown.example", "fallback"),
    (None, "fallback"),
])
@pytest.mark.parametrize("version", [TLS12, TLS13], ids=["tls12", "tls13"])
def test_the_name_chooses_the_certificate(pawl, serve, many, version, sni, expected):
    proxy = pawl(serve(echo), certificates=list(many.values()))
    client = proxy.connect(sni, client_context(version=version))
    assert client.certificate == many[expected].der
    name = client.local_address()
    client.close()
    assert proxy.session_line(name)["certificate"] == expected


def test_the_section_marked_as_default_serves_unknown_names(pawl, serve, many):
    marked = many["wild"].renamed("wild", is_default=True)
    proxy = pawl(serve(echo), certificates=[many["fallback"], many["main"], marked])
    assert proxy.connect("unknown.example").certificate == marked.der
    assert proxy.connect("app.example").certificate == many["main"].der


@pytest.mark.parametrize("signature, expected", [("ECDSA+SHA256", "main"),
                                                 ("RSA-PSS+SHA256", "main-rsa"),
                                                 ("RSA-PSS+SHA256:ECDSA+SHA256", "main")])
def test_signature_algorithms_choose_among_two_in_tls13(pawl, serve, many, signature,
                                                        expected):
    proxy = pawl(serve(echo), certificates=list(many.values()))
    s_client(proxy.listen[0], "-tls1_3", "-sigalgs", signature)
    assert proxy.log.wait_for("session closed")["certificate"] == expected


@pytest.mark.parametrize("ciphers, expected", [("ECDHE-ECDSA-AES128-GCM-SHA256", "main"),
                                               ("ECDHE-RSA-AES128-GCM-SHA256", "main-rsa"),
                                               ("ECDHE+AESGCM", "main")])
def test_suites_choose_among_two_in_tls12(pawl, serve, many, ciphers, expected):
    proxy = pawl(serve(echo), certificates=list(many.values()))
    client = proxy.connect(context=client_context(version=TLS12, ciphers=ciphers))
    assert client.certificate == many[expected].der


@pytest.mark.parametrize("signature", ["RSA-PSS+SHA256", "RSA-PSS+SHA384", "RSA-PSS+SHA512"])
def test_each_rsa_signature_of_tls13_verifies(pawl, serve, app_rsa_cert, authority,
                                              signature):
    proxy = pawl(serve(echo), certificates=[app_rsa_cert])
    shown = s_client(proxy.listen[0], "-tls1_3", "-sigalgs", signature, "-CAfile",
                     authority.root, "-verify_return_error")
    assert shown.has("Verification: OK") and shown.has("Peer signature type: RSA-PSS")


@pytest.mark.parametrize("signature", ["RSA+SHA256", "RSA+SHA384", "RSA+SHA512",
                                       "RSA-PSS+SHA256"])
def test_each_rsa_signature_of_tls12_verifies(pawl, serve, app_rsa_cert, authority,
                                              signature):
    proxy = pawl(serve(echo), certificates=[app_rsa_cert])
    shown = s_client(proxy.listen[0], "-tls1_2", "-sigalgs", signature, "-CAfile",
                     authority.root, "-verify_return_error")
    assert shown.has("Verification: OK") and shown.has("Peer signature type: RSA")


@pytest.mark.parametrize("kind, flag", [("p384", "-tls1_3"), ("p384", "-tls1_2"),
                                        ("ed25519", "-tls1_3"), ("ed25519", "-tls1_2")])
def test_other_kinds_of_key_serve(pawl, serve, authority, kind, flag):
    cert = authority.leaf(f"app-{kind}", ["app.example"], kind=kind)
    proxy = pawl(serve(echo), certificates=[cert])
    shown = s_client(proxy.listen[0], flag, "-CAfile", authority.root, "-verify_return_error")
    assert shown.has("Verification: OK") and shown.cipher not in (None, "(NONE)")


def test_a_client_that_no_certificate_suits_is_told_so(pawl, serve, app_cert):
    proxy = pawl(serve(echo), certificates=[app_cert])
    only_rsa = hello.Hello(signatures=(hello.RSA_PSS_SHA256,))
    assert hello.answer(proxy.listen[0], only_rsa.record()) == "handshake_failure"
    line = proxy.log.wait_for("handshake failed", sni="app.example")
    assert line["reason"] == "no_certificate" and line["detail"]


def test_relative_paths_start_at_the_configuration(pawl, serve, folder, app_cert):
    shutil.copy(app_cert.chain, folder / "cert.pem")
    shutil.copy(app_cert.key, folder / "key.pem")
    proxy = pawl(serve(echo), extra={"certificate main": {"chain": "cert.pem",
                                                          "key": "key.pem"}})
    assert proxy.connect().certificate == app_cert.der
