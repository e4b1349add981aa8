"""Each role's sandbox, tried from inside, and what becomes of Pawl where a part is missing."""

import ctypes
import os
import pwd
import shutil
import signal

import pytest
from harness import procfs
from harness.backends import echo, http
from harness.certs import Certificate
from harness.env import SANITIZED
from harness.http import HttpClient
from harness.pawl import Pawl
from harness.ports import free_address, split_address

pytestmark = pytest.mark.skipif(SANITIZED, reason="the sanitizers need what this denies")
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

# What is not executed at all, whoever asks for it.
KILLED = {"unlink_file", "bind_tcp", "execute", "fork_process", "new_thread",
          "trace_master", "read_keyholder", "take_descriptor", "signal_master", "map_code",
          "socket_netlink", "socket_packet", "socket_raw", "socket_udp", "become_root",
          "mount_nothing", "change_root", "new_namespace", "load_bpf", "count_events",
          "ring_of_calls", "handle_faults", "use_keyring", "open_handle", "watch_files",
          "load_module", "change_personality", "change_mode"}
# What libraries try as well, and is refused.
REFUSED = {"open_passwd": "EACCES", "open_key": "EACCES", "open_keyholder_memory": "EACCES",
           "list_root": "EACCES", "create_file": "EACCES", "become_traceable": "EINVAL",
           "type_into_terminal": "ENOTTY"}
# What Landlock, the user and the limits refuse by themselves.
WITHOUT_SECCOMP = {"open_passwd": "EACCES", "open_key": "EACCES", "list_root": "EACCES",
                   "open_keyholder_memory": "EACCES", "create_file": "EACCES",
                   "execute": "EACCES", "trace_master": "EPERM", "read_keyholder": "EPERM",
                   "take_descriptor": "EPERM", "socket_packet": "EPERM",
                   "socket_raw": "EPERM", "become_root": "EPERM", "change_root": "EPERM",
                   "change_mode": "EPERM", "fork_process": "EAGAIN"}
ABI_TCP, ABI_SCOPES = 4, 6


# The kernel's version of Landlock; below 1 it has none.
ABI = ctypes.CDLL(None).syscall(444, None, 0, 1)


@pytest.fixture
def probed(folder, pawl, serve, tool, app_cert):
    """Starts pawl-probe and returns what became of each action in the role."""
    def start(role, mode="inside", profile=None, allowed=None, **keys):
        backend = serve(http)
        port = split_address(backend.address)[1]
        write_probe(folder, f"{mode} {role} {app_cert.key} {port} {profile or role}")
        proxy = pawl(backend, binary=tool("pawl-probe"), **keys)
        if allowed:
            proxy.expect_log(allowed)
        (folder / "probe").unlink()
        lines = proxy.log.find("probe action=", role=f"{role} 0")
        return {line["action"]: line["outcome"] for line in lines}

    return start


def write_probe(folder, text):
    (folder / "probe").write_text(text + "\n")


def expected(profile):
    outcomes = {**dict.fromkeys(KILLED, "SIGSYS"), **REFUSED}
    outcomes["connect_tcp"] = "done" if profile == "worker" else "SIGSYS"
    return outcomes


@pytest.mark.parametrize("profile", ["worker", "keyholder", "admin", "demo-app"])
def test_every_forbidden_action_is_denied(probed, profile):
    """Profiles of roles that this configuration does not have are tried in a keyholder."""
    role = profile if profile in ("worker", "keyholder") else "keyholder"
    assert probed(role, profile=profile) == expected(profile)


def test_the_resolver_reads_settings_and_asks_and_that_is_all(probed):
    assert probed("keyholder", profile="resolver") == {
        **expected("keyholder"),
        "open_passwd": "done",  # it is in /etc, with what names are found with
        "connect_tcp": "done", "socket_udp": "done", "socket_netlink": "EAFNOSUPPORT",
        "new_thread": "ENOSYS",  # by clone3, after which the C library takes clone
        "create_file": "SIGSYS"}


@AS_ROOT
def test_outside_the_same_actions_work(probed):
    outcomes = probed("worker", mode="outside")
    assert outcomes.keys() == expected("worker").keys()
    for action in ("open_passwd", "open_key", "open_keyholder_memory", "list_root",
                   "create_file", "unlink_file", "connect_tcp", "bind_tcp", "execute",
                   "fork_process", "trace_master", "read_keyholder", "take_descriptor",
                   "signal_master", "map_code", "socket_netlink", "socket_udp",
                   "become_root", "change_root", "become_traceable", "change_personality"):
        assert outcomes[action] == "done", action
    assert "SIGSYS" not in outcomes.values()


def without(*parts):
    return {"proxy": {"unsafe_without": list(parts)}}


@AS_ROOT
@pytest.mark.skipif(ABI < 1, reason="this kernel has no Landlock")
@pytest.mark.parametrize("role", ["worker", "keyholder"])
def test_landlock_and_the_user_alone_deny_files_and_the_network(probed, tool, role):
    outcomes = probed(role, wrapper=[tool("lacking"), "seccomp", "--"],
                      extra=without("seccomp"), allowed="seccomp is missing")
    wanted = dict(WITHOUT_SECCOMP)
    if ABI >= ABI_TCP:
        wanted["bind_tcp"] = "EACCES"
        wanted["connect_tcp"] = "done" if role == "worker" else "EACCES"
    if ABI >= ABI_SCOPES:
        wanted["signal_master"] = "EPERM"
    assert {action: outcomes[action] for action in wanted} == wanted


@AS_ROOT
def test_seccomp_alone_denies_all_the_same(probed, tool):
    outcomes = probed("worker", wrapper=[tool("lacking"), "landlock", "--"],
                      extra=without("landlock"), allowed="landlock is missing")
    assert outcomes == expected("worker")


PARTS = {"seccomp": r"cannot filter system calls by seccomp: Invalid argument",
         "landlock": r"the kernel offers no Landlock: Function not implemented"}


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_part_refuses_the_start(pawl, serve, tool, part):
    proxy = pawl(serve(http), ready=False, wrapper=[tool("lacking"), part, "--"],
                 workers=2)
    proxy.expect_log(rf'proxy\.ini: {PARTS[part]}; "unsafe_without = {part}" in \[proxy\]')
    proxy.allow_log("not started")
    proxy.listen = []
    assert proxy.wait_exit() == 1
    assert len(proxy.log.find(PARTS[part])) == 1, "each process says the same"


@pytest.mark.parametrize("part", PARTS)
def test_a_missing_part_that_is_named_is_a_warning(pawl, serve, tool, part):
    proxy = pawl(serve(http), wrapper=[tool("lacking"), part, "--"], workers=2,
                 extra=without("seccomp", "landlock"))
    proxy.expect_log(rf"the sandbox is not whole, as unsafe_without allows: {part} is "
                     rf"missing \({PARTS[part]}\)")
    assert len(proxy.log.find("the sandbox is not whole")) == 1
    assert HttpClient(proxy.connect()).request().status == 200
    seccomp = "0" if part == "seccomp" else "2"
    for pid in proxy.roles().values():
        # The tool's own filter is there in any case.
        assert int(procfs.status_of(pid)["Seccomp_filters"]) == 1 + int(seccomp) // 2


def test_dev_names_it_on_the_command_line(folder, running, serve, tool):
    def start(*options):
        proxy = Pawl(folder, ["dev", serve(http).address, "--listen", listen, *options],
                     [listen], {"XDG_STATE_HOME": str(folder), "HOME": str(folder)})
        proxy.wrapper = [tool("lacking"), "landlock", "--"]
        return running(proxy)

    listen = free_address()
    refused = start()
    refused.expect_log(r"\(pawl dev\): .*--unsafe-without landlock\)")
    refused.allow_log("not started")
    assert refused.wait_exit() == 1
    allowed = start("--unsafe-without", "landlock").wait_ready()
    allowed.expect_log("the sandbox is not whole")
    assert HttpClient(allowed.connect("localhost")).request().status == 200


def test_naming_another_part_does_not_help(pawl, serve, tool):
    proxy = pawl(serve(http), ready=False, wrapper=[tool("lacking"), "landlock", "--"],
                 extra=without("seccomp"))
    proxy.expect_log(r'proxy\.ini:\d+: .*"unsafe_without = landlock"')
    proxy.allow_log("not started")
    proxy.listen = []
    assert proxy.wait_exit() == 1


def test_a_part_that_is_named_and_there_applies(pawl, serve):
    proxy = pawl(serve(http), extra=without("user", "landlock", "seccomp"))
    for pid in proxy.roles().values():
        assert procfs.status_of(pid)["Seccomp"] == "2"


def test_a_reload_does_not_change_what_may_be_missing(pawl, serve):
    proxy = pawl(serve(http), extra=without("seccomp"))
    del proxy.sections["proxy"]["unsafe_without"]
    assert any("unsafe_without would change" in line for line in proxy.reload_refused())


@pytest.mark.parametrize("role", ["worker", "keyholder"])
def test_a_role_that_does_what_it_may_not_is_killed_and_the_log_says_why(
        folder, pawl, serve, tool, role):
    proxy = pawl(serve(http), binary=tool("pawl-probe"))
    proxy.expect_log(rf"master: {role} 0 was killed by signal 9")
    proxy.expect_log(rf"master: {role} 0 used a system call it is not allowed, execve "
                     rf"\(\d+\), and was killed; a new one is started")
    proxy.allow_log("cannot be told anything")
    write_probe(folder, f"die {role} - 0 -")
    os.kill(proxy.role(f"{role} 0"), signal.SIGKILL)
    proxy.log.wait_for("used a system call it is not allowed")
    (folder / "probe").unlink()
    proxy.log.wait_for(f"{role} 0 serves again")
    assert HttpClient(proxy.connect()).request().status == 200


def test_the_log_says_for_people_what_confines_each_role(pawl, serve):
    proxy = pawl(serve(http), extra={"log": {"level": "debug"}})
    for title, pid in proxy.roles().items():
        uid = procfs.status_of(pid)["Uid"].split()[0]
        assert proxy.log.find(rf"master: {title} is confined: user {uid}, no capabilities, no "
                              rf"new privileges, .*, Landlock \(version {ABI}\), seccomp$")


def test_limits_of_roles(pawl, serve):
    proxy = pawl(serve(http))
    for title, pid in proxy.roles().items():
        assert procfs.status_of(pid)["Seccomp"] == "2"
        assert procfs.soft_limit(pid, "Max processes") == "0"
        if title.startswith("keyholder"):
            assert procfs.soft_limit(pid, "Max open files") == "64"


@AS_ROOT
def test_an_ordinary_user_in_a_container_and_a_backend_anywhere(pawl, serve, folder, app_cert):
    """The master is not root, nor may it become anybody; the backend's socket lies in a
    directory of its own with an odd name."""
    nobody = pwd.getpwnam("nobody")
    copy = Certificate(app_cert.name, folder / "own.pem", folder / "own.key")
    shutil.copy(app_cert.chain, copy.chain)
    shutil.copy(app_cert.key, copy.key)
    os.chown(copy.key, nobody.pw_uid, nobody.pw_gid)
    odd = folder / "döt.d" / "x+y"
    odd.mkdir(parents=True)
    backend = serve(echo, f"unix:{odd}/s")
    os.chmod(odd / "s", 0o666)
    drop = ["setpriv", "--reuid=nobody", f"--regid={nobody.pw_gid}", "--clear-groups",
            "--bounding-set=-all", "--no-new-privs"]
    proxy = pawl(backend, certificates=[copy], wrapper=drop,
                 extra={"proxy": {"control": "off"}})
    for pid in proxy.processes():
        assert procfs.status_of(pid)["Uid"].split()[0] == str(nobody.pw_uid)
    for pid in proxy.roles().values():
        assert procfs.status_of(pid)["Seccomp"] == "2"
    client = proxy.connect()
    client.send(b"through")
    assert client.recv_exactly(7) == b"through"
    proxy.reload()
    client = proxy.connect()
    client.send(b"again")
    assert client.recv_exactly(5) == b"again"


def test_a_backend_with_an_abstract_address(pawl, serve):
    backend = serve(echo, f"unix:@pawl-sandbox-{os.getpid()}")
    client = pawl(backend).connect()
    client.send(b"through")
    assert client.recv_exactly(7) == b"through"


@AS_ROOT
def test_root_that_may_become_nobody_is_refused_or_stays(pawl, serve, folder):
    """As in a container without CAP_SETUID."""
    drop = ["setpriv", "--bounding-set=-setuid,-setgid", "--inh-caps=-setuid,-setgid"]
    proxy = pawl(serve(http), ready=False, wrapper=drop)
    proxy.expect_log(r'cannot leave the supplementary groups: Operation not permitted; '
                     r'"unsafe_without = user"')
    proxy.allow_log("not started")
    proxy.listen = []
    assert proxy.wait_exit() == 1


@AS_ROOT
def test_root_that_may_become_nobody_stays_if_allowed(pawl, serve):
    drop = ["setpriv", "--bounding-set=-setuid,-setgid", "--inh-caps=-setuid,-setgid"]
    proxy = pawl(serve(http), wrapper=drop, extra=without("user"))
    proxy.expect_log(r"the sandbox is not whole, as unsafe_without allows: user is missing")
    assert HttpClient(proxy.connect()).request().status == 200
    for pid in proxy.roles().values():
        status = procfs.status_of(pid)
        assert int(status["CapEff"], 16) == 0 and status["Seccomp"] == "2"
