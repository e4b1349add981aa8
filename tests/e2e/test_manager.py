"""Under a service manager: notifications, watchdog, sockets that it opened; as process 1."""

import contextlib
import os
import signal
import socket
import subprocess
import threading
import urllib.error
import urllib.request

import pytest
from harness import procfs
from harness.backends import echo, http
from harness.env import SANITIZED
from harness.load import Load
from harness.manager import Manager, activating
from harness.pawl import Pawl
from harness.ports import accepts, free_address, split_address
from harness.tls import TlsClient, client_context
from harness.wait import wait_until


@pytest.fixture
def manager(folder):
    with contextlib.ExitStack() as stack:
        def start(address=None, **keys):
            made = Manager(address or str(folder / "notify"), **keys)
            stack.callback(made.close)
            return made

        yield start


def use(client):
    client.send(b"are you there?")
    assert client.recv_exactly(14) == b"are you there?"


# --- Notifications.


def test_ready_reload_and_end_are_notified(pawl, serve, manager):
    systemd = manager()
    proxy = pawl(serve(echo), environment=systemd.environment)
    ready = systemd.wait_for(READY="1")
    assert ready["MAINPID"] == str(proxy.pid)
    assert ready["STATUS"].startswith("serving generation 1:")
    mark = len(systemd.messages)
    proxy.reload()
    reloading = systemd.wait_for(after=mark, RELOADING="1")
    assert int(reloading["MONOTONIC_USEC"]) > 0
    ready = systemd.wait_for(after=mark, READY="1")
    assert ready["STATUS"].startswith("serving generation 2:")
    proxy.drain()
    stopping = systemd.wait_for(STOPPING="1")
    assert 10_000_000 <= int(stopping["EXTEND_TIMEOUT_USEC"]) <= 60_000_000
    assert proxy.wait_exit() == 0


def test_a_refused_reload_is_ready_again(pawl, serve, manager):
    systemd = manager()
    proxy = pawl(serve(echo), environment=systemd.environment)
    systemd.wait_for(READY="1")
    mark = len(systemd.messages)
    proxy.reload_refused("[nonsense]\n")
    systemd.wait_for(after=mark, RELOADING="1")
    assert systemd.wait_for(after=mark, READY="1")["STATUS"].startswith("serving generation 1:")


def test_an_abstract_socket_is_notified(pawl, serve, manager):
    systemd = manager(f"@pawl-test-{os.getpid()}")
    pawl(serve(echo), environment=systemd.environment)
    systemd.wait_for(READY="1")


def test_an_upgrade_is_notified_as_a_reload(pawl, serve, manager):
    systemd = manager()
    proxy = pawl(serve(echo), environment=systemd.environment)
    systemd.wait_for(READY="1")
    mark = len(systemd.messages)
    proxy.signal(signal.SIGUSR2)
    systemd.wait_for(after=mark, RELOADING="1", STATUS="upgrading")
    assert systemd.wait_for(after=mark, READY="1")["MAINPID"] == str(proxy.pid)
    assert systemd.count("STOPPING") == 0  # the trial says nothing
    assert systemd.count("READY") == 2


@pytest.mark.skipif(SANITIZED, reason="the sanitizers take their options from it")
def test_roles_know_nothing_of_the_manager(pawl, serve, manager):
    systemd = manager()
    proxy = pawl(serve(echo), environment=systemd.environment)
    proxy.skip_unless_inspectable()
    for pid in proxy.roles().values():
        with open(f"/proc/{pid}/environ", "rb") as file:
            assert b"NOTIFY_SOCKET" not in file.read()


def test_the_watchdog_gets_signs_of_life(pawl, serve, manager):
    systemd = manager(watchdog_ms=400)
    pawl(serve(echo), workers=2, environment=systemd.environment)
    wait_until(lambda: systemd.count("WATCHDOG") >= 5, "signs of life")


def test_a_watchdog_for_another_process_is_left_alone(pawl, serve, manager):
    systemd = manager(watchdog_ms=100)
    systemd.environment["WATCHDOG_PID"] = "1"
    proxy = pawl(serve(echo), environment=systemd.environment)
    proxy.reload()
    wait_until(lambda: systemd.count("READY") == 2, "the end of the reload")
    assert systemd.count("WATCHDOG") == 0


def test_a_worker_that_hangs_is_replaced(pawl, serve, manager):
    systemd = manager(watchdog_ms=1000)
    proxy = pawl(serve(echo), environment=systemd.environment)
    proxy.expect_log("worker 0 hangs; it is replaced")
    proxy.expect_log("worker 0 was killed")
    os.kill(proxy.role("worker 0"), signal.SIGSTOP)
    proxy.log.wait_for("worker 0 serves again")
    use(proxy.connect())
    count = systemd.count("WATCHDOG")
    wait_until(lambda: systemd.count("WATCHDOG") >= count + 3, "signs of life")


def test_a_wrong_notify_socket_is_an_error(pawl, serve):
    proxy = pawl(serve(echo), environment={"NOTIFY_SOCKET": "relative"}, ready=False)
    proxy.expect_log('NOTIFY_SOCKET is "relative"')
    assert proxy.wait_exit() == 1


# --- Sockets of the manager.


@pytest.fixture
def activated(folder, running, app_cert, serve):
    """Starts a Pawl whose listener `web` has systemd:NAME of `sockets` [(name, socket)]."""
    def start(sockets, name="web", workers=2, handler=echo, ready=True):
        sections = {"proxy": {"workers": workers},
                    "listener web": {"address": f"systemd:{name}"},
                    f"certificate {app_cert.name}": app_cert.keys(),
                    "backend app": {"address": serve(handler).address},
                    "limits": {"drain_timeout": "5s"}}
        proxy = Pawl(folder, ["run", "-c", folder / "proxy.ini"], [])
        proxy.sections = sections
        proxy.wrapper = activating(sockets)
        proxy.handed_over = [sock.fileno() for _, sock in sockets]
        proxy.write_config()
        running(proxy)
        return proxy.wait_ready() if ready else proxy

    return start


@pytest.fixture
def listening():
    with contextlib.ExitStack() as stack:
        def make(address=None, family=socket.AF_INET, listens=True):
            sock = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            sock.bind(split_address(address or free_address()))
            if listens:
                sock.listen(100)
            host, port = sock.getsockname()[:2]
            return sock, f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

        yield make


def test_sockets_of_a_name_are_served_by_all_workers(activated, listening):
    first, address = listening()
    second, address6 = listening(free_address("::1"), socket.AF_INET6)
    other, _ = listening()
    proxy = activated([("web", first), ("other", other), ("web", second)])
    for _ in range(10):
        use(proxy.connect(address=address))
        use(proxy.connect(address=address6))


def test_activated_sockets_live_through_reloads_upgrades_and_an_end(activated, listening):
    sock, address = listening()
    proxy = activated([("web", sock)], handler=http)
    with Load(address) as load:
        proxy.reload()
        load.wait_progress()
        mark = proxy.log.mark()
        proxy.signal(signal.SIGUSR2)
        proxy.log.wait_for("upgraded: ", after=mark, seconds=30)
        load.wait_progress()
    assert not load.failures
    for wanted in (free_address(), "systemd:web"):
        proxy.sections["listener web"]["address"] = wanted
        proxy.reload()
    proxy.connect(address=address).close()
    proxy.drain()
    assert proxy.wait_exit() == 0
    assert accepts(address)  # the manager's copy


def test_a_missing_name_is_reported_with_those_there_are(activated, listening):
    first, _ = listening()
    proxy = activated([("api", first)], ready=False)
    proxy.expect_log('has handed over no socket called "web", but: "api"')
    proxy.expect_log("not started")
    assert proxy.wait_exit() == 1


def test_a_socket_that_does_not_listen_is_refused(activated, listening):
    first, _ = listening(listens=False)
    proxy = activated([("web", first)], ready=False)
    proxy.expect_log("does not listen")
    proxy.expect_log("not started")
    assert proxy.wait_exit() == 1


def test_without_a_manager_its_sockets_are_missing(pawl, serve):
    proxy = pawl(serve(echo), listen="systemd:web", ready=False)
    proxy.listen = []
    proxy.expect_log("the service manager has handed over no socket, and so none called")
    proxy.expect_log("not started")
    assert proxy.wait_exit() == 1


# --- Process 1.


@pytest.fixture
def contained():
    """Skips where this user may make no namespace of processes."""
    probe = ["unshare", "--pid", "--fork", "--mount-proc", "true"]
    if subprocess.run(probe, capture_output=True, check=False).returncode != 0:
        pytest.skip("no namespaces here")


def unshared(pawl, serve, **keys):
    wrapper = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    proxy = pawl(serve(echo), wrapper=wrapper, **keys)
    (init,) = procfs.children_of(proxy.process.pid)
    return proxy, init


@pytest.mark.usefixtures("contained")
def test_process_1_reloads_upgrades_reaps_and_drains(pawl, serve):
    proxy, init = unshared(pawl, serve, workers=2)
    client = proxy.connect()
    os.kill(init, signal.SIGHUP)
    proxy.log.wait_for(r"\breloaded\b")
    # An orphan of the namespace becomes a child of process 1.
    subprocess.run(["nsenter", "--pid", "--target", str(init), "sh", "-c",
                    "(sleep 0.2 &) ; true"], check=True, timeout=30)
    os.kill(init, signal.SIGUSR2)
    proxy.log.wait_for("upgraded: ", seconds=30)
    use(client)
    wait_until(lambda: all(procfs.state_of(pid) != "Z" for pid in proxy.processes()),
               "orphans to be reaped")
    client.close()
    mark = proxy.log.mark()
    os.kill(init, signal.SIGTERM)
    proxy.log.wait_for("stopped", after=mark)
    assert proxy.wait_exit() == 0


@pytest.mark.usefixtures("contained")
def test_process_1_ends_at_once_when_interrupted(pawl, serve):
    proxy, init = unshared(pawl, serve, limits={"drain_timeout": "600s"})
    client = proxy.connect()
    use(client)
    os.kill(init, signal.SIGINT)
    assert proxy.wait_exit() == 0
    client.abandon()


# --- Lame duck, and the last moment.


def test_lame_duck_accepts_until_it_is_over(pawl, serve, manager):
    systemd, admin = manager(), free_address()
    proxy = pawl(serve(echo), environment=systemd.environment,
                 limits={"lame_duck": "2s", "drain_timeout": "5s"},
                 extra={"admin": {"address": admin}})
    assert readiness(admin) == 200
    proxy.signal(signal.SIGTERM)
    proxy.log.wait_for("not ready any more; accepting goes on")
    systemd.wait_for(STOPPING="1")
    assert readiness(admin) == 503
    client = proxy.connect()
    use(client)
    proxy.log.wait_for(r"\bdraining\b")
    wait_until(lambda: not accepts(proxy.listen[0]), "the port to close")
    use(client)
    client.close()
    assert proxy.wait_exit() == 0


def readiness(address):
    try:
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code


def test_a_worker_that_dies_in_the_lame_duck_is_replaced(pawl, serve):
    proxy = pawl(serve(echo), limits={"lame_duck": "3s"})
    proxy.expect_log("worker 0 was killed")
    proxy.signal(signal.SIGTERM)
    proxy.log.wait_for("not ready any more")
    os.kill(proxy.role("worker 0"), signal.SIGKILL)
    proxy.log.wait_for("worker 0 serves again")
    with proxy.connect() as client:
        use(client)
    assert proxy.wait_exit() == 0


def test_a_second_term_ends_the_lame_duck(pawl, serve):
    proxy = pawl(serve(echo), limits={"lame_duck": "1h"})
    proxy.signal(signal.SIGTERM)
    proxy.log.wait_for("not ready any more")
    proxy.signal(signal.SIGTERM)
    assert proxy.wait_exit() == 0


def test_quit_drains_as_term_does(pawl, serve):
    proxy = pawl(serve(echo))
    client = proxy.connect()
    proxy.signal(signal.SIGQUIT)
    proxy.log.wait_for(r"\bdraining\b")
    use(client)
    client.close()
    assert proxy.wait_exit() == 0


def test_who_is_connected_but_silent_when_the_end_comes_is_served(pawl, serve):
    """The kernel holds such connections back; closing the sockets would reset them."""
    proxy = pawl(serve(echo), workers=2)
    clients = [proxy.client() for _ in range(50)]
    proxy.drain()
    for client in clients:
        with client.handshake():
            use(client)
    assert proxy.wait_exit() == 0


def test_no_connection_is_reset_while_the_sockets_close(pawl, serve):
    """Who is let in is served, who comes later is refused; nobody is cut off in between."""
    proxy = pawl(serve(echo), workers=2, limits={"drain_timeout": "20s"})
    context = client_context()
    served, cut_off = [], []

    def connect_until_refused():
        while True:
            try:
                client = TlsClient(proxy.listen[0], context)
            except ConnectionRefusedError:
                return
            try:
                use(client.handshake())
                client.close()
                served.append(1)
            except (OSError, EOFError) as error:
                cut_off.append(error)

    threads = [threading.Thread(target=connect_until_refused) for _ in range(8)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(served) >= 100, "connections")
    proxy.drain()
    for thread in threads:
        thread.join(30)
    assert not cut_off
    assert proxy.wait_exit() == 0
