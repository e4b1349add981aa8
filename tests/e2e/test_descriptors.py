"""File descriptors: none is lost, and running out of them is survived."""

import os
import time

from harness import hello, procfs
from harness.backends import echo, http
from harness.load import Load
from harness.tls import client_context
from harness.wait import wait_until


def counts(proxy):
    return {pid: len(os.listdir(f"/proc/{pid}/fd")) for pid in proxy.processes()}


def assert_back_at(proxy, before):
    wait_until(lambda: counts(proxy) == before, "all descriptors to be closed again")


def test_sessions_leave_no_descriptor(pawl, serve):
    backend = serve(http)
    proxy = pawl(backend, workers=2)
    proxy.skip_unless_inspectable()
    before = counts(proxy)
    with Load(proxy.listen[0], kept=4, fresh=4) as load:
        load.wait_progress()
    for data in (b"garbage", hello.Hello().record(), hello.Hello().record()[:50], b""):
        hello.answer(proxy.listen[0], data, end=True)
    client = proxy.connect()
    client.reset()
    assert_back_at(proxy, before)


def test_reloads_leave_no_descriptor(pawl, serve):
    proxy = pawl(serve(http), workers=2)
    proxy.skip_unless_inspectable()
    before = counts(proxy)
    for _ in range(10):
        proxy.reload()
        proxy.reload_refused("[nonsense\n")
        proxy.sections["listener more"] = {"address": "127.0.0.1:0"}
        proxy.reload_refused()
        del proxy.sections["listener more"]
    proxy.reload()
    assert_back_at(proxy, before)


def test_replaced_roles_leave_no_descriptor(pawl, serve):
    proxy = pawl(serve(http))
    proxy.skip_unless_inspectable()
    proxy.expect_log("was killed by signal 9")
    before = sorted(counts(proxy).values())
    for title in ("worker 0", "keyholder 0", "worker 0"):
        mark = proxy.log.mark()
        os.kill(proxy.role(title), 9)
        proxy.log.wait_for("serves again", after=mark)
    wait_until(lambda: sorted(counts(proxy).values()) == before, "the same descriptors")


def test_running_out_of_descriptors_is_survived(pawl, serve):
    """Accepting pauses with a warning, without spinning, and goes on when some are free."""
    proxy = pawl(serve(echo), descriptors=50)
    proxy.expect_log("accepting pauses")
    worker = proxy.role("worker 0")
    context = client_context()
    clients = [proxy.client(context=context) for _ in range(60)]
    for client in clients:
        client.sock.sendall(client.hello())
    proxy.log.wait_for("accepting pauses")
    spent = procfs.cpu_seconds(worker)
    time.sleep(1)  # the time that is measured
    assert procfs.cpu_seconds(worker) - spent < 0.2
    for client in clients:
        client.reset()
    client = proxy.connect()
    client.send(b"x")
    assert client.recv_exactly(1) == b"x"
