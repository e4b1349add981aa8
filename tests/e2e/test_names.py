"""Backends with host names."""

import os
import signal
import time

import pytest
from harness import settings
from harness.backends import http
from harness.http import HttpClient
from harness.names import Names, NameServer
from harness.pawl import command
from harness.ports import free_address, split_address
from harness.wait import wait_until

OFTEN = {"resolve_interval": "1s", "wait": "0s"}


@pytest.fixture
def names(folder):
    return Names(folder)


@pytest.fixture
def name_server():
    server = NameServer()
    yield server
    server.stop()


@pytest.fixture
def twins(serve):
    """Two backends on one port of two loopback addresses."""
    port = split_address(free_address())[1]
    one = serve(http, f"127.0.0.1:{port}", name="one")
    return port, one, serve(http, f"127.0.0.2:{port}", name="two")


def backend_of(proxy):
    with proxy.connect() as client:
        return HttpClient(client).request().headers["x-backend"]


def test_a_name_is_all_its_addresses(pawl, names, twins):
    names.hosts(app_internal="127.0.0.1 127.0.0.2")
    proxy = pawl(f"app.internal:{twins[0]}", wrapper=names.wrapper)
    assert [backend_of(proxy) for _ in range(4)] in (["one", "two"] * 2, ["two", "one"] * 2)
    assert "resolver 0" in proxy.roles()
    assert proxy.log.find("session closed")[0]["backend"].startswith("127.0.0.")


def test_there_is_no_resolver_without_names(pawl, serve):
    proxy = pawl(serve(http))
    assert not proxy.roles("resolver")


def test_new_addresses_are_used_without_a_reload(pawl, names, twins):
    names.hosts(app_internal="127.0.0.1")
    proxy = pawl(f"app.internal:{twins[0]}", workers=2, wrapper=names.wrapper,
                 backend_keys=OFTEN)
    assert {backend_of(proxy) for _ in range(4)} == {"one"}
    names.hosts(app_internal="127.0.0.2")
    line = proxy.log.wait_for("addresses of a host have changed", role="master")
    assert line["host"] == "app.internal" and line["addresses"] == "127.0.0.2"
    wait_until(lambda: {backend_of(proxy) for _ in range(4)} == {"two"}, "the new address")
    assert not proxy.log.find("reloaded")


def test_open_sessions_outlive_their_address(pawl, names, twins):
    names.hosts(app_internal="127.0.0.1")
    proxy = pawl(f"app.internal:{twins[0]}", wrapper=names.wrapper, backend_keys=OFTEN)
    with proxy.connect() as client:
        stays = HttpClient(client)
        assert stays.request().headers["x-backend"] == "one"
        names.hosts(app_internal="127.0.0.2")
        wait_until(lambda: backend_of(proxy) == "two", "the new address")
        assert stays.request().headers["x-backend"] == "one"
        name = client.local_address()
    assert proxy.session_line(name)["backend"] == f"127.0.0.1:{twins[0]}"


def test_a_name_that_fails_keeps_its_addresses_with_one_line(pawl, names, name_server, twins):
    name_server.records["app.internal"] = ["127.0.0.1"]
    names.server(name_server.address)
    proxy = pawl(f"app.internal:{twins[0]}", wrapper=names.wrapper, backend_keys=OFTEN)
    proxy.expect_log(r'cannot resolve .*app\.internal.*its addresses stay as they were')
    del name_server.records["app.internal"]
    proxy.log.wait_for("cannot resolve", role="master")
    assert backend_of(proxy) == "one"
    asked = name_server.asked
    wait_until(lambda: name_server.asked >= asked + 4, "two more failures")
    assert len(proxy.log.find("cannot resolve")) == 1
    name_server.records["app.internal"] = ["127.0.0.2"]
    proxy.log.wait_for("resolves again", role="master")
    wait_until(lambda: backend_of(proxy) == "two", "the new address")


def test_a_name_that_does_not_resolve_refuses_the_start(pawl, names):
    proxy = pawl("app.internal:80", wrapper=names.wrapper, ready=False)
    proxy.expect_log(r"proxy\.ini:\d+: backend \"app\": cannot resolve app\.internal:80: ")
    proxy.expect_log("not started")
    assert proxy.wait_exit() == 1


def test_unless_it_may_come_later(pawl, names, twins):
    proxy = pawl(f"app.internal:{twins[0]}", wrapper=names.wrapper,
                 backend_keys={**OFTEN, "wait": "20s", "resolve": "eventually"})
    proxy.expect_log("cannot resolve .*it has no address so far")
    client = proxy.connect()
    proxy.log.wait_for("cannot resolve", role="master")
    names.hosts(app_internal="127.0.0.1")
    assert HttpClient(client).request().headers["x-backend"] == "one"


def test_a_name_server_that_does_not_answer_refuses_the_start_in_time(pawl, names, name_server):
    name_server.silent = True
    names.server(name_server.address)
    started = time.monotonic()
    proxy = pawl("app.internal:80", wrapper=names.wrapper, ready=False)
    proxy.expect_log("cannot resolve app.internal:80: no answer within 5s")
    proxy.expect_log("not started")
    assert proxy.wait_exit() == 1
    assert 4.5 < time.monotonic() - started < 10


def test_a_name_server_that_falls_silent_stops_nobody(pawl, names, name_server, twins):
    name_server.records["app.internal"] = ["127.0.0.1"]
    names.server(name_server.address)
    proxy = pawl(f"app.internal:{twins[0]}", wrapper=names.wrapper, backend_keys=OFTEN)
    assert backend_of(proxy) == "one"
    name_server.silent = True
    proxy.expect_log("cannot resolve .*no answer within 5s; its addresses stay")
    asked = name_server.asked
    wait_until(lambda: name_server.asked > asked, "a question that is not answered")
    # The master answers meanwhile, and a name that is known holds no reload up.
    started = time.monotonic()
    proxy.sections["limits"]["idle_timeout"] = "9m"
    proxy.reload()
    assert time.monotonic() - started < 3
    assert backend_of(proxy) == "one"
    proxy.log.wait_for("cannot resolve", role="master")
    assert backend_of(proxy) == "one"


def test_the_order_of_answers_changes_nothing(pawl, names, name_server, twins):
    name_server.records["app.internal"] = ["127.0.0.1", "127.0.0.2"]
    names.server(name_server.address)
    proxy = pawl(f"app.internal:{twins[0]}", wrapper=names.wrapper, backend_keys=OFTEN)
    name_server.records["app.internal"] = ["127.0.0.2", "127.0.0.1", "127.0.0.2"]
    asked = name_server.asked
    wait_until(lambda: name_server.asked >= asked + 4, "two more questions of two types")
    assert not proxy.log.find("addresses of a host have changed")


def test_a_resolver_that_is_killed_is_replaced(pawl, names, twins):
    names.hosts(app_internal="127.0.0.1")
    proxy = pawl(f"app.internal:{twins[0]}", wrapper=names.wrapper, backend_keys=OFTEN)
    proxy.skip_unless_inspectable()
    proxy.expect_log("resolver 0 was killed by signal 9")
    os.kill(proxy.role("resolver 0"), signal.SIGKILL)
    proxy.log.wait_for("resolver 0 serves again", role="master")
    names.hosts(app_internal="127.0.0.2")
    wait_until(lambda: backend_of(proxy) == "two", "the new address")


def test_a_worker_that_is_replaced_has_the_addresses(pawl, names, twins):
    names.hosts(app_internal="127.0.0.1")
    proxy = pawl(f"app.internal:{twins[0]}", wrapper=names.wrapper, backend_keys=OFTEN)
    names.hosts(app_internal="127.0.0.2")
    proxy.log.wait_for("addresses of a host have changed")
    proxy.expect_log("worker 0 was killed by signal 9")
    os.kill(proxy.role("worker 0"), signal.SIGKILL)
    proxy.log.wait_for("worker 0 serves again", role="master")
    assert backend_of(proxy) == "two"


def test_a_reload_adds_and_removes_names(pawl, names, twins):
    names.hosts(app_internal="127.0.0.1", other_internal="127.0.0.2")
    port, one, _ = twins
    proxy = pawl(one, wrapper=names.wrapper, backend_keys=OFTEN)
    proxy.sections["backend app"]["address"] = f"other.internal:{port}"
    proxy.reload()
    assert backend_of(proxy) == "two"
    proxy.sections["backend app"]["address"] = f"app.internal:{port}, 127.0.0.2:{port}"
    proxy.reload()
    assert {backend_of(proxy) for _ in range(4)} == {"one", "two"}
    proxy.sections["backend app"]["address"] = f"missing.internal:{port}"
    findings = proxy.reload_refused()
    assert any("cannot resolve missing.internal" in finding for finding in findings)
    assert {backend_of(proxy) for _ in range(4)} == {"one", "two"}
    proxy.sections["backend app"]["address"] = f"127.0.0.1:{port}"
    proxy.reload()
    assert {backend_of(proxy) for _ in range(4)} == {"one"}


def test_another_machine_is_refused_at_the_start(pawl, names):
    names.hosts(app_internal="10.1.2.3 127.0.0.1")
    proxy = pawl("app.internal:80", wrapper=names.wrapper, ready=False)
    proxy.expect_log(r"app\.internal:80 is 10\.1\.2\.3, another machine, and everybody")
    proxy.expect_log("not started")
    assert proxy.wait_exit() == 1


def test_another_machine_is_not_followed_later(pawl, names, twins):
    names.hosts(app_internal="127.0.0.1")
    proxy = pawl(f"app.internal:{twins[0]}", wrapper=names.wrapper, backend_keys=OFTEN)
    proxy.expect_log("10.1.2.3, another machine, and allow_remote_plaintext is not set")
    names.hosts(app_internal="10.1.2.3")
    proxy.log.wait_for("another machine", role="master")
    assert backend_of(proxy) == "one"
    names.hosts(app_internal="127.0.0.2")
    wait_until(lambda: backend_of(proxy) == "two", "the new address")


def test_pawl_check_resolves(folder, app_cert, names):
    path = folder / "proxy.ini"
    path.write_text(settings.ini(settings.basic(free_address(), [app_cert],
                                                ["no.such.name.invalid:80"])))
    result = command("check", path)
    assert result.returncode == 1
    assert 'backend "app": cannot resolve no.such.name.invalid:80: ' in result.stderr
