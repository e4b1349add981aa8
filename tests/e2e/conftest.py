"""Fixtures: every test gets its own folder, ports, backends and Pawl, and leaves none."""

import contextlib
import faulthandler
import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest
from harness import settings
from harness.backends import Backend
from harness.certs import Authority
from harness.env import BINARY, TEST_SECONDS, TOOLS
from harness.pawl import Pawl
from harness.ports import free_address


def pytest_sessionstart(session):
    if not BINARY.exists():
        pytest.exit(f"there is no {BINARY}; build it or set PAWL", returncode=2)
    for name in ("SSLKEYLOGFILE", "SSL_CERT_FILE", "http_proxy", "https_proxy", "HTTPS_PROXY"):
        os.environ.pop(name, None)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that fixtures clean up


@pytest.fixture(autouse=True)
def deadline():
    """Fails a test that hangs, with the stacks of all threads."""
    def on_alarm(*_):
        faulthandler.dump_traceback()
        raise TimeoutError(f"the test took more than {TEST_SECONDS} s")

    previous = signal.signal(signal.SIGALRM, on_alarm)
    signal.alarm(TEST_SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, previous)


@pytest.fixture(scope="session")
def run_folder():
    """A folder for the whole run that an unprivileged role may pass through."""
    folder = Path(tempfile.mkdtemp(prefix="pawl-e2e-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def folder(run_folder):
    """The test's own folder; its path is short enough for a unix socket in it."""
    path = Path(tempfile.mkdtemp(dir=run_folder))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="session")
def authority(run_folder):
    path = run_folder / "ca"
    path.mkdir()
    return Authority(path)


@pytest.fixture(scope="session")
def app_cert(authority):
    """ECDSA P-256 for app.example and localhost."""
    return authority.leaf("main", ["app.example", "localhost", "IP:127.0.0.1", "IP:::1"])


@pytest.fixture(scope="session")
def app_rsa_cert(authority):
    """RSA for the same names."""
    return authority.leaf("main-rsa", ["app.example", "localhost"], kind="rsa")


@pytest.fixture
def serve():
    """Starts a backend: serve(handler, address=..., name=...)."""
    with contextlib.ExitStack() as stack:
        def start(handler, address=None, **keys):
            backend = Backend(handler, address, **keys).start()
            stack.callback(backend.stop)
            return backend

        yield start


@pytest.fixture
def running(folder, serve):
    """Starts a Pawl and checks it at the end, while its backends still run."""
    with contextlib.ExitStack() as stack:
        def start(pawl):
            pawl.start()
            stack.callback(pawl.finish)
            return pawl

        yield start


@pytest.fixture
def pawl(folder, serve, running, app_cert):
    """Starts `pawl run`: pawl(backend, limits={...}, ...).

    `backend` is a Backend, an address or a list of these.  `backend_keys`, `limits` and
    `extra` add to the sections [backend app], [limits] and the whole.
    """
    def start(backend=None, *, workers=1, certificates=None, listen=None, limits=None,
              backend_keys=None, extra=None, descriptors=None, ready=True, wrapper=(),
              binary=None, environment=None):
        backends = backend if isinstance(backend, (list, tuple)) else [backend]
        addresses = [getattr(item, "address", item) or free_address() for item in backends]
        sections = settings.basic(listen or free_address(), certificates or [app_cert],
                                  addresses, workers)
        sections["limits"].update(limits or {})
        sections["backend app"].update(backend_keys or {})
        for title, keys in (extra or {}).items():
            sections.setdefault(title, {}).update(keys)
        proxy = Pawl.from_sections(folder, sections, environment)
        proxy.probe = _common_probe(backends)
        proxy.descriptors = descriptors
        proxy.wrapper = list(wrapper)
        proxy.binary = binary or proxy.binary
        running(proxy)
        return proxy.wait_ready() if ready else proxy

    return start


def _common_probe(backends):
    """How a client sees these backends answer, if they all serve the same."""
    probes = {getattr(item, "probe", None) for item in backends}
    return probes.pop() if len(probes) == 1 else None


@pytest.fixture(scope="session")
def tool():
    """The path of a client built from tests/tools."""
    def find(name):
        path = TOOLS / name
        if not path.exists():
            pytest.fail(f"there is no {path}; build it or set PAWL_TOOLS")
        return path

    return find
