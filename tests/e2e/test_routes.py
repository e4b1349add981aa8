"""Which backend, certificate and protocol a client gets, by the name it asks for and ALPN."""

import ssl

import pytest
from harness.backends import echo, http
from harness.ports import free_address
from harness.programs import curl, s_client
from harness.tls import TLS12, TLS13, TlsClient, client_context


def routed(pawl, serve, routes, listener=None, **keys):
    """Pawl in front of backends `app`, `a` and `b`, which say their names."""
    apps = {name: serve(http, name=name) for name in ("app", "a", "b")}
    extra = {f"backend {name}": {"address": apps[name].address} for name in ("a", "b")}
    extra["listener web"] = {"backend": "app", **(listener or {})}
    for name, values in routes.items():
        extra[f"route {name}"] = values
    return pawl(apps["app"], extra=extra, **keys)


def backend_of(proxy, name):
    return curl(proxy.listen[0], name=name, path="/").stdout.decode().split()[-1]


@pytest.mark.parametrize("name, expected", [
    ("app.example", "app"), ("exact.example.com", "a"), ("EXACT.example.COM", "a"),
    ("other.example.com", "b"), ("two.labels.example.com", "app"), ("example.com", "app"),
])
def test_the_name_chooses_the_backend(pawl, serve, name, expected):
    proxy = routed(pawl, serve, {"wild": {"sni": "*.example.com", "backend": "b"},
                                 "exact": {"sni": "Exact.example.com", "backend": "a"}})
    assert backend_of(proxy, name) == expected
    line = proxy.log.wait_for("session closed")
    assert line["route"] == {"app": None, "a": "exact", "b": "wild"}[expected]


def test_a_route_for_no_name_in_particular_takes_the_rest(pawl, serve):
    proxy = routed(pawl, serve, {"rest": {"backend": "b"},
                                 "one": {"sni": "one.example", "backend": "a"}})
    assert backend_of(proxy, "one.example") == "a"
    assert backend_of(proxy, "two.example") == "b"
    with TlsClient(proxy.listen[0], client_context(), None).handshake() as client:
        client.send(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert b"hello from b" in client.recv_all()


def test_a_route_of_one_listener_leaves_the_other_alone(pawl, serve):
    second = free_address()
    proxy = routed(pawl, serve, {})
    proxy.sections["listener second"] = {"address": second, "backend": "b"}
    proxy.sections["route own"] = {"listener": "second", "sni": "x.example", "backend": "a"}
    proxy.listen.append(second)
    proxy.reload()
    assert backend_of(proxy, "x.example") == "app"
    assert curl(second, name="x.example").stdout == b"hello from a\n"
    assert curl(second, name="y.example").stdout == b"hello from b\n"


@pytest.mark.parametrize("version", [TLS12, TLS13], ids=["tls12", "tls13"])
@pytest.mark.parametrize("offered, expected", [
    (["h2", "http/1.1"], "http/1.1"), (["http/1.1"], "http/1.1"), (["h2"], "h2"), ([], None)])
def test_the_server_s_order_of_protocols_decides(pawl, serve, version, offered, expected):
    proxy = pawl(serve(echo), extra={"listener web": {"alpn": "http/1.1, h2"}})
    client = proxy.connect(context=client_context(version=version, alpn=offered))
    assert client.tls.selected_alpn_protocol() == expected
    assert proxy.session_line(client)["alpn"] == expected


@pytest.mark.parametrize("version", [TLS12, TLS13], ids=["tls12", "tls13"])
def test_a_client_without_a_common_protocol_is_told_so(pawl, serve, version):
    proxy = pawl(serve(echo), extra={"listener web": {"alpn": "h2"}})
    client = proxy.client(context=client_context(version=version, alpn=["mqtt", "spdy/3"]))
    with pytest.raises(ssl.SSLError, match="no application protocol"):
        client.handshake()
    line = proxy.session_line(client)
    assert line["reason"] == "no_protocol" and "mqtt spdy/3" in line["detail"]


def test_without_a_list_nothing_is_said_of_protocols(pawl, serve):
    proxy = pawl(serve(echo))
    client = proxy.connect(context=client_context(alpn=["h2"]))
    assert client.tls.selected_alpn_protocol() is None
    assert proxy.session_line(client)["alpn"] is None


def test_protocols_choose_among_the_routes_of_a_name(pawl, serve):
    proxy = routed(pawl, serve, {
        "challenge": {"sni": "x.example", "alpn": "acme-tls/1", "backend": "a"},
        "site": {"sni": "x.example", "alpn": "http/1.1", "backend": "b"}})
    assert backend_of(proxy, "x.example") == "b"  # curl offers http/1.1
    shown = s_client(proxy.listen[0], "-alpn", "acme-tls/1", sni="x.example")
    assert shown.has("ALPN protocol: acme-tls/1")
    assert proxy.log.wait_for("session closed", route="challenge")["alpn"] == "acme-tls/1"


def test_other_protocols_do_not_lead_around_a_route(pawl, serve):
    proxy = routed(pawl, serve, {
        "exact": {"sni": "x.example", "alpn": "http/1.1", "backend": "a"},
        "wild": {"sni": "*.example", "backend": "b"}})
    client = proxy.client("x.example", client_context(alpn=["h2"]))
    with pytest.raises(ssl.SSLError):
        client.handshake()
    assert proxy.session_line(client)["reason"] == "no_protocol"


def test_protocols_are_kept_through_resumption(pawl, serve):
    proxy = pawl(serve(echo), extra={"listener web": {"alpn": "h2, http/1.1"}})
    context = client_context(version=TLS13, alpn=["h2"])
    first = proxy.connect(context=context)
    first.send(b"x")
    assert first.recv_exactly(1) == b"x"
    second = proxy.client(context=context)
    second.tls = context.wrap_bio(second._incoming, second._outgoing,
                                  server_hostname="app.example", session=first.tls.session)
    second.handshake()
    assert second.tls.session_reused and second.tls.selected_alpn_protocol() == "h2"
    line = proxy.session_line(second)
    assert (line["resumed"], line["alpn"]) == ("yes", "h2")


def test_a_listener_with_routes_alone_refuses_other_names(pawl, serve):
    proxy = routed(pawl, serve, {"one": {"sni": "app.example", "backend": "a"}},
                   {"backend": None})
    assert backend_of(proxy, "app.example") == "a"
    client = proxy.client("x.example")
    with pytest.raises(ssl.SSLError, match="(?i)unrecognized.name"):
        client.handshake()
    assert proxy.session_line(client)["reason"] == "no_route"
    proxy.probe = None


def test_a_route_chooses_among_its_certificates(pawl, serve, authority, app_cert):
    other = authority.leaf("other", ["app.example"])
    third = authority.leaf("third", ["third.example"])
    proxy = routed(pawl, serve, {
        "one": {"sni": "app.example", "certificate": "other, third"},
        "two": {"sni": "*.example", "certificate": "third, other"}},
        certificates=[app_cert, other, third])
    proxy.expect_log("is also served by")
    assert proxy.connect("app.example").certificate == other.der
    assert proxy.connect("unknown.example").certificate == third.der
    assert proxy.connect("third.example").certificate == third.der
    assert proxy.connect(None).certificate == app_cert.der


def test_a_reload_changes_routes(pawl, serve):
    proxy = routed(pawl, serve, {"r": {"sni": "x.example", "backend": "a"}})
    assert backend_of(proxy, "x.example") == "a"
    proxy.sections["route r"]["backend"] = "b"
    proxy.reload()
    assert backend_of(proxy, "x.example") == "b"
    proxy.sections["route r"]["backend"] = "bb"
    reasons = proxy.reload_refused()
    assert any('backend "bb" is not defined' in line for line in reasons)
    assert backend_of(proxy, "x.example") == "b"
