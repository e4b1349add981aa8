"""The admin process: who may ask, what is answered, and what nobody can do to it."""

import contextlib
import json
import os
import signal
import socket
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.admin import Admin, total
from harness.backends import echo
from harness.ports import accepts, free_address, split_address
from harness.pawl import command
from harness.settings import basic, ini
from harness.wait import wait_until

DIED = r"(worker|keyholder|admin) \d.* was killed by signal"


@pytest.fixture
def watched(pawl, serve):
    """Starts a Pawl with an admin process: (proxy, admin)."""
    def start(address=None, **keys):
        address = address or free_address()
        backend = keys.pop("backend", None) or serve(echo)
        return pawl(backend, extra={"admin": {"address": address}}, **keys), Admin(address)

    return start


def test_without_an_address_there_is_no_admin_process(pawl, serve):
    proxy = pawl(serve(echo))
    assert set(proxy.roles()) == {"worker 0", "keyholder 0"}


def test_it_may_go_and_come_back_at_once(watched):
    proxy, admin = watched()
    section = proxy.sections["admin"]
    for _ in range(8):
        del proxy.sections["admin"]
        proxy.reload()
        proxy.sections["admin"] = section
        proxy.reload()
        assert admin.text("/healthz") == "ok\n"


def test_answers_what_it_should(watched):
    _, admin = watched()
    for path, kind, text in (("/metrics", "text/plain; version=0.0.4", "pawl_build_info{"),
                             ("/status", "application/json", '"state":"serving"'),
                             ("/healthz", "text/plain", "ok\n"),
                             ("/readyz", "text/plain", "ready\n"),
                             ("/", "text/html", "<title>Pawl</title>")):
        code, headers, body = admin.ask(path)
        assert code == 200 and text in body, path
        assert headers["Content-Type"].startswith(kind)
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]


@pytest.mark.parametrize(("method", "path", "code"), [
    ("GET", "/nothing", 404), ("GET", "/metrics/", 404), ("GET", "/../etc/passwd", 404),
    ("GET", "/%2e%2e/%00", 404), ("HEAD", "/status", 200), ("GET", "/healthz?x=1", 200)])
def test_other_paths(watched, method, path, code):
    _, admin = watched()
    answer = admin.ask(path, method)
    assert answer[0] == code
    if method == "HEAD":
        assert answer[2] == ""


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "FOO"])
def test_nothing_can_be_changed(watched, method):
    _, admin = watched()
    with contextlib.suppress(ConnectionError, OSError):
        assert admin.ask("/status", method, body=b"x")[0] >= 400
    assert admin.text("/healthz") == "ok\n"


@pytest.mark.parametrize(("host", "code"), [
    ("localhost", 200), ("localhost:9180", 200), ("127.0.0.1:1", 200), ("[::1]:80", 200),
    ("evil.example", 400), ("127.0.0.1.evil.example", 400), ("localhost.evil.example", 400),
    ("[evil]", 400), ("", 400), ("x" * 5000, 400)])
def test_names_from_elsewhere_are_not_answered(watched, host, code):
    _, admin = watched()
    assert admin.ask("/status", headers={"Host": host})[0] == code


def test_a_unix_socket_is_for_user_and_group(watched, folder):
    path = folder / "admin.sock"
    proxy, admin = watched(f"unix:{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert admin.text("/readyz") == "ready\n"
    assert admin.ask("/readyz", headers={"Host": "any.example"})[0] == 200
    proxy.signal(signal.SIGTERM)
    assert proxy.wait_exit() == 0
    assert not path.exists()


def test_a_unix_socket_that_was_left_behind_is_taken_over(watched, folder):
    path = folder / "admin.sock"
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    _, admin = watched(f"unix:{path}")
    assert admin.text("/readyz") == "ready\n"


def test_what_is_no_socket_is_left_alone(folder, app_cert):
    (folder / "file").write_text("precious")
    sections = basic(free_address(), [app_cert], free_address())
    sections["admin"] = {"address": f"unix:{folder / 'file'}"}
    (folder / "proxy.ini").write_text(ini(sections))
    done = command("run", "-c", folder / "proxy.ini", folder=folder)
    assert done.returncode == 1
    assert "admin: cannot listen on unix:" in done.stderr
    assert (folder / "file").read_text() == "precious"


@pytest.mark.parametrize("address", ["0.0.0.0:9180", "*:9180", "192.0.2.1:9180"])
def test_other_machines_must_be_allowed_by_name(folder, app_cert, address):
    sections = basic(free_address(), [app_cert], free_address())
    sections["admin"] = {"address": address}
    (folder / "proxy.ini").write_text(ini(sections))
    done = command("check", folder / "proxy.ini", folder=folder)
    assert done.returncode == 1 and "allow_remote = yes" in done.stderr
    sections["admin"]["allow_remote"] = "yes"
    (folder / "proxy.ini").write_text(ini(sections))
    assert command("check", folder / "proxy.ini", folder=folder).returncode == 0


def test_a_reload_adds_moves_and_removes_it(pawl, serve):
    proxy = pawl(serve(echo))
    first, second = free_address(), free_address()
    proxy.sections["admin"] = {"address": first}
    proxy.reload()
    assert Admin(first).text("/readyz") == "ready\n"
    pid = proxy.role("admin 0")
    proxy.sections["admin"]["address"] = [first, second]
    proxy.reload()
    assert Admin(first).text("/readyz") == Admin(second).text("/readyz") == "ready\n"
    proxy.sections["admin"]["address"] = second
    proxy.reload()
    wait_until(lambda: not accepts(first), f"{first} to be closed")
    assert Admin(second).text("/readyz") == "ready\n"
    assert proxy.role("admin 0") == pid
    del proxy.sections["admin"]
    proxy.reload()
    wait_until(lambda: "admin 0" not in proxy.roles(), "the admin process to end")
    assert not accepts(second)
    proxy.sections["admin"] = {"address": second}
    proxy.reload()
    assert Admin(second).text("/readyz") == "ready\n"


def test_a_refused_reload_starts_nothing(pawl, serve):
    proxy = pawl(serve(echo))
    address = free_address()
    proxy.sections["admin"] = {"address": address}
    proxy.sections["certificate main"] = {"chain": "/nowhere", "key": "/nowhere"}
    proxy.expect_log("error")
    proxy.reload_refused()
    wait_until(lambda: "admin 0" not in proxy.roles(), "no admin process")
    assert not accepts(address)


def test_one_that_is_killed_is_replaced(watched):
    proxy, admin = watched()
    proxy.expect_log(DIED)
    pid = proxy.role("admin 0")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: proxy.roles().get("admin 0", pid) != pid, "a new admin process")
    assert admin.text("/readyz") == "ready\n"
    restarts = {p["role"]: p["restarts"] for p in admin.status()["processes"]}
    assert restarts == {"worker": 0, "keyholder": 0, "admin": 1}


def test_draining_is_not_ready_and_still_healthy(watched):
    proxy, admin = watched(limits={"drain_timeout": "20s"})
    client = proxy.connect()
    proxy.drain()
    assert admin.ask("/readyz")[::2] == (503, "draining\n")
    assert admin.text("/healthz") == "ok\n"
    assert admin.status()["ready"] is False
    client.close()
    assert proxy.wait_exit() == 0


@pytest.mark.parametrize("required", ["yes", "no"])
def test_a_backend_that_is_down_matters_if_it_is_required(watched, serve, required):
    keys = {"check": "connect", "check_interval": "100ms", "fall": 1, "rise": 1,
            "required": required}
    backend = serve(echo)
    proxy, admin = watched(backend=backend, workers=2, backend_keys=keys)
    proxy.allow_log("backend address")
    assert admin.text("/readyz") == "ready\n"
    backend.stop()
    wait_until(lambda: total(admin.metrics(), "backend_down", backend="app") == 2,
               "both workers to see it down")
    code, _, body = admin.ask("/readyz")
    assert (code, body) == ((503, 'backend "app" is down\n') if required == "yes" else
                            (200, "ready\n"))
    assert admin.text("/healthz") == "ok\n"
    serve(echo, address=backend.address)
    wait_until(lambda: admin.ask("/readyz")[0] == 200, "it to be ready again")


def test_a_worker_that_stays_away_is_unhealthy(watched):
    proxy, admin = watched()
    proxy.expect_log(DIED)
    proxy.allow_log("worker 0")

    def unhealthy():
        with contextlib.suppress(ProcessLookupError):
            if "worker 0" in proxy.roles():
                os.kill(proxy.roles()["worker 0"], signal.SIGKILL)
        return admin.ask("/healthz")[0] == 503

    # It is killed again and again, so that the next waits longer and longer.
    wait_until(unhealthy, "a 503", seconds=30)
    assert "worker 0 has been missing for" in admin.ask("/healthz")[2]
    wait_until(lambda: admin.ask("/healthz")[0] == 200, "the worker's return", seconds=15)


def test_slow_and_silent_clients_hinder_nobody(watched):
    proxy, admin = watched()
    with contextlib.ExitStack() as stack:
        held = []
        for number in range(200):
            sock = stack.enter_context(socket.create_connection(split_address(admin.address)))
            sock.sendall(b"GET / HTTP/1.1\r\nX: " if number % 2 else b"G")
            held.append(sock)
        assert admin.text("/healthz") == "ok\n"
        # Nobody drags it out: a byte now and then does not keep a connection.
        slow = held[-1]

        def is_cut():
            try:
                slow.sendall(b"x")
                slow.settimeout(0.2)
                return slow.recv(1) == b""
            except TimeoutError:
                return False
            except ConnectionError:
                return True

        wait_until(is_cut, "the slow client to be cut", seconds=20)
    assert admin.text("/healthz") == "ok\n"
    assert proxy.role("admin 0")


def test_a_thousand_requests(watched):
    proxy, admin = watched(workers=2)
    pid = proxy.role("admin 0")
    paths = ["/metrics", "/status", "/healthz", "/"] * 250
    with ThreadPoolExecutor(8) as pool:
        assert {len(text) > 0 for text in pool.map(admin.text, paths)} == {True}
    assert proxy.role("admin 0") == pid
    assert len(os.listdir(f"/proc/{pid}/fd")) < 100


def test_nonsense_is_survived(watched):
    proxy, admin = watched()
    for data in (b"\0" * 10000, b"GET " + b"/" * 20000 + b" HTTP/1.1\r\n\r\n",
                 b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n",
                 b"GET http://evil.example/status HTTP/1.1\r\nHost: evil.example\r\n\r\n",
                 b"GET / HTTP/9.9\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n"):
        with socket.create_connection(split_address(admin.address)) as sock:
            with contextlib.suppress(ConnectionError):
                sock.sendall(data)
                sock.settimeout(15)
                while got := sock.recv(65536):
                    assert b"200 OK" not in got
    assert json.loads(admin.text("/status"))["ready"]
    assert proxy.role("admin 0")
