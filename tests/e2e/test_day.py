"""A day in the life of a Pawl: all that happens to it in months, in minutes and under load.

Clients come and go without a pause, some sessions last all day and wrk asks as well, while
certificates, configurations, keyholders, workers, a backend, the log's reader and the
descriptors change, fail and come back.  At the end Pawl drains.

What is promised, exactly:
- No request fails and no session ends early; each ends with close_notify on both sides.
- The one exception is a worker killed by SIGKILL, whose connections nothing can keep.  The
  worker is stopped first, and the kernel says which connections it has; those may break, all
  of them and no other.  Clients that wait in its queue are served by the worker that
  replaces it.  wrk, which cannot say which of its connections failed, rests meanwhile.
- A keyholder killed by SIGKILL costs nothing at all.
- Clients of a backend that is away wait and are then served.  This backend is one of its
  own, which ends as backends should: it finishes what it has accepted.
- While descriptors are short, new clients wait; nobody is refused.
- A log that nobody reads costs lines, never time; how many is told.
- Memory, descriptors and processes at the end are those of the start.
- /metrics, `pawl status` and the log tell what the clients did.  A killed worker may take one
  connection that it had accepted but not counted with it; what connections do that were there
  before an upgrade, from its beginning on, is in the log, but not in the figures.

`make soak` repeats all this in a random order for SOAK_SECONDS.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time

import pytest
from harness import binary, hello, procfs
from harness.admin import Admin, total
from harness.backends import echo, http
from harness.certs import Certificate
from harness.crowd import ANSWER, Crowd, Ledger, Resident, Wrk, ends_of
from harness.env import SANITIZED, SOAK_SECONDS, SOAK_SEED, TEST_SECONDS
from harness.figures import Watcher, holdings
from harness.pawl import command
from harness.ports import free_address, split_address
from harness.tls import TlsClient, client_context
from harness.wait import wait_unchanged, wait_until

WORKERS = 2
RESIDENTS = 4
KEPT, FRESH, AWAY, WRK = 4, 3, 2, 4
CLIENTS = RESIDENTS + KEPT + FRESH + AWAY + WRK  # at any time
GROWTH_MAX = 1 << 20  # bytes for each process

# How long a wait of the day may take: machines that run tests are busy.
PATIENT = 60


class Day:
    """A Pawl, those who use it, and what is done to them."""

    def __init__(self, proxy, admin, backends, certificates):
        self.proxy, self.admin = proxy, admin
        self.away = backends["away"]
        self.renewals, self.certificate = certificates
        self.addresses = {name: proxy.sections[f"listener {name}"]["address"]
                          for name in ("web", "echo", "away")}
        self.ledger = Ledger()
        self.done = {}  # what was done -> how often
        self.victims = 0  # connections of workers that were killed
        self.hogs = 0  # connections that never were to become a session
        self.residents = [self.resident() for _ in range(RESIDENTS)]
        self.crowds = [Crowd(self.ledger, self.addresses["web"], KEPT, FRESH),
                       Crowd(self.ledger, self.addresses["away"], fresh=AWAY)]

    def resident(self):
        return Resident(self.ledger, self.addresses["echo"])

    def note(self, what):
        self.done[what] = self.done.get(what, 0) + 1

    def go_on(self):
        """Waits until everybody has been served some more."""
        for crowd in self.crowds:
            crowd.wait_progress()
        lines = [resident.lines for resident in self.residents]
        wait_until(lambda: all(now.lines > then for now, then in zip(self.residents, lines)),
                   "long sessions to go on", PATIENT)

    def check_unbroken(self):
        broken = self.ledger.take_broken()
        lines = [line.raw for one in broken
                 for line in self.proxy.log.find("closed|failed", client="".join(one.ends[:1]))]
        assert not broken, "\n".join([*map(str, broken), *lines])

    # --- What happens.

    def renew_certificate(self):
        """The files are replaced; clients get the new one without anybody being told."""
        new = self.renewals[0]
        self.renewals.append(self.renewals.pop(0))
        shutil.copy(new.chain, self.certificate.chain)
        shutil.copy(new.key, self.certificate.key)
        wait_until(lambda: self.served() == new.der, "the new certificate", PATIENT)
        self.note("renewals")

    def served(self):
        with TlsClient(self.addresses["echo"], client_context()) as client:
            self.ledger.count(opened=1)
            client.handshake()
            client.close_notify()
            assert client.recv_all() == b""
            return client.certificate

    def reload(self):
        """A good configuration with a listener more, and one without it again."""
        added = free_address()
        self.proxy.sections["listener added"] = {"address": added, "backend": "app"}
        self.proxy.reload()
        del self.proxy.sections["listener added"]
        self.proxy.reload()
        self.done["reloads"] = self.done.get("reloads", 0) + 2

    def reload_badly(self):
        """Nonsense, and a port that is taken."""
        self.proxy.reload_refused("[listener web]\naddress = nowhere\n[what]\n")
        taken = self.proxy.sections["backend echo"]["address"]
        self.proxy.sections["listener added"] = {"address": taken, "backend": "app"}
        self.proxy.reload_refused()
        del self.proxy.sections["listener added"]
        self.proxy.write_config()
        self.done["bad reloads"] = self.done.get("bad reloads", 0) + 2

    def kill_keyholders(self):
        for number in range(WORKERS):
            mark = self.proxy.log.mark()
            os.kill(self.pid_of("keyholder", number), signal.SIGKILL)
            self.proxy.log.wait_for(f"keyholder {number} serves again", after=mark,
                                    seconds=PATIENT)
            self.note(f"keyholder {number}")
            self.go_on()

    def kill_workers(self):
        for number in range(WORKERS):
            self.check_unbroken()
            self.kill_worker(number)
            self.go_on()

    def kill_worker(self, number):
        mark = self.proxy.log.mark()
        pid = self.pid_of("worker", number)
        listed = {ends_of(row["client"], self.addresses[row["listener"]])
                  for row in self.sessions() if row["worker"] == number}
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: procfs.state_of(pid) == "T", "the worker to stop")
        victims = listed | self.connections_of(pid)
        os.kill(pid, signal.SIGKILL)
        self.proxy.log.wait_for(f"worker {number} serves again", after=mark, seconds=PATIENT)
        self.note(f"worker {number}")
        self.ledger.wait_noticed(victims)
        self.victims += len(victims)
        innocent = [one for one in self.ledger.take_broken() if one.ends not in victims]
        assert not innocent, (innocent, victims)

    def connections_of(self, pid):
        """Those of a stopped process, as the kernel lists them.  It may leave one out while
        others come and go: it is asked several times."""
        return {ends_of(peer, address) for address in [*self.addresses.values()] * 3
                for peer in procfs.tcp_peers_of(pid, split_address(address)[1])}

    def restart_backend(self):
        """Whoever comes while it is away waits for it."""
        retries = self.figure("backend_retries_total", backend="away")
        self.away.retire()
        wait_until(lambda: self.figure("backend_retries_total", backend="away") > retries,
                   "clients that wait for the backend", PATIENT)
        self.away.start()
        self.crowds[1].wait_progress()
        self.note("backend restarts")

    def block_log(self):
        """More lines than the pipe holds, from every worker."""
        mark = self.proxy.log.mark()
        with self.proxy.log.unread():
            self.crowds[0].wait_progress(50)
        for number in range(WORKERS):
            self.proxy.log.wait_for("lines were lost", after=mark, seconds=PATIENT,
                                    role=f"worker {number}")
        self.note("blocked logs")

    def exhaust_descriptors(self):
        """Every worker runs out; who comes then waits until there are some again."""
        pids = [self.pid_of("worker", number) for number in range(WORKERS)]
        limits = {pid: procfs.soft_limit(pid, "Max open files") for pid in pids}
        pauses = self.figure("accept_pauses_total")
        with contextlib.ExitStack() as hogs:
            for pid in limits:
                limit_files(pid, max(map(int, os.listdir(f"/proc/{pid}/fd"))) + 4)
            for _ in range(24 * WORKERS):
                hogs.enter_context(self.hog())
            wait_until(lambda: self.figure("accept_pauses_total") >= pauses + 5 * WORKERS,
                       "accepting to pause", PATIENT)
        for pid, limit in limits.items():
            limit_files(pid, limit)
        self.note("shortages")

    def hog(self):
        """A connection with half a ClientHello."""
        sock = socket.create_connection(split_address(self.addresses["web"]),
                                        source_address=("127.0.0.9", 0))
        sock.sendall(hello.Hello().record()[:50])
        self.ledger.count(opened=1)
        self.hogs += 1
        return sock

    def upgrade(self):
        """Twice; sessions stay where they are, in processes that end with the last one."""
        for _ in range(2):
            number = self.done.get("upgrades", 0) + 1
            version = f"0.1.{number % 10}".encode()
            binary.install(self.proxy.binary, version)
            mark = self.proxy.log.mark()
            self.proxy.signal(signal.SIGUSR2)
            self.proxy.log.wait_for(f"upgraded: this is pawl {version.decode()}", after=mark,
                                    seconds=PATIENT)
            self.note("upgrades")
            self.go_on()

    def leave_old_processes(self):
        """All long sessions begin anew: the processes from before upgrades can end."""
        for _ in range(RESIDENTS):
            self.change_resident()
        wait_until(lambda: set(procfs.descendants_of(self.proxy.pid)) ==
                   set(self.proxy.roles().values()),
                   "the processes from before the upgrade to end", PATIENT)

    def change_resident(self):
        """The one who has been there longest leaves, another comes."""
        self.residents.pop(0).leave()
        self.residents.append(self.resident().start())
        self.note("residents replaced")

    # --- What Pawl says.

    def figure(self, name, **labels):
        return total(self.admin.metrics(), name, **labels)

    def status(self):
        return json.loads(self.ask("status"))

    def sessions(self):
        """Those of the processes in service."""
        return json.loads(self.ask("sessions"))["sessions"]

    def pid_of(self, role, number):
        """That of the one in service: some from before an upgrade may still be there."""
        for process in self.status()["processes"]:
            if (process["role"], process["index"]) == (role, number):
                return process["pid"]
        raise AssertionError(f"there is no {role} {number}")

    def ask(self, name):
        done = command(name, "--json", "-c", self.proxy.config_file)
        assert done.returncode == 0, done.stderr
        return done.stdout


def limit_files(pid, count):
    """Sets the soft limit of another process, which its own user may do and root may not."""
    uid, gid = (procfs.status_of(pid)[name].split()[0] for name in ("Uid", "Gid"))
    as_user = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
    subprocess.run([*as_user, "prlimit", f"--pid={pid}", f"--nofile={count}:"], check=True)


@pytest.fixture
def day(pawl, serve, folder, authority, app_cert):
    """A Pawl with three listeners and two workers, and nobody yet."""
    versions = [authority.leaf(f"day{number}", ["app.example"]) for number in range(2)]
    own = Certificate("main", folder / "cert.pem", folder / "key.pem")
    shutil.copy(app_cert.chain, own.chain)
    shutil.copy(app_cert.key, own.key)
    backends = {"app": serve(http), "echo": serve(echo),
                "away": serve(http, address=f"unix:{folder}/away.sock")}
    listeners = {f"listener {name}": {"address": free_address(), "backend": name}
                 for name in ("echo", "away")}
    admin = free_address()
    program = binary.install(folder / "pawl", binary.VERSION)
    proxy = pawl(backends["app"], workers=WORKERS, certificates=[own], binary=program, extra={
        "listener web": {"backend": "app"}, **listeners,
        "backend app": {"wait": "10s"},
        "backend echo": {"address": backends["echo"].address, "wait": "10s"},
        "backend away": {"address": backends["away"].address, "wait": "10s"},
        "limits": {"drain_timeout": "1h"}, "log": {"repeat_limit": 0},
        "admin": {"address": admin}})
    proxy.listen += [keys["address"] for keys in listeners.values()]
    proxy.allow_log(r"was killed by signal 9|accepting pauses|lines were lost")
    proxy.allow_log(r'certificate "main": .*stays until it is right')
    proxy.skip_unless_inspectable()
    living = Day(proxy, Admin(admin), backends, (versions, own))
    yield living
    if proxy.is_running():  # a failed test must not wait for those who stay all day
        proxy.interrupt()
        proxy.wait_exit()


def phases_of(day):
    """Each as (function, whether wrk takes part)."""
    return [(day.renew_certificate, True), (day.reload, True), (day.reload_badly, True),
            (day.kill_keyholders, True), (day.kill_workers, False),
            (day.restart_backend, True), (day.block_log, True),
            (day.exhaust_descriptors, True), (day.upgrade, True),
            (day.change_resident, True)]


def live_through(day, phase, with_wrk):
    """One phase; afterwards everybody has gone on and nobody has a complaint."""
    wrk = Wrk(day.ledger, day.addresses["web"], day.proxy.folder, WRK)
    with wrk if with_wrk else contextlib.nullcontext():
        started = time.monotonic()
        phase()
        took = time.monotonic() - started
        day.go_on()
    print(f"{phase.__name__}: {took:.1f} s")
    day.check_unbroken()


def test_day(day):
    signal.alarm(3 * TEST_SECONDS)  # it is many tests in one
    seed = SOAK_SEED or str(random.randrange(1 << 32))
    chance = random.Random(seed)
    print(f"SOAK_SEED={seed}")
    before = warm_up(day)
    watcher = Watcher(day.admin).start()
    for crowd in day.crowds:
        crowd.start()
    end = time.monotonic() + SOAK_SECONDS
    while True:
        phases = phases_of(day)
        if SOAK_SECONDS:
            chance.shuffle(phases)
        for phase, with_wrk in phases:
            live_through(day, phase, with_wrk)
            if SOAK_SECONDS:
                time.sleep(chance.uniform(0, 2))  # a pause of the day, not a wait
        day.note("rounds")
        if time.monotonic() >= end:
            break
    for crowd in day.crowds:
        crowd.stop()
    day.check_unbroken()
    watcher.stop()
    assert not watcher.faults and watcher.samples > 1, watcher.faults
    day.leave_old_processes()
    agree(day)
    after = compare_holdings(day, before)
    drain(day)
    print(f"{day.ledger.requests} requests on {day.ledger.opened} connections, "
          f"{day.done}, before {before}, after {after}")


def warm_up(day):
    """What the processes hold once each has done what it does, with the residents there."""
    crowd = Crowd(day.ledger, day.addresses["web"], kept=6, fresh=6, pause=0).start()
    crowd.wait_progress(20)
    crowd.stop()
    day.reload()
    day.reload_badly()
    for resident in day.residents:
        resident.start()
    day.check_unbroken()
    wait_quiet(day)
    wait_unchanged(lambda: [figures[2] for figures in holdings(day.proxy).values()],
                   "descriptors to be counted")
    return holdings(day.proxy)


def wait_quiet(day):
    """Until nobody but the residents is there."""
    wait_until(lambda: len(day.sessions()) == RESIDENTS,
               "all but the long sessions to be over", PATIENT)


def agree(day):
    """/metrics, the two commands and the log are compared with what happened."""
    wait_quiet(day)
    assert {row["client"] for row in day.sessions()} == {one.client for one in day.residents}
    agree_connections(day)
    agree_events(day)
    wait_until(lambda: day.status()["figures"] == day.admin.status()["figures"],
               "`pawl status` and /status to say the same")


def kills(day, kind):
    return sum(day.done.get(f"{kind} {number}", 0) for number in range(WORKERS))


def agree_connections(day):
    """Figures are exact but for `uncounted` and for who was there at an upgrade."""
    metrics = day.admin.metrics()
    opened, uncounted = day.ledger.opened, kills(day, "worker")
    adrift = day.done["upgrades"] * CLIENTS
    accepted = total(metrics, "connections_accepted_total")
    assert opened - uncounted - adrift <= accepted <= opened
    good = total(metrics, "handshakes_total")
    failed = total(metrics, "handshakes_failed_total")
    assert failed == day.hogs + day.ledger.probes
    assert accepted - day.victims - adrift <= good + failed <= accepted
    ended = total(metrics, "sessions_ended_total")
    assert good - day.victims - adrift <= ended + RESIDENTS <= good
    assert total(metrics, "sessions") == RESIDENTS
    least = ANSWER * (sum(crowd.answers for crowd in day.crowds) - day.victims)
    assert total(metrics, "sent_bytes_total") >= least - adrift * 100 * ANSWER
    assert total(metrics, "connections_refused_total") == 0
    lines = len(day.proxy.log.find("session closed"))
    lost = sum(int(line["lost"]) for line in day.proxy.log.find("lines were lost"))
    assert opened - failed - day.victims <= lines + lost + RESIDENTS <= opened - failed


def agree_events(day):
    metrics = day.admin.metrics()
    done = day.done
    good = 1 + done["reloads"] + done["upgrades"]
    assert total(metrics, "config_reloads_total", result="accepted") == good
    assert total(metrics, "config_reloads_total", result="refused") == done["bad reloads"]
    assert total(metrics, "certificate_renewals_total", result="accepted") == done["renewals"]
    for kind in ("worker", "keyholder"):
        for number in range(WORKERS):
            title = f"{kind} {number}"
            assert total(metrics, "process_restarts_total", process=title) == done[title]
    assert total(metrics, "process_restarts_total", process="admin 0") == 0
    assert total(metrics, "process_up") == 2 * WORKERS + 1


def compare_holdings(day, before):
    """Processes and descriptors are the same, and memory is, within the bound."""
    def counts(found):
        return {kind: (figures[0], figures[2]) for kind, figures in found.items()}

    # Who has just asked for figures may not have been hung up on yet.
    wait_until(lambda: counts(holdings(day.proxy)) == counts(before),
               f"the descriptors of the start: {before}; now {holdings(day.proxy)}")
    after = holdings(day.proxy)
    for kind, (count, size, _) in before.items():
        assert SANITIZED or after[kind][1] - size <= GROWTH_MAX * count, (before, after)
    return after


def drain(day):
    """TERM: who is connected is served, who comes later is refused, and all ends in order."""
    comers = Crowd(day.ledger, day.addresses["web"], fresh=FRESH).start()
    comers.expect_refusal()
    day.proxy.sections["limits"]["drain_timeout"] = "2s"
    day.proxy.reload()
    day.proxy.allow_log("drain_timeout is over")
    for resident in day.residents:
        resident.expect_end()
    day.proxy.drain()
    comers.wait_refused()
    for resident in day.residents:
        resident.wait_end()
    assert day.ledger.ends_by_pawl == RESIDENTS
    day.check_unbroken()
    assert day.proxy.wait_exit(PATIENT) == 0
