"""Roles that die are replaced; what they did not touch goes on."""

import os
import signal
import time

import pytest
from harness.backends import echo, http
from harness.env import PATIENCE
from harness.http import HttpClient
from harness.load import Load
from harness.tls import TLS12, TLS13, Truncated, client_context
from harness.wait import wait_until

DIED = r"(worker|keyholder) \d.* (was killed by signal|exited)"


def kill(proxy, title):
    """Kills a role and waits for its replacement; returns how long that took."""
    pid = proxy.role(title)
    started = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: proxy.roles().get(title, pid) != pid, f"a new {title}")
    return time.monotonic() - started


def echoes(client):
    try:
        client.send(b"x")
        return client.recv_exactly(1) == b"x"
    except (EOFError, Truncated, ConnectionError, BrokenPipeError):
        return False


@pytest.mark.parametrize("title", ["worker 0", "keyholder 0"])
def test_a_killed_role_is_back_within_a_second(pawl, serve, title):
    proxy = pawl(serve(http))
    proxy.expect_log(title + ".* was killed by signal 9")
    started = time.monotonic()
    kill(proxy, title)
    assert HttpClient(proxy.connect()).request().status == 200
    assert time.monotonic() - started < 1 * PATIENCE


def test_the_loss_of_a_role_is_logged_in_words(pawl, serve):
    proxy = pawl(serve(echo))
    proxy.expect_log(DIED)
    os.kill(proxy.role("worker 0"), signal.SIGABRT)
    line = proxy.log.wait_for(DIED)
    assert line.level == "warning" and line.role == "master"
    assert "signal 6" in line.message and "Aborted" in line.message
    wait_until(lambda: len(proxy.roles()) == 2, "the new worker")


def test_sessions_of_the_other_worker_never_notice(pawl, serve):
    proxy = pawl(serve(echo), workers=2)
    proxy.expect_log(DIED)
    clients = [proxy.connect() for _ in range(24)]
    assert all(echoes(client) for client in clients)
    kill(proxy, "worker 0")
    alive = [client for client in clients if echoes(client)]
    assert 0 < len(alive) < len(clients)
    for client in alive:
        assert proxy.session_line(client).role == "worker 1"


def test_clients_of_a_killed_worker_see_a_truncation(pawl, serve):
    backend = serve(echo)
    proxy = pawl(backend)
    proxy.expect_log(DIED)
    client = proxy.connect()
    assert echoes(client)
    kill(proxy, "worker 0")
    with pytest.raises((Truncated, ConnectionResetError)):
        client.recv()
    backend.wait_idle()


def test_connections_made_while_the_worker_is_away_are_served(pawl, serve):
    proxy = pawl(serve(echo))
    proxy.expect_log(DIED)
    os.kill(proxy.role("worker 0"), signal.SIGKILL)
    clients = [proxy.connect() for _ in range(10)]
    assert all(echoes(client) for client in clients)


def test_a_worker_killed_under_load_fails_only_what_it_served(pawl, serve):
    proxy = pawl(serve(http), workers=2)
    proxy.expect_log(DIED)
    with Load(proxy.listen[0], kept=8, fresh=4) as load:
        kill(proxy, "worker 0")
        load.wait_progress()
    kept = [failure for failure in load.failures if failure.kind == "kept"]
    assert len(kept) < 8
    for failure in load.failures:
        assert isinstance(failure.error, (Truncated, ConnectionError)), failure
    with Load(proxy.listen[0], kept=4, fresh=4) as load:
        load.wait_progress()
    assert not load.failures


def test_sessions_survive_the_loss_of_their_keyholder(pawl, serve):
    proxy = pawl(serve(echo))
    proxy.expect_log(DIED)
    clients = [proxy.connect() for _ in range(10)]
    kill(proxy, "keyholder 0")
    assert all(echoes(client) for client in clients)
    assert echoes(proxy.connect())


def test_a_keyholder_killed_under_load_fails_nothing(pawl, serve):
    proxy = pawl(serve(http), workers=2)
    proxy.expect_log(DIED)
    with Load(proxy.listen[0], kept=4, fresh=6) as load:
        for _ in range(3):
            kill(proxy, "keyholder 0")
            load.wait_progress()
            kill(proxy, "keyholder 1")
            load.wait_progress()
    assert not load.failures


@pytest.mark.parametrize("version", [TLS12, TLS13], ids=["tls12", "tls13"])
def test_a_handshake_that_waits_for_the_keyholder_is_completed_by_the_next(pawl, serve,
                                                                           version):
    proxy = pawl(serve(echo))
    proxy.expect_log(DIED)
    busy = proxy.connect()
    keyholder = proxy.role("keyholder 0")
    os.kill(keyholder, signal.SIGSTOP)
    clients = [proxy.client(context=client_context(version=version)) for _ in range(3)]
    for client in clients:
        client.sock.sendall(client.hello())
    for _ in range(10):  # when these are back the worker has seen the hellos
        assert echoes(busy)
    os.kill(keyholder, signal.SIGKILL)
    for client in clients:
        client.handshake()
        assert echoes(client)


def test_a_stopped_keyholder_costs_only_handshakes(pawl, serve):
    proxy = pawl(serve(echo), limits={"handshake_timeout": "1s"})
    client = proxy.connect()
    keyholder = proxy.role("keyholder 0")
    os.kill(keyholder, signal.SIGSTOP)
    late = proxy.client()
    late.sock.sendall(late.hello())
    for _ in range(100):
        assert echoes(client)
    with pytest.raises((Truncated, OSError)):
        late.handshake()
    assert proxy.session_line(late)["reason"] == "handshake_timeout"
    os.kill(keyholder, signal.SIGCONT)
    assert echoes(proxy.connect())


def test_clients_that_leave_while_their_signature_is_made_do_no_harm(pawl, serve):
    proxy = pawl(serve(echo))
    keyholder = proxy.role("keyholder 0")
    os.kill(keyholder, signal.SIGSTOP)
    for _ in range(50):
        client = proxy.client()
        client.sock.sendall(client.hello())
        client.reset()
    os.kill(keyholder, signal.SIGCONT)
    assert echoes(proxy.connect())


def test_both_roles_of_a_pair_may_die_at_once(pawl, serve):
    proxy = pawl(serve(echo), workers=2)
    proxy.expect_log(DIED)
    for title in ("worker 1", "keyholder 1"):
        os.kill(proxy.role(title), signal.SIGKILL)
    proxy.log.wait_for("serves again", count=2)
    assert all(echoes(proxy.connect()) for _ in range(20))


def test_a_role_that_keeps_dying_is_started_ever_more_slowly(pawl, serve):
    proxy = pawl(serve(echo), workers=2)
    proxy.expect_log(DIED)
    delays = [kill(proxy, "worker 0") for _ in range(5)]
    assert delays[0] < 0.5 and delays[4] > delays[0] * 2
    assert echoes(proxy.connect())


def test_a_role_that_died_gets_the_configuration_in_service(pawl, serve):
    first, second = serve(http, name="first"), serve(http, name="second")
    proxy = pawl(first)
    proxy.expect_log(DIED)
    proxy.sections["backend app"]["address"] = second.address
    proxy.reload()
    proxy.reload_refused("[nonsense\n")
    kill(proxy, "worker 0")
    client = HttpClient(proxy.connect())
    assert client.request().headers["x-backend"] == "second"


@pytest.mark.parametrize("title", ["worker 0", "keyholder 1"])
def test_a_role_that_dies_while_it_prepares_a_reload_does_not_stop_it(pawl, serve, title):
    proxy = pawl(serve(http), workers=2)
    proxy.expect_log(DIED)
    proxy.allow_log("reload refused|cannot be told anything")
    pid = proxy.role(title)
    os.kill(pid, signal.SIGSTOP)
    mark = proxy.log.mark()
    proxy.signal(signal.SIGHUP)
    assert not proxy.log.find("reloaded", after=mark)
    os.kill(pid, signal.SIGKILL)
    proxy.log.wait_for("reloaded|reload refused", after=mark)
    proxy.log.wait_for("serves again|reloaded", after=mark)
    proxy.reload()
    for _ in range(10):
        assert HttpClient(proxy.connect()).request().status == 200
