"""Several certificates: one that is broken, names nobody has, and who decides."""

import os
import shutil
import signal

import pytest
from harness import hello
from harness.backends import echo, http
from harness.certs import Certificate
from harness.load import Load
from harness.pawl import command
from harness.ports import free_address
from harness.tls import client_context
from harness.wait import wait_until


def use(client):
    client.send(b"x")
    assert client.recv_exactly(1) == b"x"


@pytest.fixture
def copies(folder, authority, app_cert):
    """Certificates of the test's own that it may break: copies("other", hosts)."""
    def make(name, hosts=None):
        source = app_cert if hosts is None else authority.leaf(name, hosts)
        copy = Certificate(name, folder / f"{name}.pem", folder / f"{name}.key")
        shutil.copy(source.chain, copy.chain)
        shutil.copy(source.key, copy.key)
        return copy

    return make


def break_missing(cert, _):
    cert.chain.unlink()


def break_damaged(cert, _):
    cert.chain.write_text(cert.chain.read_text()[:300])


def break_key(cert, other):
    shutil.copy(other.key, cert.key)


def break_order(cert, _):
    blocks = cert.chain.read_text().split("-----END CERTIFICATE-----\n")
    cert.chain.write_text("-----END CERTIFICATE-----\n".join([blocks[1], blocks[0], ""]))


def break_combined(cert, _):
    cert.chain.write_text(cert.chain.read_text() + cert.key.read_text())


FAULTS = [break_missing, break_damaged, break_key, break_order, break_combined]


@pytest.mark.parametrize("fault", FAULTS)
def test_one_broken_certificate_leaves_the_others_in_service(pawl, serve, copies, app_cert,
                                                             fault):
    main, other = copies("main"), copies("other", ["other.example"])
    fault(other, app_cert)
    proxy = pawl(serve(echo), certificates=[main, other], workers=2, ready=False)
    proxy.expect_log('error master: .*proxy.ini:.*certificate "other": ')
    proxy.wait_ready()
    assert proxy.log.find("ready", certificates=1, certificates_left_out=1)
    for _ in range(8):
        client = proxy.connect("other.example")
        assert client.certificate == main.der
        use(client)
    checked = command("check", proxy.config_file)
    assert checked.returncode == 1 and 'certificate "other"' in checked.stderr


def test_strict_refuses_a_start_with_one_broken_certificate(pawl, serve, copies, app_cert):
    main, other = copies("main"), copies("other", ["other.example"])
    break_key(other, app_cert)
    proxy = pawl(serve(echo), certificates=[main, other], ready=False,
                 extra={"proxy": {"strict": "yes"}})
    proxy.allow_log("error master: ")
    assert proxy.wait_exit() == 1
    assert proxy.log.find('certificate "other": the key in .* does not belong')


def test_no_certificate_at_all_is_refused(pawl, serve, copies, authority):
    main = copies("main")
    break_key(main, authority.leaf("foreign", ["app.example"]))
    proxy = pawl(serve(echo), certificates=[main], ready=False)
    proxy.allow_log("error master: ")
    assert proxy.wait_exit() == 1
    assert proxy.log.find("no certificate that can be served")


def test_strict_refuses_a_reload_with_one_broken_certificate(pawl, serve, copies, app_cert):
    main, other = copies("main"), copies("other", ["other.example"])
    proxy = pawl(serve(echo), certificates=[main, other],
                 extra={"proxy": {"strict": "yes", "watch": "no"}})
    break_key(other, app_cert)
    assert any('certificate "other"' in reason for reason in proxy.reload_refused())
    assert proxy.connect("other.example").certificate == other.der


def test_a_reload_keeps_what_is_broken_now_as_it_was(pawl, serve, copies, app_cert):
    main, other = copies("main"), copies("other", ["other.example"])
    served = other.der
    proxy = pawl(serve(http), certificates=[main, other], workers=2,
                 extra={"proxy": {"watch": "no"}})
    break_key(other, app_cert)
    proxy.expect_log('error master: .*certificate "other": the key in .* does not belong')
    with Load(proxy.listen[0]) as load:
        proxy.sections["limits"]["idle_timeout"] = "77s"
        proxy.reload()
        load.wait_progress()
        assert proxy.log.find("reloaded", certificates=2, certificates_kept=1)
        client = proxy.connect("other.example")
        assert client.certificate == served
    assert not load.failures


def test_replaced_processes_serve_the_same_certificates(pawl, serve, copies, app_cert):
    main, other = copies("main"), copies("other", ["other.example"])
    served = other.der
    third = copies("third", ["third.example"])
    break_missing(third, None)
    proxy = pawl(serve(echo), certificates=[main, other, third], ready=False,
                 extra={"proxy": {"watch": "no"}})
    proxy.expect_log('certificate "third": cannot read')
    proxy.expect_log('certificate "other": the key')
    proxy.allow_log("killed|a new one is started")
    proxy.wait_ready()
    break_key(other, app_cert)
    proxy.reload()
    for title in ("worker 0", "keyholder 0"):
        mark = proxy.log.mark()
        pid = proxy.role(title)
        os.kill(pid, signal.SIGKILL)
        proxy.log.wait_for(f"{title} serves again", after=mark)
    client = proxy.connect("other.example")
    assert client.certificate == served
    use(client)
    assert proxy.connect("third.example").certificate == main.der


# --- Names that no certificate has.


def test_an_unknown_name_can_be_refused(pawl, serve, app_cert):
    listen = free_address()
    proxy = pawl(serve(echo), listen=listen,
                 extra={"listener web": {"unknown_sni": "refuse"}})
    asked = hello.Hello(sni=b"unknown.example")
    assert hello.answer(proxy.listen[0], asked.record()) == "unrecognized_name"
    line = proxy.log.wait_for("handshake failed", sni="unknown.example")
    assert line["reason"] == "unknown_sni"
    assert proxy.connect("app.example").certificate == app_cert.der
    assert proxy.connect(None, client_context()).certificate == app_cert.der


def test_a_name_that_only_a_route_has_is_known(pawl, serve, app_cert):
    proxy = pawl(serve(echo), extra={"listener web": {"unknown_sni": "refuse"},
                                     "route one": {"sni": "*.routed.example"},
                                     "route rest": {"backend": "app"}})
    assert proxy.connect("a.routed.example").certificate == app_cert.der
    asked = hello.Hello(sni=b"unknown.example")
    assert hello.answer(proxy.listen[0], asked.record()) == "unrecognized_name"
    line = proxy.log.wait_for("handshake failed", sni="unknown.example")
    assert line["reason"] == "unknown_sni"


def test_listeners_decide_on_their_own(pawl, serve, app_cert):
    other = free_address()
    proxy = pawl(serve(echo), extra={"listener strict": {"address": other,
                                                         "unknown_sni": "refuse"}})
    proxy.listen.append(other)
    assert proxy.connect("unknown.example").certificate == app_cert.der
    asked = hello.Hello(sni=b"unknown.example")
    assert hello.answer(other, asked.record()) == "unrecognized_name"


# --- Directories.


@pytest.fixture
def sites(folder, authority):
    """A directory and a way to put certificates there: put(name, chain, key) -> leaf."""
    place = folder / "sites"
    place.mkdir()

    def put(name, chain, key):
        source = authority.leaf(name, [f"{name}.example"])
        for origin, target in ((source.chain, place / chain), (source.key, place / key)):
            target.parent.mkdir(exist_ok=True)
            shutil.copy(origin, target)
        return source

    put.place = place
    return put


def serve_directory(pawl, serve, sites, **keys):
    return pawl(serve(echo), extra={"certificate sites": {"directory": sites.place}}, **keys)


@pytest.mark.parametrize("chain, key", [("{}/fullchain.pem", "{}/privkey.pem"),
                                        ("{}/tls.crt", "{}/tls.key"),
                                        ("{}.pem", "{}.key"), ("{}.crt", "{}.key")])
def test_a_directory_in_each_layout(pawl, serve, sites, chain, key):
    leaves = {name: sites(name, chain.format(name), key.format(name)) for name in "ab"}
    proxy = serve_directory(pawl, serve, sites, workers=2)
    for name, leaf in leaves.items():
        client = proxy.connect(f"{name}.example")
        assert client.certificate == leaf.der
        use(client)
        assert proxy.session_line(client)["certificate"] == f"sites/{name}"
    checked = command("check", proxy.config_file)
    assert checked.returncode == 0 and "3 certificates" in checked.stdout


def test_a_route_may_name_a_directory(pawl, serve, sites, app_cert):
    leaf = sites("a", "a.pem", "a.key")
    proxy = pawl(serve(echo), extra={"certificate sites": {"directory": sites.place},
                                     "route one": {"sni": "one.example",
                                                   "certificate": "sites"}})
    assert proxy.connect("one.example").certificate == leaf.der
    assert proxy.connect("two.example").certificate == app_cert.der


@pytest.mark.parametrize("chain, key", [("fullchain.pem", "privkey.pem"),
                                        ("tls.crt", "tls.key")])
def test_a_directory_that_is_one_certificate(pawl, serve, sites, chain, key):
    leaf = sites("a", chain, key)
    proxy = serve_directory(pawl, serve, sites)
    client = proxy.connect("a.example")
    assert client.certificate == leaf.der
    assert proxy.session_line(client)["certificate"] == "sites"


def test_certificates_come_and_go_with_their_files(pawl, serve, sites, app_cert):
    sites("a", "a/tls.crt", "a/tls.key")
    proxy = serve_directory(pawl, serve, sites)
    proxy.allow_log('certificate "sites/b": cannot read')
    leaf = sites("b", "b/tls.crt", "b/tls.key")
    wait_until(lambda: proxy.connect("b.example").certificate == leaf.der, "b")
    renewed = sites("a", "a/tls.crt", "a/tls.key")
    wait_until(lambda: proxy.connect("a.example").certificate == renewed.der, "a anew")
    shutil.rmtree(sites.place / "b")
    wait_until(lambda: proxy.connect("b.example").certificate == app_cert.der, "b to go")


def test_an_empty_directory_may_fill_in_two_steps(pawl, serve, sites):
    sites("a", "a/tls.crt", "a/tls.key")
    proxy = pawl(serve(echo), extra={"certificate sites": {"directory": sites.place},
                                     "log": {"level": "debug"}})
    proxy.allow_log('certificate "sites/b": cannot read')
    (sites.place / "b").mkdir()
    proxy.log.wait_for("files were read again")
    leaf = sites("b", "b/tls.crt", "b/tls.key")
    wait_until(lambda: proxy.connect("b.example").certificate == leaf.der, "b")


def test_a_directory_that_vanishes_keeps_what_it_had(pawl, serve, sites, app_cert):
    leaf = sites("a", "a/tls.crt", "a/tls.key")
    proxy = serve_directory(pawl, serve, sites)
    proxy.expect_log('certificate "sites": cannot read the directory')
    proxy.expect_log('certificate "sites/a": cannot read')
    os.rename(sites.place, sites.place.with_name("away"))
    proxy.log.wait_for('certificate "sites/a": cannot read')
    assert proxy.connect("a.example").certificate == leaf.der
    os.rename(sites.place.with_name("away"), sites.place)
    renewed = sites("a", "a/tls.crt", "a/tls.key")
    wait_until(lambda: proxy.connect("a.example").certificate == renewed.der, "a anew")


def test_a_file_that_holds_both_is_refused_with_advice(pawl, serve, sites):
    leaf = sites("a", "a/tls.crt", "a/tls.key")
    both = sites("b", "b.pem", "b.key")
    (sites.place / "b.pem").write_text(both.chain.read_text() + both.key.read_text())
    (sites.place / "b.key").unlink()
    proxy = serve_directory(pawl, serve, sites, ready=False)
    proxy.expect_log('certificate "sites/b": cannot read .*b.key.*split')
    proxy.wait_ready()
    assert proxy.connect("a.example").certificate == leaf.der


def test_directory_goes_with_neither_chain_nor_key(folder, app_cert):
    config = folder / "proxy.ini"
    config.write_text("[listener web]\naddress = 127.0.0.1:1\n"
                      f"[certificate a]\ndirectory = {folder}\nkey = {app_cert.key}\n"
                      "[backend app]\naddress = 127.0.0.1:2\n")
    checked = command("check", config)
    assert checked.returncode == 1
    assert "proxy.ini:4: " in checked.stderr and "instead of chain, key and staple" in checked.stderr
