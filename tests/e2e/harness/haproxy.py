"""HAProxy as the other end of the PROXY protocol, from the Debian package."""

import shutil
import subprocess

from .ports import accepts
from .wait import wait_until

PROGRAM = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")

_COMMON = """\
global
    stats timeout 30s
defaults
    mode {mode}
    timeout connect 5s
    timeout client 30s
    timeout server 30s
"""


class Haproxy:
    """One process that runs `text`; stopped by `stop`."""

    def __init__(self, folder, listen, text, mode="tcp"):
        config = folder / "haproxy.cfg"
        config.write_text(_COMMON.format(mode=mode) + text)
        self._log = (folder / "haproxy.log").open("wb")
        self._process = subprocess.Popen([PROGRAM, "-db", "-f", config],
                                         stdin=subprocess.DEVNULL, stdout=self._log,
                                         stderr=subprocess.STDOUT)
        wait_until(lambda: self._process.poll() is not None or accepts(listen),
                   "haproxy to listen")
        assert self._process.poll() is None, (folder / "haproxy.log").read_text()

    def stop(self):
        self._process.terminate()
        self._process.wait(10)
        self._log.close()


def in_front(folder, listen, server, options):
    """Passes TCP from `listen` on to `server` with `options` such as send-proxy."""
    return Haproxy(folder, listen, f"listen in\n    bind {listen}\n"
                                   f"    server pawl {server} {options}\n")


def behind(folder, listen, reply):
    """Serves HTTP at `listen` behind accept-proxy; `reply` is a log-format string."""
    return Haproxy(folder, listen, f"frontend in\n    bind {listen} accept-proxy\n"
                                   f"    http-request return status 200 content-type "
                                   f"text/plain lf-string \"{reply}\"\n", mode="http")
