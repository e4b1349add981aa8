"""Client certificates: who gets in, who does not, and what the log says of it."""

import ssl

import pytest
from harness.backends import echo, http
from harness.client_ca import SERVER_USE, ClientAuthority
from harness.programs import curl, s_client
from harness.tls import TLS12, TLS13, Truncated, client_context

VERSIONS = pytest.mark.parametrize("version", [TLS12, TLS13], ids=["tls12", "tls13"])


@pytest.fixture(scope="module")
def ca(run_folder):
    return ClientAuthority(run_folder / "clients")


@pytest.fixture(scope="module")
def other_ca(run_folder):
    """An authority of the same name with another key."""
    return ClientAuthority(run_folder / "others")


@pytest.fixture(scope="module")
def alice(ca):
    return ca.client("alice", "DNS:alice.internal.example,email:alice@example.com,"
                     "URI:spiffe://example.com/web/alice,IP:10.1.2.3,IP:2001:db8::5")


@pytest.fixture
def guarded(pawl, serve, ca):
    """Pawl whose listener is under the policy `staff`."""
    def start(handler=echo, **policy):
        extra = {"listener web": {"clients": "staff"},
                 "clients staff": {"ca": ca.ca, **policy}}
        proxy = pawl(serve(handler), extra=extra)
        proxy.guarded = True
        return proxy

    return start


def connect(proxy, certificate=None, version=None, sni="app.example"):
    context = client_context(version=version)
    if certificate:
        certificate.load_into(context)
    client = proxy.client(sni, context).handshake()
    client.send(b"hello")
    assert client.recv_exactly(5) == b"hello"
    return client


def refused(proxy, certificate=None, version=None, sni="app.example"):
    """The log line of a client that must not come through, and the alert it saw."""
    context = client_context(version=version)
    if certificate:
        certificate.load_into(context)
    client = proxy.client(sni, context)
    with pytest.raises((ssl.SSLError, Truncated, OSError)) as caught:
        client.handshake()
        client.send(b"hello")  # in TLS 1.3 the client is done before it is judged
        client.recv_exactly(5)
    line = proxy.session_line(client)
    assert line["message"] == "handshake failed", line.raw
    return line, str(caught.value)


@VERSIONS
def test_a_good_certificate_gets_in(guarded, alice, version):
    proxy = guarded()
    line = proxy.session_line(connect(proxy, alice, version))
    assert line["client_cn"] == "alice"
    assert set(line["client_san"].split()) == {
        "DNS:alice.internal.example", "URI:spiffe://example.com/web/alice", "IP:10.1.2.3",
        "IP:2001:db8::5", "email:alice@example.com"}


@VERSIONS
def test_a_missing_certificate_is_refused(guarded, version):
    line, alert = refused(guarded(), None, version)
    assert line["reason"] == "client_cert_missing"
    assert line["detail"] == "the client sent no certificate"
    assert ("certificate required" if version == TLS13 else "handshake failure") in alert


@VERSIONS
def test_a_missing_certificate_may_be_optional(guarded, alice, other_ca, version):
    proxy = guarded(mode="optional")
    line = proxy.session_line(connect(proxy, None, version))
    assert line["client_cn"] is None and line["reason"] in ("finished", "client_closed")
    assert proxy.session_line(connect(proxy, alice, version))["client_cn"] == "alice"
    line, _ = refused(proxy, other_ca.client("mallory"), version)
    assert line["reason"] == "client_cert_untrusted"


@VERSIONS
def test_an_expired_certificate_is_refused(guarded, ca, version):
    old = ca.client("old", dates=("20200101000000Z", "20210101000000Z"))
    line, alert = refused(guarded(), old, version)
    assert line["reason"] == "client_cert_expired" and "it has expired" in line["detail"]
    assert line["client_cn"] == "old" and "certificate expired" in alert


@VERSIONS
def test_a_certificate_of_the_future_is_refused(guarded, ca, version):
    early = ca.client("early", dates=("20400101000000Z", "20410101000000Z"))
    line, _ = refused(guarded(), early, version)
    assert line["reason"] == "client_cert_expired" and "not valid yet" in line["detail"]


@VERSIONS
def test_an_unknown_issuer_is_refused(guarded, run_folder, version):
    stranger = ClientAuthority(run_folder / f"strangers{version}", "strangers").client("eve")
    line, alert = refused(guarded(), stranger, version)
    assert line["reason"] == "client_cert_untrusted" and "issuer" in line["detail"]
    assert line["client_cn"] == "eve" and "unknown ca" in alert


@VERSIONS
def test_an_issuer_of_the_same_name_is_refused(guarded, other_ca, version):
    line, _ = refused(guarded(), other_ca.client("alice"), version)
    assert line["reason"] == "client_cert_untrusted" and line["detail"]


@VERSIONS
def test_a_certificate_for_servers_is_refused(guarded, ca, version):
    server = ca.client("server", use=SERVER_USE)
    line, _ = refused(guarded(), server, version)
    assert line["reason"] == "client_cert_eku"
    assert "does not include client authentication" in line["detail"]


def test_a_certificate_without_stated_use_gets_in(guarded, ca):
    connect(guarded(), ca.client("any", use=None))


def test_a_self_signed_certificate_is_refused(guarded, authority):
    own = authority.self_signed("self", ["self.example"])

    class Own:
        @staticmethod
        def load_into(context):
            context.load_cert_chain(own.chain, own.key)

    line, _ = refused(guarded(), Own)
    assert line["reason"] == "client_cert_untrusted" and "ca" in line["detail"]


def test_a_certificate_with_a_damaged_signature_is_refused(guarded, alice, folder):
    text = alice.chain.read_text()
    lines = text.splitlines()
    lines[-3] = lines[-3][:-8] + ("AAAAAAAA" if lines[-3][-8:] != "AAAAAAAA" else "BBBBBBBB")
    damaged = folder / "damaged.pem"
    damaged.write_text("\n".join(lines) + "\n")

    class Damaged:
        @staticmethod
        def load_into(context):
            context.load_cert_chain(damaged, alice.key)

    line, _ = refused(guarded(), Damaged)
    assert line["reason"] == "client_cert_untrusted"


@pytest.mark.parametrize("der", [False, True], ids=["pem", "der"])
@VERSIONS
def test_a_revoked_certificate_is_refused(guarded, run_folder, pawl, serve, version, der):
    ca = ClientAuthority(run_folder / f"revoking{der}{version}")
    good, bad = ca.client("good"), ca.client("bad")
    ca.revoke("bad")
    proxy = pawl(serve(echo), extra={
        "listener web": {"clients": "staff"},
        "clients staff": {"ca": ca.ca, "crl": ca.crl(der=der)}})
    proxy.guarded = True
    connect(proxy, good, version).close()
    line, _ = refused(proxy, bad, version)
    assert line["reason"] == "client_cert_revoked" and "it is revoked" in line["detail"]


def test_a_list_that_is_out_of_date_lets_nobody_in(run_folder, pawl, serve):
    ca = ClientAuthority(run_folder / "outdated")
    good = ca.client("good")
    crl = ca.crl(dates=("-crl_lastupdate", "20200101000000Z", "-crl_nextupdate",
                        "20200201000000Z"))
    proxy = pawl(serve(echo), extra={"listener web": {"clients": "staff"},
                                     "clients staff": {"ca": ca.ca, "crl": crl}})
    proxy.guarded = True
    proxy.expect_log(r"warning .* revocation lists in .* are out of date")
    line, _ = refused(proxy, good)
    assert line["reason"] == "client_cert_revoked"
    assert "no current revocation list of its issuer" in line["detail"]


def test_a_new_list_takes_effect_at_reload(run_folder, pawl, serve):
    ca = ClientAuthority(run_folder / "renewing")
    good, bad = ca.client("good"), ca.client("bad")
    proxy = pawl(serve(echo), extra={"listener web": {"clients": "staff"},
                                     "clients staff": {"ca": ca.ca, "crl": ca.crl()}})
    proxy.guarded = True
    stays = connect(proxy, bad)
    ca.revoke("bad")
    ca.crl()
    proxy.reload()
    refused(proxy, bad)
    connect(proxy, good)
    stays.send(b"still")
    assert stays.recv_exactly(5) == b"still"


def test_a_new_list_takes_effect_by_itself(run_folder, pawl, serve):
    ca = ClientAuthority(run_folder / "watched")
    good, bad = ca.client("good"), ca.client("bad")
    proxy = pawl(serve(echo), extra={"listener web": {"clients": "staff"},
                                     "clients staff": {"ca": ca.ca, "crl": ca.crl()}})
    proxy.guarded = True
    connect(proxy, bad).close()
    ca.revoke("bad")
    ca.crl()
    proxy.log.wait_for("certificates reloaded")
    assert refused(proxy, bad)[0]["reason"] == "client_cert_revoked"
    connect(proxy, good)


def test_a_list_that_is_damaged_leaves_the_one_in_service(run_folder, pawl, serve):
    ca = ClientAuthority(run_folder / "damaged")
    good, bad = ca.client("good"), ca.client("bad")
    ca.revoke("bad")
    crl = ca.crl()
    proxy = pawl(serve(echo), extra={"listener web": {"clients": "staff"},
                                     "clients staff": {"ca": ca.ca, "crl": crl}})
    proxy.guarded = True
    proxy.expect_log('clients "staff": .*stays until it is right')
    crl.write_text("nonsense")
    proxy.log.wait_for('clients "staff": .*stays until it is right')
    assert refused(proxy, bad)[0]["reason"] == "client_cert_revoked"
    connect(proxy, good)


@VERSIONS
def test_an_intermediate_authority_may_stand_between(guarded, ca, version):
    ca.intermediate(f"middle{version}")
    proxy = guarded()
    connect(proxy, ca.client(f"deep{version}", issuer=f"middle{version}"), version)


def test_an_intermediate_is_not_remembered(guarded, ca):
    ca.intermediate("forgotten")
    whole = ca.client("with-chain", issuer="forgotten")
    alone = ca.client("without-chain", issuer="forgotten")
    alone.chain.write_text((ca.folder / "without-chain.pem").read_text())
    proxy = guarded()
    connect(proxy, whole)
    assert refused(proxy, alone)[0]["reason"] == "client_cert_untrusted"


@pytest.mark.parametrize("key, value, enters", [
    ("allow_cn", "bob, alice", True),
    ("allow_cn", "Alice", False),
    ("allow_cn", "alic", False),
    ("allow_dns", "*.internal.example", True),
    ("allow_dns", "ALICE.internal.example", True),
    ("allow_dns", "*.example", False),
    ("allow_dns", "internal.example", False),
    ("allow_uri", "spiffe://example.com/web/*", True),
    ("allow_uri", "spiffe://example.com/web/alice", True),
    ("allow_uri", "spiffe://example.com/*", False),
    ("allow_uri", "spiffe://example.com/web", False),
    ("allow_uri", "spiffe://example.com/web/alice/*", False),
    ("allow_email", "*@example.com", True),
    ("allow_email", "alice@EXAMPLE.com", True),
    ("allow_email", "ALICE@example.com", False),
    ("allow_email", "*@ample.com", False),
    ("allow_ip", "10.0.0.0/8", True),
    ("allow_ip", "2001:db8::/32", True),
    ("allow_ip", "10.1.2.4, 127.0.0.1", False),
])
def test_the_lists_say_who_gets_in(guarded, alice, key, value, enters):
    proxy = guarded(**{key: value})
    if enters:
        connect(proxy, alice)
    else:
        line, _ = refused(proxy, alice)
        assert line["reason"] == "client_cert_not_allowed" and line["client_cn"] == "alice"
        assert "allow lists" in line["detail"]


def test_one_list_is_enough(guarded, alice):
    connect(guarded(allow_cn="bob", allow_dns="alice.internal.example"), alice)


def test_an_allowed_name_does_not_make_up_for_the_rest(guarded, other_ca):
    line, _ = refused(guarded(allow_cn="alice"), other_ca.client("alice"))
    assert line["reason"] == "client_cert_untrusted"


def test_strange_names_are_harmless(guarded, ca):
    odd = ca.client("odd", subject='/CN=a b"\\\\=x\x1b[31m reason=finished')
    proxy = guarded()
    line = proxy.session_line(connect(proxy, odd))
    assert "\x1b" not in line.raw and "reason=finished" in line["client_cn"]


@pytest.fixture
def mixed(pawl, serve, ca):
    """A listener that is open, with a route under `staff` to the same certificate."""
    def start(**policy):
        return pawl(serve(echo), extra={
            "route guarded": {"sni": "localhost", "clients": "staff"},
            "clients staff": {"ca": ca.ca, **policy}})

    return start


@VERSIONS
def test_a_route_guards_its_name_alone(mixed, alice, version):
    proxy = mixed()
    connect(proxy, None, version, "app.example")
    connect(proxy, alice, version, "localhost")
    line, _ = refused(proxy, None, version, "localhost")
    assert (line["reason"], line["route"]) == ("client_cert_missing", "guarded")


def resume(proxy, context, session, sni):
    client = proxy.client(sni, context)
    client.tls = context.wrap_bio(client._incoming, client._outgoing, server_hostname=sni,
                                  session=session)
    client.handshake()
    client.send(b"hello")
    assert client.recv_exactly(5) == b"hello"
    return client


@pytest.mark.parametrize("mode", ["required", "optional"])
def test_a_ticket_from_an_open_route_opens_no_guarded_one(mixed, alice, mode):
    proxy = mixed(mode=mode)
    context = client_context(version=TLS13)
    first = proxy.connect("app.example", context)
    first.send(b"hello")
    first.recv_exactly(5)
    again = resume(proxy, context, first.tls.session, "app.example")
    assert again.tls.session_reused  # the ticket is good where it comes from
    if mode == "required":
        with pytest.raises(ssl.SSLError, match="certificate required"):
            resume(proxy, context, first.tls.session, "localhost")
        proxy.clients[-1].close()
        line = proxy.log.wait_for("handshake failed", sni="localhost")
        assert line["reason"] == "client_cert_missing"
    else:
        client = resume(proxy, context, first.tls.session, "localhost")
        assert not client.tls.session_reused
    assert not proxy.log.find("resumed=yes", sni="localhost")


def test_guarded_sessions_get_no_ticket(mixed, alice):
    proxy = mixed()
    talk = [(b"hello\n", b"hello")]
    shown = s_client(proxy.listen[0], "-tls1_3", "-cert", alice.chain, "-key", alice.key,
                     sni="localhost", talk=talk)
    assert not shown.has("New Session Ticket arrived")
    assert s_client(proxy.listen[0], "-tls1_3", talk=talk).has("New Session Ticket arrived")
    assert not connect(proxy, alice, TLS12, "localhost").tls.session.has_ticket


def test_tls12_sessions_under_a_policy_are_not_resumed(mixed, alice):
    proxy = mixed()
    context = alice.load_into(client_context(version=TLS12))
    first = proxy.connect("localhost", context)
    second = resume(proxy, context, first.tls.session, "localhost")
    assert not second.tls.session_reused


def test_other_protocols_lead_around_no_policy(pawl, serve, ca):
    proxy = pawl(serve(echo), extra={
        "listener web": {"backend": "app"},
        "route guarded": {"sni": "localhost", "alpn": "http/1.1", "clients": "staff"},
        "clients staff": {"ca": ca.ca}})
    for offered in (["h2"], [], ["http/1.1"]):
        context = client_context(version=TLS12, alpn=offered)
        with pytest.raises(ssl.SSLError):
            proxy.client("localhost", context).handshake()


def test_two_policies_serve_one_listener(pawl, serve, ca, other_ca, alice):
    mallory = other_ca.client("mallory")
    proxy = pawl(serve(echo), extra={
        "route a": {"sni": "app.example", "clients": "ours"},
        "route b": {"sni": "localhost", "clients": "theirs"},
        "clients ours": {"ca": ca.ca}, "clients theirs": {"ca": other_ca.ca}})
    proxy.guarded = True
    connect(proxy, alice, sni="app.example")
    connect(proxy, mallory, sni="localhost")
    assert refused(proxy, mallory, sni="app.example")[0]["reason"] == "client_cert_untrusted"
    assert refused(proxy, alice, sni="localhost")[0]["reason"] == "client_cert_untrusted"


def test_curl_presents_its_certificate(guarded, alice, authority):
    proxy = guarded(http)
    done = curl(proxy.listen[0], *alice.curl_options(), ca=authority.root)
    assert done.stdout == b"hello from app\n"
    failed = curl(proxy.listen[0], ca=authority.root, check=False)
    assert failed.returncode != 0


@pytest.mark.parametrize("kind", [("rsa:2048",), ("ed25519",), (
    "ec", "-pkeyopt", "ec_paramgen_curve:P-384"), ("rsa:3072",)])
@VERSIONS
def test_clients_have_other_kinds_of_key(guarded, ca, kind, version):
    connect(guarded(), ca.client(f"kind-{'-'.join(kind)[-8:].replace(':', '')}{version}",
                                 kind=kind), version)


def test_mistakes_in_files_are_reported(pawl, serve, ca, alice, folder):
    proxy = pawl(serve(echo))
    wrong = folder / "wrong.pem"
    sections = proxy.sections
    sections["listener web"]["clients"] = "staff"
    proxy.guarded = True

    def reasons(**policy):
        sections["clients staff"] = policy
        return "\n".join(proxy.reload_refused())

    assert "No such file" in reasons(ca=folder / "none.pem")
    wrong.write_text("nothing\n")
    assert "holds no certificate in PEM" in reasons(ca=wrong)
    wrong.write_text(ca.ca.read_text() + alice.key.read_text())
    assert "holds a private key" in reasons(ca=wrong)
    assert "no certificate of an authority" in reasons(ca=alice.chain)
    assert "holds no revocation list" in reasons(ca=ca.ca, crl=ca.ca)
    foreign = ClientAuthority(folder / "foreign", "foreign").crl()
    assert "none of the authorities in ca has signed it" in reasons(ca=ca.ca, crl=foreign)
    assert 'lacks the key "ca"' in reasons(mode="required")
