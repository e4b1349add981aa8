"""Processes as /proc shows them."""

import os
import socket
import sys
from pathlib import Path


def parent_of(pid):
    """The parent's pid, or None when `pid` is gone."""
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def state_of(pid):
    """'R', 'S', 'T', 'Z', ... or None when `pid` is gone."""
    fields = _stat(pid)
    return fields[0] if fields else None


def is_running(pid):
    return state_of(pid) not in (None, "Z", "X")


def children_of(pid):
    return [child for child in all_pids() if parent_of(child) == pid]


def descendants_of(pid):
    found = []
    for child in children_of(pid):
        found += [child, *descendants_of(child)]
    return found


def arguments_of(pid):
    """The command line as a list; empty for a zombie or a process that is gone."""
    try:
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return []
    return [part.decode(errors="replace") for part in line.split(b"\0")[:-1]]


def status_of(pid):
    """/proc/PID/status as a dict of strings."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def rss_bytes(pid):
    return int(status_of(pid)["VmRSS"].split()[0]) * 1024


def soft_limit(pid, name):
    """The soft value of a resource limit, such as 'Max core file size', as text."""
    for line in Path(f"/proc/{pid}/limits").read_text().splitlines():
        if line.startswith(name):
            return line[len(name):].split()[0]
    raise KeyError(name)


def open_files(pid):
    """What each descriptor of the process refers to."""
    folder = Path(f"/proc/{pid}/fd")
    return {int(entry.name): os.readlink(entry) for entry in folder.iterdir()}


def cpu_seconds(pid):
    fields = _stat(pid)
    ticks = int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def pss_bytes(pid):
    """Memory with shared pages divided among those that share them."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise KeyError("Pss")


def tcp_peers_of(pid, port):
    """The far ends, as HOST:PORT, of the process's IPv4 connections at its own `port`."""
    links = open_files(pid).values()
    own = {link[len("socket:["):-1] for link in links if link.startswith("socket:[")}
    peers = set()
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        _, local, peer, state, _, _, _, _, _, inode, *_ = line.split()
        if inode in own and state != "0A" and int(local.split(":")[1], 16) == port:
            host, number = peer.split(":")
            packed = int(host, 16).to_bytes(4, sys.byteorder)
            peers.add(f"{socket.inet_ntoa(packed)}:{int(number, 16)}")
    return peers


def _stat(pid):
    """The fields after the command name, which may itself hold blanks and brackets."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    return text.rpartition(")")[2].split()


def all_pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]
