"""Other TLS servers from Debian, each in the test's own folder: nginx, hitch, HAProxy, openssl."""

import contextlib
import os
import shutil
import subprocess

import pytest

from .ports import accepts, free_address, split_address
from .wait import wait_until

_NGINX = """\
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.error;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {address} ssl;
        ssl_certificate {chain};
        ssl_certificate_key {key};
        {settings}
        return 200 ok;
    }}
}}
"""

_HAPROXY = """\
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 10s
frontend web
    bind {address} ssl crt {pem}
    http-request return status 200
"""

_HITCH = """\
frontend = "[{host}]:{port}"
backend = "[127.0.0.1]:{backend}"
pem-file = "{pem}"
workers = 1
"""


class Peers:
    """Starts servers and ends them; skips the test where one is not installed."""

    def __init__(self, folder, stack):
        self._folder = folder
        self._stack = stack

    def nginx(self, cert, settings=""):
        address = free_address()
        config = self._folder / "nginx.conf"
        config.write_text(_NGINX.format(folder=self._folder, address=address,
                                        chain=cert.chain, key=cert.key, settings=settings))
        return self._run(address, "nginx", "-c", config, "-p", self._folder)

    def haproxy(self, cert):
        address = free_address()
        config = self._folder / "haproxy.cfg"
        config.write_text(_HAPROXY.format(address=address, pem=self._pem(cert)))
        return self._run(address, "haproxy", "-db", "-f", config)

    def hitch(self, cert, backend):
        address = free_address()
        host, port = split_address(address)
        config = self._folder / "hitch.conf"
        text = _HITCH.format(host=host, port=port, backend=split_address(backend)[1],
                             pem=self._pem(cert))
        config.write_text(text + ('user = "nobody"\n' if os.geteuid() == 0 else ""))
        return self._run(address, "hitch", f"--config={config}")

    def openssl(self, cert, *options):
        """openssl s_server, which serves one connection after the other, with the leaf alone."""
        address = free_address()
        return self._run(address, "openssl", "s_server", "-quiet", "-accept",
                         split_address(address)[1], "-cert", cert.chain, "-key",
                         cert.key, *options)

    def _pem(self, cert):
        path = self._folder / "all.pem"
        path.write_text(cert.key.read_text() + cert.chain.read_text())
        return path

    def _run(self, address, program, *arguments):
        path = shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin")
        if path is None:
            pytest.skip(f"{program} is not installed")
        log = self._stack.enter_context(open(self._folder / f"{program}.log", "wb"))
        # s_server ends its connection when its standard input ends.
        process = subprocess.Popen([path, *map(str, arguments)], stdin=subprocess.PIPE,
                                   stdout=log, stderr=log, cwd=self._folder)
        self._stack.callback(_end, process)

        def is_up():
            assert process.poll() is None, (self._folder / f"{program}.log").read_text()
            return accepts(address)

        wait_until(is_up, f"{program} to listen")
        return address


def _end(process):
    process.terminate()
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(10)
