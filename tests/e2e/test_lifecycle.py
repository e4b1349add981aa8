"""Starting, stopping and what the processes are."""

import os
import signal
import time

import pytest
from harness import procfs
from harness.backends import echo, http, source, stall
from harness.env import BINARY
from harness.http import HttpClient
from harness.load import Load
from harness.ports import accepts, free_address
from harness.tls import Truncated, client_context, tcp
from harness.wait import wait_until


def use(client):
    client.send(b"x")
    assert client.recv_exactly(1) == b"x"


# --- Starting.


def test_the_log_says_when_it_is_ready(pawl, serve):
    proxy = pawl(serve(echo), workers=2)
    line = proxy.log.wait_for("ready")
    assert (line.level, line.role, line.message) == ("info", "master", "ready")
    assert line["listeners"] == "1" and line["workers"] == "2"


def test_each_worker_has_its_keyholder(pawl, serve):
    proxy = pawl(serve(echo), workers=2)
    assert set(proxy.roles()) == {"worker 0", "worker 1", "keyholder 0", "keyholder 1"}
    assert len(proxy.processes()) == 5
    proxy.skip_unless_inspectable()
    for pid in proxy.processes():
        assert os.readlink(f"/proc/{pid}/exe") == str(BINARY)


def test_there_is_a_worker_for_each_processor_unless_told_otherwise(pawl, serve):
    proxy = pawl(serve(echo), workers=None)
    assert len(proxy.roles("worker")) == len(os.sched_getaffinity(0))


def test_several_listeners_and_addresses_are_served(pawl, serve):
    addresses = [free_address(), free_address("::1"), free_address()]
    proxy = pawl(serve(echo), listen=addresses[:2],
                 extra={"listener other": {"address": addresses[2]}})
    for address, listener in zip(addresses, ("web", "web", "other")):
        client = proxy.connect(address=address)
        use(client)
        assert proxy.session_line(client)["listener"] == listener


def test_a_taken_port_is_an_error_that_names_it(pawl, serve):
    taken = pawl(serve(echo)).listen[0]
    second = pawl(serve(echo), listen=taken, ready=False, extra={"proxy": {"control": "off"}})
    second.listen = []
    second.expect_log(f"{taken}.*Address already in use")
    second.allow_log("not started")
    assert second.wait_exit() == 1


def test_a_start_with_errors_reports_all_and_fails(pawl, serve):
    proxy = pawl(serve(echo), ready=False, limits={"idle_timeout": "soon"},
                 extra={"certificate more": {"chain": "/none.pem", "key": "/none.key"}})
    proxy.listen = []
    proxy.expect_log(r'proxy\.ini:\d+: .*idle_timeout')
    proxy.expect_log(r'proxy\.ini:\d+: .*"/none\.pem": No such file')
    proxy.expect_log(r'proxy\.ini:\d+: .*"/none\.key": No such file')
    proxy.expect_log("not started")
    assert proxy.wait_exit() == 1


def test_a_backend_need_not_be_there_at_the_start(pawl, serve):
    backend = serve(echo)
    backend.refuse()
    proxy = pawl(backend)
    backend.start()
    use(proxy.connect())


# --- TERM: draining.


def test_draining_finishes_sessions_and_takes_no_new_ones(pawl, serve):
    proxy = pawl(serve(echo), limits={"drain_timeout": "60s"})
    client = proxy.connect()
    use(client)
    proxy.drain()
    wait_until(lambda: not accepts(proxy.listen[0]), "the port to close")
    for _ in range(5):
        use(client)
    assert proxy.is_running()
    client.close()
    assert proxy.wait_exit() == 0
    assert proxy.log.wait_for("master: stopped")
    assert not proxy.log.find("reason=drain")


def test_draining_without_sessions_ends_at_once(pawl, serve):
    proxy = pawl(serve(echo), workers=2, limits={"drain_timeout": "60s"})
    proxy.drain()
    assert proxy.wait_exit(seconds=5) == 0


def test_draining_lets_a_download_finish(pawl, serve):
    size = 30_000_000
    proxy = pawl(serve(source(size)), limits={"drain_timeout": "60s"})
    client = proxy.connect()
    first = client.recv_exactly(1000)
    proxy.drain()
    assert len(first) + len(client.recv_all()) == size
    client.close()
    assert proxy.wait_exit() == 0


def test_drain_timeout_ends_the_rest_with_close_notify(pawl, serve):
    proxy = pawl(serve(echo), limits={"drain_timeout": "500ms"})
    proxy.allow_log("drain_timeout is over")
    client = proxy.connect()
    use(client)
    started = time.monotonic()
    proxy.drain()
    assert client.recv() == b""
    assert 0.4 < time.monotonic() - started < 10
    client.close()
    assert proxy.wait_exit() == 0
    assert proxy.log.wait_for("session closed")["reason"] == "drain"


def test_drain_timeout_ends_handshakes_and_waiting_sessions_too(pawl):
    proxy = pawl(free_address(), backend_keys={"wait": "60s"},
                 limits={"drain_timeout": "500ms", "handshake_timeout": "60s"})
    proxy.allow_log("drain_timeout is over|backend_unreachable")
    half = proxy.client()
    half.sock.sendall(half.hello())
    half.sock.recv(1)
    waiting = proxy.connect()
    proxy.drain()
    assert waiting.recv() == b""
    waiting.close()
    half.sock.close()
    assert proxy.wait_exit() == 0


def test_a_stuck_client_cannot_hold_up_the_end(pawl, serve):
    proxy = pawl(serve(source(100_000_000)),
                 limits={"drain_timeout": "300ms", "linger_timeout": "300ms"})
    proxy.allow_log("drain_timeout is over")
    proxy.connect().recv(1)  # and reads no more
    proxy.drain()
    assert proxy.wait_exit() == 0


def test_connections_of_the_last_moment_are_served(pawl, serve):
    """What the kernel has accepted before the drain is not reset."""
    proxy = pawl(serve(http), workers=2)
    context = client_context()
    clients = [proxy.client(context=context) for _ in range(50)]
    for client in clients:
        client.sock.sendall(client.hello())
    proxy.drain()
    for client in clients:
        with client.handshake():
            assert HttpClient(client).request().status == 200
    assert proxy.wait_exit() == 0


def test_a_second_term_does_no_harm(pawl, serve):
    proxy = pawl(serve(echo))
    client = proxy.connect()
    use(client)
    proxy.drain()
    proxy.signal(signal.SIGTERM)
    use(client)
    client.close()
    assert proxy.wait_exit() == 0


def test_int_ends_a_drain_at_once(pawl, serve):
    proxy = pawl(serve(echo), limits={"drain_timeout": "600s"})
    client = proxy.connect()
    use(client)
    proxy.drain()
    proxy.interrupt()
    assert proxy.wait_exit() == 0


# --- INT and worse.


def test_int_ends_at_once(pawl, serve):
    proxy = pawl(serve(stall), workers=2, limits={"drain_timeout": "600s"})
    clients = [proxy.connect() for _ in range(4)]
    proxy.interrupt()
    assert proxy.wait_exit(seconds=5) == 0
    assert proxy.log.wait_for("master: stopped")
    for client in clients:
        with pytest.raises((Truncated, ConnectionResetError)):
            assert client.recv() != b""


def test_int_to_the_whole_group_as_from_a_terminal_ends_cleanly(pawl, serve):
    proxy = pawl(serve(echo), workers=2)
    use(proxy.connect())
    proxy.interrupt()
    os.killpg(proxy.pid, signal.SIGINT)
    assert proxy.wait_exit(seconds=5) == 0


def test_a_term_to_a_role_alone_does_nothing(pawl, serve):
    """A service manager that signals every process of the group means the master."""
    proxy = pawl(serve(echo))
    roles = proxy.roles()
    client = proxy.connect()
    for pid in roles.values():
        os.kill(pid, signal.SIGTERM)
        os.kill(pid, signal.SIGHUP)
    use(client)
    use(proxy.connect())
    assert proxy.roles() == roles


def test_roles_end_with_a_killed_master(pawl, serve):
    proxy = pawl(serve(echo), workers=2)
    use(proxy.connect())
    roles = list(proxy.roles().values())
    proxy.allow_log("the master is gone")
    proxy.kill()
    proxy.wait_exit()
    for client in proxy.clients:
        client.close()
    wait_until(lambda: not any(map(procfs.is_running, roles)), "the roles to end")


def test_roles_of_a_killed_master_finish_their_sessions_first(pawl, serve):
    proxy = pawl(serve(echo), limits={"drain_timeout": "1s"})
    proxy.allow_log("the master is gone|drain_timeout is over")
    client = proxy.connect()
    use(client)
    proxy.kill()
    proxy.wait_exit()
    proxy.log.wait_for("the master is gone")
    use(client)
    wait_until(lambda: not accepts(proxy.listen[0]), "the port to close")
    assert client.recv() == b""  # after drain_timeout


def test_a_hup_during_the_start_or_the_drain_does_no_harm(pawl, serve):
    proxy = pawl(serve(echo), ready=False)
    proxy.log.wait_for("ready")
    for _ in range(5):
        proxy.signal(signal.SIGHUP)
    proxy.log.wait_for("reloaded")
    client = proxy.connect()
    use(client)
    proxy.drain()
    proxy.signal(signal.SIGHUP)
    use(client)
    client.close()
    assert proxy.wait_exit() == 0


def test_starting_and_stopping_under_load_is_clean(pawl, serve):
    backend = serve(http)
    proxy = pawl(backend, workers=2, limits={"drain_timeout": "500ms"})
    proxy.allow_log("drain_timeout is over")
    with Load(proxy.listen[0], kept=2, fresh=2):
        proxy.drain()
        assert proxy.wait_exit() == 0


def test_a_stopped_client_of_the_kernel_queue_is_not_lost(pawl, serve):
    """A worker that is busy for a moment finds what came meanwhile."""
    proxy = pawl(serve(echo))
    worker = proxy.role("worker 0")
    os.kill(worker, signal.SIGSTOP)
    sock = tcp(proxy.listen[0])
    client = proxy.client()
    client.sock.sendall(client.hello())
    os.kill(worker, signal.SIGCONT)
    client.handshake()
    use(client)
    sock.close()
