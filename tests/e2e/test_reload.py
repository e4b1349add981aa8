"""HUP: the whole configuration is taken or none of it, and nobody notices."""

import shutil
import signal

from harness.backends import echo, http
from harness.certs import Certificate
from harness.http import HttpClient
from harness.load import Load
from harness.ports import accepts, free_address
from harness.tls import client_context
from harness.wait import wait_until


def use(client):
    client.send(b"x")
    assert client.recv_exactly(1) == b"x"


def backend_of(proxy, address=None):
    with proxy.connect(address=address) as client:
        return HttpClient(client).request().headers["x-backend"]


# --- A good configuration.


def test_reloading_under_load_fails_no_request_and_closes_no_session(pawl, serve):
    proxy = pawl(serve(http), workers=2)
    with Load(proxy.listen[0], kept=6, fresh=4) as load:
        for number in range(10):
            proxy.sections["limits"]["idle_timeout"] = f"{number + 10}s"
            proxy.reload()
            load.wait_progress(requests=5)
    assert not load.failures
    assert proxy.log.find("reloaded", generation=11)


def test_many_hups_at_once_end_in_the_newest_configuration(pawl, serve):
    first, second = serve(http, name="first"), serve(http, name="second")
    proxy = pawl(first, workers=2)
    with Load(proxy.listen[0], kept=2, fresh=2) as load:
        for _ in range(50):
            proxy.signal(signal.SIGHUP)
        proxy.sections["backend app"]["address"] = second.address
        proxy.reload()
        wait_until(lambda: backend_of(proxy) == "second", "the newest configuration")
        load.wait_progress()
    assert not load.failures


def test_a_changed_backend_is_for_new_sessions(pawl, serve):
    first, second = serve(http, name="first"), serve(http, name="second")
    proxy = pawl(first)
    old = HttpClient(proxy.connect())
    assert old.request().headers["x-backend"] == "first"
    proxy.sections["backend app"]["address"] = second.address
    proxy.reload()
    assert backend_of(proxy) == "second"
    assert old.request().headers["x-backend"] == "first"


def test_a_replaced_certificate_is_for_new_connections(pawl, serve, folder, authority):
    cert = Certificate("main", folder / "cert.pem", folder / "key.pem")
    before, after = (authority.leaf(name, ["app.example"]) for name in ("before", "after"))
    install(before, cert)
    proxy = pawl(serve(echo), certificates=[cert])
    old = proxy.connect()
    assert old.certificate == before.der
    install(after, cert)
    proxy.reload()
    new = proxy.connect(context=client_context(authority.root))
    assert new.certificate == after.der
    use(old)
    use(new)


def test_a_replaced_kind_of_key_is_for_new_connections(pawl, serve, folder, app_cert,
                                                       app_rsa_cert):
    cert = Certificate("main", folder / "cert.pem", folder / "key.pem")
    install(app_cert, cert)
    proxy = pawl(serve(echo), certificates=[cert])
    use(proxy.connect())
    install(app_rsa_cert, cert)
    proxy.reload()
    client = proxy.connect()
    assert client.certificate == app_rsa_cert.der
    use(client)


def install(source, target):
    shutil.copy(source.chain, target.chain)
    shutil.copy(source.key, target.key)


def test_certificates_come_and_go(pawl, serve, authority, app_cert):
    more = authority.leaf("more", ["more.example"])
    proxy = pawl(serve(echo))
    assert proxy.connect("more.example").certificate == app_cert.der
    proxy.sections["certificate more"] = more.keys()
    proxy.reload()
    assert proxy.connect("more.example").certificate == more.der
    del proxy.sections["certificate more"]
    proxy.reload()
    assert proxy.connect("more.example").certificate == app_cert.der


def test_an_added_listener_serves(pawl, serve):
    proxy = pawl(serve(http, name="app"), workers=2)
    added = free_address()
    proxy.sections["listener added"] = {"address": added}
    proxy.reload()
    proxy.listen.append(added)
    for _ in range(10):
        assert backend_of(proxy, added) == "app"


def test_an_added_address_of_a_listener_serves(pawl, serve):
    proxy = pawl(serve(http, name="app"))
    added = free_address("::1")
    proxy.sections["listener web"]["address"] = [*proxy.listen, added]
    proxy.reload()
    proxy.listen.append(added)
    assert backend_of(proxy, added) == backend_of(proxy) == "app"


def test_a_removed_listener_refuses_but_keeps_its_sessions(pawl, serve):
    other = free_address()
    proxy = pawl(serve(echo), workers=2, extra={"listener other": {"address": other}})
    client = proxy.connect(address=other)
    use(client)
    del proxy.sections["listener other"]
    proxy.reload()
    wait_until(lambda: not accepts(other), "the port to close")
    use(client)
    assert proxy.session_line(client)["listener"] == "other"


def test_a_removed_listener_loses_no_connection(pawl, serve):
    """What the kernel had accepted is served before the port closes."""
    other = free_address()
    proxy = pawl(serve(http), workers=2, extra={"listener other": {"address": other}})
    context = client_context()
    clients = [proxy.client(context=context, address=other) for _ in range(50)]
    for client in clients:
        client.sock.sendall(client.hello())
    del proxy.sections["listener other"]
    proxy.reload()
    for client in clients:
        with client.handshake():
            assert HttpClient(client).request().status == 200


def test_a_listener_may_move_and_come_back(pawl, serve):
    proxy = pawl(serve(http, name="app"), workers=2)
    first, second = proxy.listen[0], free_address()
    for address in (second, first, second, first):
        proxy.sections["listener web"]["address"] = address
        proxy.reload()
        proxy.listen[0] = address
        for _ in range(4):
            assert backend_of(proxy, address) == "app"
    wait_until(lambda: not accepts(second), "the port to close")


def test_limits_change_for_new_sessions(pawl, serve):
    proxy = pawl(serve(echo), limits={"idle_timeout": "60s"})
    old = proxy.connect()
    use(old)
    proxy.sections["limits"]["idle_timeout"] = "300ms"
    proxy.reload()
    new = proxy.connect()
    assert new.recv() == b""
    use(old)


def test_the_log_level_changes_everywhere(pawl, serve):
    proxy = pawl(serve(echo))
    proxy.sections["log"] = {"level": "warning"}
    proxy.write_config()
    mark = proxy.log.mark()
    proxy.signal(signal.SIGHUP)
    wait_until(lambda: not says_something(proxy), "the log to fall silent")
    proxy.sections["log"] = {"level": "info"}
    proxy.reload()
    client = proxy.connect()
    assert proxy.session_line(client)
    assert proxy.log.mark() > mark


def says_something(proxy):
    """Whether a session still leaves its line."""
    mark = proxy.log.mark()
    with proxy.connect() as client:
        use(client)
    with proxy.connect() as client:  # its end comes after that of the first
        use(client)
    return proxy.log.mark() > mark


# --- A bad one.


def test_a_bad_configuration_changes_nothing_and_every_error_is_named(pawl, serve):
    proxy = pawl(serve(http, name="app"), workers=2)
    old = HttpClient(proxy.connect())
    proxy.sections["limits"]["idle_timeout"] = "10"
    proxy.sections["proxy"]["wrokers"] = "2"
    proxy.sections["listener added"] = {"address": free_address(), "backend": "nowhere"}
    proxy.sections["certificate more"] = {"chain": "/none/cert.pem", "key": "/none/key.pem"}
    reasons = proxy.reload_refused()
    text = proxy.config_file.read_text().splitlines()
    for word in ("idle_timeout", "wrokers", "nowhere", "/none/cert.pem", "/none/key.pem"):
        line = 1 + next(number for number, line in enumerate(text) if word in line)
        assert any(f"proxy.ini:{line}: " in reason and word in reason
                   for reason in reasons), (word, reasons)
    assert old.request().headers["x-backend"] == "app"
    assert backend_of(proxy) == "app"
    assert not accepts(proxy.sections["listener added"]["address"])


def test_a_key_of_another_certificate_is_refused(pawl, serve, folder, authority, app_cert):
    cert = Certificate("main", folder / "cert.pem", folder / "key.pem")
    install(app_cert, cert)
    proxy = pawl(serve(echo), certificates=[cert])
    other = authority.leaf("other", ["app.example"])
    shutil.copy(other.key, cert.key)  # half of a renewal
    reasons = proxy.reload_refused()
    assert any("key" in reason and "proxy.ini:" in reason for reason in reasons)
    assert proxy.connect().certificate == app_cert.der
    shutil.copy(other.chain, cert.chain)
    proxy.reload()
    assert proxy.connect().certificate == other.der


def test_a_missing_file_is_refused_and_may_come_back(pawl, serve):
    proxy = pawl(serve(echo))
    use(proxy.connect())
    proxy.expect_log("proxy.ini.*No such file")
    proxy.allow_log("reload refused")
    proxy.config_file.unlink()
    mark = proxy.log.mark()
    proxy.signal(signal.SIGHUP)
    proxy.log.wait_for("reload refused", after=mark)
    use(proxy.connect())
    proxy.reload()


def test_a_taken_port_is_refused_and_named(pawl, serve):
    taken = serve(echo)
    proxy = pawl(serve(http, name="app"))
    proxy.sections["listener added"] = {"address": taken.address}
    reasons = proxy.reload_refused()
    assert any(taken.address in reason and "in use" in reason for reason in reasons)
    assert backend_of(proxy) == "app"
    del proxy.sections["listener added"]
    proxy.reload()


def test_what_needs_a_restart_is_refused_and_said(pawl, serve):
    proxy = pawl(serve(echo), workers=1)
    proxy.sections["proxy"]["workers"] = 2
    assert any("restart" in reason for reason in proxy.reload_refused())
    use(proxy.connect())


def test_bad_reloads_under_load_fail_no_request(pawl, serve):
    proxy = pawl(serve(http), workers=2)
    with Load(proxy.listen[0], kept=4, fresh=4) as load:
        for _ in range(5):
            proxy.reload_refused("[listener web]\naddress = 127.0.0.1:1\n[what]\n")
            load.wait_progress(requests=5)
            proxy.reload()
            load.wait_progress(requests=5)
    assert not load.failures
