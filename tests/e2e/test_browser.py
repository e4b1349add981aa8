"""Chromium, as the clients that most people use."""

import os
import shutil
import subprocess

import pytest
from harness.env import PATIENCE
from harness.pawl import Pawl
from harness.ports import free_address, split_address
from harness.wait import wait_until

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = pytest.mark.skipif(not BROWSER, reason="there is no chromium")

OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
           "--disable-background-networking", "--disable-component-update",
           "--disable-sync", "--disable-dev-shm-usage", "--no-proxy-server"]


@pytest.fixture
def demo(folder, running):
    """A demo with its development CA in the test's folder."""
    listen = free_address()
    state = {"XDG_STATE_HOME": str(folder / "state")}
    proxy = Pawl(folder, ["demo", "--listen", listen], [listen], state)
    return running(proxy).wait_ready()


@pytest.fixture
def browse(folder):
    """Loads a page in a fresh Chromium and returns its document as text."""
    def load(url, *options):
        home = {**os.environ, "HOME": str(folder)}
        command = [BROWSER, *OPTIONS, f"--user-data-dir={folder / 'profile'}", *options,
                   "--timeout=20000", "--dump-dom", url]
        done = subprocess.run(command, env=home, capture_output=True, text=True,
                              stdin=subprocess.DEVNULL, timeout=60 * PATIENCE)
        return done.stdout

    return load


def trust(folder, ca):
    """Puts the CA where Chromium looks, as `pawl dev` says it is done."""
    store = folder / ".pki" / "nssdb"
    store.mkdir(parents=True)
    for arguments in (["-N", "--empty-password"],
                      ["-A", "-t", "C,,", "-n", "pawl-dev", "-i", ca]):
        subprocess.run(["certutil", "-d", f"sql:{store}", *arguments], check=True,
                       capture_output=True, timeout=60)


def url_of(proxy):
    return f"https://localhost:{split_address(proxy.listen[0])[1]}/"


@pytest.mark.skipif(not shutil.which("certutil"), reason="there is no certutil")
def test_chromium_trusts_the_development_ca_and_speaks_hybrid(demo, browse, folder):
    trust(folder, folder / "state" / "pawl" / "ca.pem")
    page = browse(url_of(demo))
    assert "X25519MLKEM768" in page, page[:2000]
    line = wait_until(lambda: session_with_page(demo), "the session's log line")
    assert line["group"] == "X25519MLKEM768"
    assert (line["version"], line["sni"]) == ("TLSv1.3", "localhost")


def session_with_page(demo):
    """The line of the connection that was used; Chromium opens spare ones."""
    return next((line for line in demo.log.find("session closed")
                 if int(line["bytes_out"]) > 1000), None)


def test_chromium_refuses_a_ca_that_nobody_trusted(demo, browse):
    assert "X25519MLKEM768" not in browse(url_of(demo))
    line = demo.log.wait_for("handshake failed|session closed")
    assert line["reason"] in ("tls_alert", "client_closed", "client_reset", "finished",
                              "client_truncated")


def test_chromium_gets_the_facts_as_json(demo, browse):
    page = browse(url_of(demo) + "json", "--ignore-certificate-errors")
    assert '"post_quantum":true' in page.replace(" ", "")
