"""What the system says: CPU time and memory of process trees, and what machine this is."""

import os
import platform
import re
import resource
import subprocess
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def tree(root):
    """The pids of `root` and all its descendants."""
    parents = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            stat = _stat(int(entry.name))
            if stat:
                parents.setdefault(int(stat[1]), []).append(int(entry.name))
    found = [root]
    for pid in found:
        found += parents.get(pid, [])
    return found


def cpu_seconds(root):
    """User and system time of the tree, with that of children it has reaped."""
    total = 0
    for pid in tree(root):
        stat = _stat(pid)
        if stat:
            total += sum(int(value) for value in stat[11:15])
    return total / TICK


def _stat(pid):
    """The fields of /proc/PID/stat from the state (index 0) on; None: it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def settled_cpu(root, still=0.15, most=5.0):
    """`cpu_seconds` once the tree has had nothing to do for a moment."""
    end = time.monotonic() + most
    last = cpu_seconds(root)
    while time.monotonic() < end:
        time.sleep(still)
        now = cpu_seconds(root)
        if now - last < 1.5 / TICK:
            return now
        last = now
    return last


def pss_bytes(root):
    """Memory of the tree, shared pages divided among those who share them."""
    total = 0
    for pid in tree(root):
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        total += int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1]) * 1024
    return total


def kernel_bytes():
    """The kernel's memory for all sockets and files: slabs and TCP buffers."""
    slab = re.search(r"^Slab:\s+(\d+)", Path("/proc/meminfo").read_text(), re.M)[1]
    pages = re.search(r"^TCP:.* mem (\d+)", Path("/proc/net/sockstat").read_text(), re.M)[1]
    return int(slab) * 1024 + int(pages) * PAGE


def on_core(core):
    """For Popen's preexec_fn: pins the process and what it starts, with room for sockets."""
    def prepare():
        os.sched_setaffinity(0, {core})
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))

    return prepare


def describe(programs):
    """Machine, kernel, date, and the version that each program says it has."""
    cpu = re.search(r"^model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text(), re.M)
    return {
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "versions": {name: _version(name, command) for name, command in programs.items()},
    }


def _version(name, command):
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(rf"{name}\S*(?: version)?[ /](\d\S*)", result.stdout + result.stderr, re.I)
    return found[1] if found else "?"
