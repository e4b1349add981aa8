"""`pawl dev` and `pawl demo`: HTTPS on localhost with one command."""

import json
import os
import re
import signal
import socket
import subprocess
import sys

import pytest
from harness import pattern, procfs
from harness.backends import echo, http
from harness.http import HttpClient
from harness.pawl import Pawl, command
from harness.ports import accepts, free_address, free_port, split_address
from harness.programs import curl
from harness.tls import client_context
from harness.wait import wait_until


@pytest.fixture
def state(folder):
    """The environment of a user whose state directory is the test's own."""
    return {"XDG_STATE_HOME": str(folder / "state"), "HOME": str(folder)}


@pytest.fixture
def dev(folder, running, state):
    """Starts `pawl dev ...` or `pawl demo ...` on a free port of 127.0.0.1."""
    def start(*arguments, listen=None):
        listen = listen or free_address()
        proxy = Pawl(folder, [*arguments, "--listen", listen], [listen], state)
        return running(proxy).wait_ready()

    return start


@pytest.fixture
def ca(folder):
    return folder / "state" / "pawl" / "ca.pem"


# --- pawl dev


def test_dev_serves_an_app_to_curl(dev, serve, ca):
    app = serve(http)
    proxy = dev("dev", app.address)
    done = curl(proxy.listen[0], ca=ca, name="localhost")
    assert done.stdout == b"hello from app\n"


def test_dev_with_a_port_serves_pythons_http_server(dev, folder, ca):
    (folder / "site").mkdir()
    (folder / "site" / "index.html").write_text("my page\n")
    port = free_port()
    app = subprocess.Popen([sys.executable, "-m", "http.server", str(port), "--bind",
                            "127.0.0.1", "--directory", folder / "site"],
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: accepts(f"127.0.0.1:{port}"), "the app's port")
        proxy = dev("dev", str(port))
        assert curl(proxy.listen[0], ca=ca, name="localhost").stdout == b"my page\n"
        proxy.interrupt()
        assert proxy.wait_exit() == 0
    finally:
        app.terminate()
        app.wait(10)


def test_dev_with_a_unix_socket_serves_it(dev, serve, folder, ca):
    app = serve(http, f"unix:{folder}/app.sock")
    proxy = dev("dev", app.address)
    assert curl(proxy.listen[0], ca=ca, name="localhost").stdout == b"hello from app\n"


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_the_development_certificate_verifies(dev, serve, ca, name):
    proxy = dev("dev", serve(echo).address)
    client = proxy.connect(name, client_context(ca))
    client.send(b"x")
    assert client.recv_exactly(1) == b"x"


def test_dev_says_what_to_do_next(dev, serve, ca):
    app = serve(echo)
    proxy = dev("dev", app.address)
    proxy.output.wait_for("Ctrl-C")
    text = proxy.output.text()
    port = split_address(proxy.listen[0])[1]
    assert f"https://localhost:{port}" in text and app.address in text
    assert re.search(r"SHA-256 +([0-9A-F]{2}:){31}[0-9A-F]{2}", text)
    assert f"--cacert '{ca}'" in text


def test_the_printed_fingerprint_is_that_of_the_certificate(dev, serve, ca):
    proxy = dev("dev", serve(echo).address)
    proxy.output.wait_for("Ctrl-C")
    shown = subprocess.run(["openssl", "x509", "-in", ca, "-noout", "-fingerprint",
                            "-sha256"], check=True, capture_output=True, text=True)
    assert shown.stdout.strip().partition("=")[2] in proxy.output.text()


def test_the_development_ca_is_kept(dev, serve, ca):
    app = serve(echo)
    first = dev("dev", app.address)
    before = ca.read_bytes()
    certificate = first.connect("localhost").certificate
    second = dev("dev", app.address)
    assert ca.read_bytes() == before
    assert second.connect("localhost").certificate == certificate


def test_the_development_keys_are_for_their_user_only(dev, serve, ca):
    dev("dev", serve(echo).address)
    assert ca.parent.stat().st_mode & 0o777 == 0o700
    for key in ca.parent.glob("*.key"):
        assert key.stat().st_mode & 0o777 == 0o600


def test_a_damaged_development_certificate_is_made_anew(dev, serve, ca):
    app = serve(echo)
    dev("dev", app.address)
    (ca.parent / "localhost.pem").write_text("damaged\n")
    proxy = dev("dev", app.address)
    proxy.connect("localhost", client_context(ca))


def test_dev_keeps_a_client_waiting_for_an_app_that_starts(dev, serve, ca):
    app = serve(http)
    app.refuse()
    proxy = dev("dev", app.address)
    client = proxy.connect("localhost", client_context(ca))
    app.start()
    assert HttpClient(client).request().status == 200


@pytest.mark.parametrize("arguments, word", [
    (["dev", "70000"], "70000"), (["dev", "example.com:80"], "example.com"),
    (["dev", "3000", "--listen", "8443"], "8443"),
])
def test_dev_explains_a_wrong_address(state, arguments, word):
    done = command(*arguments, environment=state)
    assert done.returncode == 1 and word in done.stderr and not done.stdout


def test_dev_without_a_place_for_its_certificate_says_so(folder):
    (folder / "state").write_text("a file where a directory should be\n")
    done = command("dev", "3000", environment={"XDG_STATE_HOME": str(folder / "state")})
    assert done.returncode == 1 and str(folder / "state") in done.stderr


def test_dev_on_a_taken_port_says_so(serve, state):
    app = serve(echo)
    done = command("dev", app.address, "--listen", app.address, environment=state)
    assert done.returncode == 1
    assert app.address in done.stderr and "in use" in done.stderr


# --- pawl demo


def test_the_demo_page_shows_the_request_and_tls(dev, ca):
    proxy = dev("demo")
    done = curl(proxy.listen[0], "--header", "X-Shown: <here>", ca=ca, name="localhost")
    page = done.stdout.decode()
    assert "<html" in page and "TLSv1.3" in page and "X25519" in page
    assert "&lt;here&gt;" in page and "<here>" not in page


def test_the_demo_tells_programs_the_facts(dev, ca):
    proxy = dev("demo")
    done = curl(proxy.listen[0], ca=ca, name="localhost", path="/json")
    facts = json.loads(done.stdout)
    assert facts["proxied"] is True and facts["sni"] == "localhost"
    assert facts["tls_version"] == "TLSv1.3" and facts["tls_group"] == "X25519"
    assert facts["post_quantum"] is False and facts["method"] == "GET"
    assert facts["client"].startswith("127.0.0.1:")
    assert facts["server"] == proxy.listen[0]


def test_the_demo_streams_and_echoes(dev, ca, folder):
    proxy = dev("demo")
    done = curl(proxy.listen[0], ca=ca, name="localhost", path="/bytes/3000000")
    assert len(done.stdout) == 3_000_000
    body = folder / "body"
    body.write_bytes(pattern.whole(200_000))
    done = curl(proxy.listen[0], "--data-binary", f"@{body}", ca=ca, name="localhost",
                path="/echo")
    assert pattern.whole(200_000) in done.stdout


def test_the_demo_app_is_a_process_of_its_own(dev):
    proxy = dev("demo")
    assert {title.split()[0] for title in proxy.roles()} == {"worker", "keyholder", "demo-app"}
    if os.geteuid() == 0:
        for pid in proxy.roles().values():
            assert procfs.status_of(pid)["Uid"].split()[0] != "0"


def test_a_killed_demo_app_comes_back(dev, ca):
    proxy = dev("demo")
    proxy.expect_log("demo-app 0.* was killed by signal 9")
    os.kill(proxy.role("demo-app 0"), signal.SIGKILL)
    proxy.log.wait_for("demo-app 0 serves again")
    assert curl(proxy.listen[0], ca=ca, name="localhost").returncode == 0


def test_ctrl_c_ends_the_demo_cleanly(dev):
    """The terminal sends SIGINT to every process of the group."""
    proxy = dev("demo")
    HttpClient(proxy.connect("localhost")).request()
    proxy.interrupt()
    os.killpg(proxy.pid, signal.SIGINT)
    assert proxy.wait_exit(seconds=5) == 0


@pytest.fixture
def alone_on_port_8443():
    """Keeps other runs of these tests on this machine away from port 8443."""
    with socket.socket(socket.AF_UNIX) as sign:
        wait_until(lambda: _takes(sign, "\0pawl-e2e-port-8443"), "the other run", 60)
        yield


def _takes(sock, name):
    try:
        sock.bind(name)
        return True
    except OSError:
        return False


@pytest.mark.usefixtures("alone_on_port_8443")
def test_the_demo_listens_on_both_loopbacks_by_default(folder, running, state, ca):
    addresses = ["127.0.0.1:8443", "[::1]:8443"]
    if any(accepts(address) for address in addresses):
        pytest.skip("somebody uses port 8443 of this machine")
    proxy = running(Pawl(folder, ["demo"], addresses, state)).wait_ready()
    for address in addresses:
        assert curl(address, ca=ca, name="localhost").returncode == 0
    assert "https://localhost:8443" in proxy.output.text()
