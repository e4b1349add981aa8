"""The control socket and the commands that use it, as its operators and others do."""

import json
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest
from harness import procfs, settings
from harness.backends import echo, http
from harness.env import BINARY
from harness.hello import Hello
from harness.load import Load
from harness.pawl import Pawl, command
from harness.ports import free_address
from harness.tls import tcp
from harness.wait import wait_until

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


def ask(proxy, name, *options, **keys):
    """Runs a command against this Pawl."""
    done = command(name, *options, "-c", proxy.config_file, **keys)
    assert "Sanitizer" not in done.stderr, done.stderr
    return done


def answer(proxy, name, *options):
    """The same, and it has to succeed."""
    done = ask(proxy, name, *options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def control(proxy):
    return proxy.folder / "control.sock"


def connect(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20)
    sock.connect(str(path))
    return sock


def read_all(sock):
    data = b""
    while part := sock.recv(65536):
        data += part
    return data.decode()


def talk(path, request):
    """What a person sees who types the request."""
    with connect(path) as sock:
        sock.sendall(request)
        return read_all(sock).splitlines()


def sessions(proxy, *options):
    return json.loads(answer(proxy, "sessions", "--json", *options))


def spawn(proxy, *arguments):
    return subprocess.Popen([BINARY, *arguments, "-c", proxy.config_file],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


# --- The socket


def test_the_socket_is_for_its_owner_and_goes_with_pawl(pawl, serve):
    proxy = pawl(serve(echo))
    status = control(proxy).stat()
    assert stat.S_ISSOCK(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o600
    proxy.drain()
    assert proxy.wait_exit() == 0
    assert not control(proxy).exists()


def test_the_protocol_can_be_spoken_by_hand(pawl, serve):
    proxy = pawl(serve(echo))
    lines = talk(control(proxy), b"status\r\n")
    assert re.fullmatch(r"pawl 1 \S+", lines[0])
    assert lines[-1] == "=0"
    assert all(line.startswith("+") for line in lines[1:-1])
    assert "serving" in lines[1]


@pytest.mark.parametrize("request_bytes, words", [
    (b"\n", "empty"), (b"nonsense\n", "there is no request"),
    (b"status please\n", "does not understand"), (b"sta\0tus\n", "printable ASCII"),
    (b"\xff\xfe\n", "printable ASCII"), (b"a" * 256, "at most 256 bytes"),
    (b"status\x1b[2J\n", "printable ASCII"), (b"sessions 0\n", "does not understand"),
    (b"sessions 10001\n", "does not understand"), (b"log\n", "error, warning, info"),
    (b"stop " + b"x " * 100 + b"\n", "at most 4 words"),
])
def test_nonsense_gets_a_sentence(pawl, serve, request_bytes, words):
    proxy = pawl(serve(echo))
    lines = talk(control(proxy), request_bytes)
    assert lines[-1] == "=2"
    assert lines[-2].startswith("-") and words in lines[-2]


def test_what_follows_the_request_is_not_read(pawl, serve):
    proxy = pawl(serve(echo))
    with connect(control(proxy)) as sock:
        sock.sendall(b"log info\nstop now\n" + b"x" * 100000)
        assert read_all(sock).endswith("=0\n")
    assert answer(proxy, "status")


def test_those_who_say_nothing_keep_nobody_out(pawl, serve):
    proxy = pawl(serve(echo))
    silent = [connect(control(proxy)) for _ in range(40)]
    assert answer(proxy, "status")
    assert read_all(silent[0]).splitlines()[1:] == ["-no request has come in time", "=1"]
    for sock in silent:
        sock.close()


def test_those_who_hang_up_early_do_no_harm(pawl, serve):
    proxy = pawl(serve(echo), workers=2)
    requests = [b"", b"sta", b"status json\n", b"reload\n", b"sessions 10000\n"]
    for number in range(100):
        with connect(control(proxy)) as sock:
            sock.sendall(requests[number % len(requests)])
    assert answer(proxy, "status")


def test_a_second_pawl_leaves_the_first_ones_socket_alone(pawl, serve, folder, running):
    proxy = pawl(serve(echo))
    before = control(proxy).stat().st_ino
    second = folder / "second.ini"
    text = proxy.config_file.read_text().replace(proxy.listen[0], free_address())
    second.write_text(text)
    done = command("run", "-c", second)
    assert done.returncode == 1
    assert f"another Pawl listens on {control(proxy)}" in done.stderr
    assert '"control" in [proxy]' in done.stderr
    assert control(proxy).stat().st_ino == before
    second.write_text(text.replace("control.sock", "other.sock"))
    other = running(Pawl(folder, ["run", "-c", second], []))
    other.wait_ready()
    pids = {json.loads(talk(folder / name, b"status json\n")[1][1:])["pid"]
            for name in ("control.sock", "other.sock")}
    assert pids == {proxy.pid, other.pid}


def test_the_socket_of_a_dead_pawl_is_taken_over(pawl, serve, folder, running):
    proxy = pawl(serve(echo))
    proxy.allow_log("the master is gone")
    proxy.kill()
    proxy.process.wait()
    wait_until(lambda: not any(map(procfs.is_running, proxy.roles().values())), "the end")
    assert control(proxy).exists()
    again = running(Pawl(folder, ["run", "-c", proxy.config_file], proxy.listen))
    again.wait_ready()
    assert json.loads(answer(again, "status", "--json"))["pid"] == again.pid


def test_a_reload_moves_the_socket(pawl, serve):
    proxy = pawl(serve(echo))
    moved = proxy.folder / "run" / "moved.sock"
    old = control(proxy)
    proxy.sections["proxy"]["control"] = moved
    proxy.write_config()
    assert "reloaded" in command("reload", "--control", old).stdout
    assert not old.exists()
    assert stat.S_IMODE(moved.parent.stat().st_mode) == 0o700
    assert answer(proxy, "status")
    proxy.sections["proxy"]["control"] = "off"
    proxy.write_config()
    assert command("reload", "--control", moved).returncode == 0
    assert not moved.exists()
    done = ask(proxy, "status")
    assert done.returncode == 1 and "control = off" in done.stderr


def test_a_refused_reload_keeps_the_socket(pawl, serve):
    proxy = pawl(serve(echo))
    proxy.expect_log(" error master: ")
    proxy.sections["proxy"]["control"] = "moved.sock"
    proxy.sections["limits"]["idle_timeout"] = "never"
    proxy.write_config()
    assert command("reload", "--control", control(proxy)).returncode == 1
    assert not (proxy.folder / "moved.sock").exists()
    assert command("status", "--control", control(proxy)).returncode == 0


def test_a_socket_that_was_deleted_comes_back_with_a_reload(pawl, serve):
    proxy = pawl(serve(echo))
    control(proxy).unlink()
    proxy.reload()
    assert answer(proxy, "status")


@AS_ROOT
def test_another_user_is_kept_out(pawl, serve):
    proxy = pawl(serve(echo))
    as_nobody = ["setpriv", "--reuid=nobody", "--clear-groups", BINARY, "status",
                 "--control", control(proxy)]
    done = subprocess.run(as_nobody, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "permission denied" in done.stderr
    # Even if somebody opens the file to all.
    proxy.expect_log("turned away from the control socket")
    control(proxy).chmod(0o666)
    done = subprocess.run(as_nobody, capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "only root and user 0 may ask" in done.stderr


@AS_ROOT
def test_a_pawl_without_root_listens_in_its_runtime_directory(serve, folder, running,
                                                              app_cert):
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    own = {"chain": runtime / "own.pem", "key": runtime / "own.key"}
    shutil.copy(app_cert.chain, own["chain"])
    shutil.copy(app_cert.key, own["key"])
    listen = free_address()
    config = runtime / "proxy.ini"
    config.write_text(settings.ini({
        "listener web": {"address": listen}, "certificate main": own,
        "backend app": {"address": serve(echo).address}, "proxy": {"workers": 1}}))
    for path in (runtime, *runtime.iterdir()):
        shutil.chown(path, "nobody", "nogroup")
    as_nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    there = {"XDG_RUNTIME_DIR": str(runtime)}
    proxy = Pawl(folder, ["run", "-c", config], [listen], environment=there)
    proxy.wrapper = as_nobody
    running(proxy).wait_ready()
    done = subprocess.run([*as_nobody, BINARY, "status", "-c", config], text=True,
                          capture_output=True, timeout=20, env={**os.environ, **there})
    assert done.returncode == 0 and f"pid {proxy.pid} " in done.stdout, done.stderr
    assert stat.S_IMODE((runtime / "pawl").stat().st_mode) == 0o700
    # Root may ask, too, if it says where.
    assert command("status", "--control", runtime / "pawl/control.sock").returncode == 0
    proxy.drain()
    assert proxy.wait_exit() == 0
    assert not (runtime / "pawl/control.sock").exists()


def test_a_directory_that_cannot_be_made_costs_the_socket_alone(pawl, serve, monkeypatch):
    if os.geteuid() == 0:
        pytest.skip("root's directory can always be made")
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/nonexistent")
    proxy = pawl(serve(echo), extra={"proxy": {"control": "auto"}})
    proxy.expect_log("there will be no control socket")


def test_a_command_says_that_nothing_runs(folder):
    for name in ("status", "sessions", "reload", "stop", "upgrade"):
        done = command(name, "--control", folder / "none.sock")
        assert done.returncode == 1
        assert f"no Pawl listens on {folder}/none.sock" in done.stderr
        assert f"Try: pawl help {name}" in done.stderr


def test_a_command_says_what_it_does_not_understand(folder):
    for arguments in (["status", "now"], ["log"], ["log", "loud"], ["stop", "--soon"],
                      ["sessions", "--limit"], ["reload", "proxy.ini"]):
        done = command(*arguments)
        assert done.returncode == 2 and f"Try: pawl help {arguments[0]}" in done.stderr
    assert command("status", "-c", folder / "none.ini").returncode == 1


def test_what_listens_there_may_be_no_pawl(folder):
    path = folder / "other.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        def serve_one():
            with other.accept()[0] as peer:
                peer.sendall(b"SSH-2.0-x\n")
        thread = threading.Thread(target=serve_one)
        thread.start()
        done = command("status", "--control", path)
        thread.join()
    assert done.returncode == 1 and "is no Pawl" in done.stderr


def test_a_pawl_that_hangs_is_not_waited_for(pawl, serve):
    proxy = pawl(serve(echo))
    proxy.signal(signal.SIGSTOP)
    try:
        done = ask(proxy, "status")
    finally:
        proxy.signal(signal.SIGCONT)
    assert done.returncode == 1 and "does not answer within 10 s" in done.stderr


# --- Status


def test_status_shows_what_is_there(pawl, serve, app_cert):
    proxy = pawl(serve(echo), workers=2)
    proxy.connect()
    wait_until(lambda: sessions(proxy)["total"] == 1, "the session")
    text = answer(proxy, "status")
    assert all(len(line) <= 100 for line in text.splitlines()), text
    assert f"pid {proxy.pid} " in text and "WARNING" not in text and "\x1b" not in text
    for words in (str(proxy.config_file), proxy.listen[0], "1 live, 1 relay", "worker 1",
                  "keyholder 1", "app.example", "ticket keys aged"):
        assert words in text, (words, text)
    status = json.loads(answer(proxy, "status", "--json"))
    assert status["pid"] == proxy.pid and status["state"] == "serving"
    assert sum(worker["sessions"] for worker in status["workers"]) == 1


def test_status_warns_of_what_went_wrong(pawl, serve):
    proxy = pawl(serve(echo))
    proxy.reload_refused("[listener web]\nnonsense = 1\n")
    proxy.write_config()
    proxy.allow_log("killed by signal|serves again")
    victim = proxy.role("keyholder 0")
    os.kill(victim, signal.SIGKILL)
    wait_until(lambda: proxy.log.find("keyholder 0 serves again"), "the new keyholder")
    warnings = [line for line in answer(proxy, "status").splitlines()
                if line.startswith("WARNING")]
    assert len(warnings) == 2
    assert "reload refused" in warnings[0] and "proxy.ini:" in warnings[0]
    assert warnings[1].startswith("WARNING  keyholder 0 was restarted 1 time, last ")


def test_status_is_found_through_a_file_with_errors(pawl, serve):
    proxy = pawl(serve(echo))
    proxy.write_config("nonsense\n" + proxy.config_file.read_text() + "[unknown]\nx = 1\n")
    assert answer(proxy, "status")
    proxy.write_config()


def test_many_ask_for_the_status_while_reloads_run_under_load(pawl, serve):
    proxy = pawl(serve(http), workers=2)
    with Load(proxy.listen[0], kept=2, fresh=2) as load:
        asking = [spawn(proxy, "status") for _ in range(100)]
        reloading = [spawn(proxy, "reload") for _ in range(5)]
        for child in asking + reloading:
            out, err = child.communicate(timeout=60)
            assert child.returncode == 0, out + err
        load.wait_progress()
    assert not load.failures


# --- Reload


def test_reload_says_what_is_served(pawl, serve):
    proxy = pawl(serve(echo))
    assert answer(proxy, "reload") == \
        "reloaded: generation 2, 1 listeners, 1 certificates, 1 backends\n"
    proxy.signal(signal.SIGHUP)
    proxy.log.wait_for("reloaded", generation=3)


def test_reload_says_everything_that_is_wrong(pawl, serve):
    proxy = pawl(serve(echo))
    proxy.expect_log(" error master: ")
    proxy.sections["limits"].update({"idle_timeout": "soon", "nonsense": 1})
    proxy.sections["backend app"]["wait"] = "-1s"
    proxy.write_config()
    done = ask(proxy, "reload")
    assert done.returncode == 1 and done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 4
    assert all(re.match(rf"{proxy.config_file}:\d+: ", line) for line in lines[:3])
    assert lines[3] == ("reload refused (3 errors); the configuration in service stays, "
                        "generation 1")


def test_each_who_asks_for_a_reload_gets_one_that_began_after(pawl, serve):
    proxy = pawl(serve(echo), workers=2)
    children = [spawn(proxy, "reload") for _ in range(10)]
    generations = []
    for child in children:
        out, err = child.communicate(timeout=60)
        assert child.returncode == 0, err
        generations.append(int(re.search(r"generation (\d+)", out)[1]))
    assert min(generations) >= 2
    last = json.loads(answer(proxy, "status", "--json"))["configuration"]["generation"]
    assert max(generations) == last


# --- Stop


def test_stop_waits_for_the_sessions_and_says_how_many(pawl, serve):
    proxy = pawl(serve(echo), limits={"drain_timeout": "60s"})
    client = proxy.connect()
    client.send(b"x")
    assert client.recv_exactly(1) == b"x"
    child = spawn(proxy, "stop")
    assert child.stdout.readline() == "draining: 1 sessions have up to 1m00s\n"
    assert child.stdout.readline() == "1 session left\n"
    assert child.poll() is None and procfs.is_running(proxy.pid)
    client.close()
    out, err = child.communicate(timeout=20)
    assert (child.returncode, err) == (0, "") and out.endswith("stopped\n")
    assert proxy.wait_exit(seconds=1) == 0


def test_stop_now_does_not_wait_for_sessions(pawl, serve):
    proxy = pawl(serve(echo), limits={"drain_timeout": "60s"})
    proxy.connect()
    assert answer(proxy, "stop", "--now") == "stopping\nstopped\n"
    assert proxy.wait_exit(seconds=1) == 0


def test_stop_without_waiting(pawl, serve):
    proxy = pawl(serve(echo), limits={"drain_timeout": "60s"})
    client = proxy.connect()
    assert answer(proxy, "stop", "--no-wait").startswith("draining: 1 ")
    assert procfs.is_running(proxy.pid)
    done = ask(proxy, "reload")
    assert done.returncode == 1 and "stopping" in done.stderr
    assert "no new clients are taken: draining" in answer(proxy, "status")
    client.close()
    assert proxy.wait_exit() == 0


# --- Sessions


def test_sessions_are_listed_the_oldest_first(pawl, serve):
    backend = serve(echo)
    proxy = pawl(backend, workers=2)
    clients = []
    for number in range(5):
        client = proxy.connect()
        client.send(b"x" * (number + 1))
        client.recv_exactly(number + 1)
        clients.append(client)
    listing = sessions(proxy)
    assert listing["total"] == 5
    assert [item["client"] for item in listing["sessions"]] == \
        [client.local_address() for client in clients]
    first = listing["sessions"][0]
    assert (first["state"], first["sni"], first["listener"]) == ("relay", "app.example", "web")
    assert (first["received_bytes"], first["sent_bytes"]) == (1, 1)
    assert (first["version"], first["backend"]) == ("TLSv1.3", backend.address)
    assert first["resumed"] is False and first["cipher"] and first["group"]
    two = sessions(proxy, "--limit", "2")
    assert [item["client"] for item in two["sessions"]] == \
        [client.local_address() for client in clients[:2]]
    text = answer(proxy, "sessions", "--limit", "2")
    assert text.splitlines()[-1] == "the 2 oldest of 5 sessions; --limit N shows more"
    assert answer(proxy, "sessions").splitlines()[-1] == "5 sessions"


def test_sessions_before_and_during_the_handshake_are_listed(pawl, serve):
    proxy = pawl(serve(echo))
    proxy.allow_log("handshake failed")
    with tcp(proxy.listen[0]) as sock:
        sock.sendall(Hello(sni=b"app.example").record()[:20])
        wait_until(lambda: sessions(proxy)["total"] == 1, "the session")
        only = sessions(proxy)["sessions"][0]
    assert only["state"] == "hello"
    assert only["sni"] is only["version"] is only["backend"] is None


def test_hostile_names_reach_no_terminal(pawl, serve):
    proxy = pawl(serve(echo))
    proxy.allow_log("handshake failed")
    names = [b"a" * 63 + b"." + b"b" * 63 + b".example", b"x\x1b[2J\x9b.example",
             b'"},{"a":"b.example', b"a\nb.example"]
    held = []
    for name in names:
        sock = tcp(proxy.listen[0])
        sock.sendall(Hello(sni=name).record())
        held.append(sock)
    text = answer(proxy, "sessions")
    assert all(" " <= char <= "~" or char == "\n" for char in text), repr(text)
    sessions(proxy)
    for sock in held:
        sock.close()


def test_a_worker_that_hangs_is_named_and_asked_again_later(pawl, serve):
    proxy = pawl(serve(echo), workers=2)
    worker = proxy.role("worker 1")
    os.kill(worker, signal.SIGSTOP)
    try:
        for _ in range(3):
            begun = time.monotonic()
            done = ask(proxy, "sessions")
            assert done.returncode == 1
            assert done.stderr == "worker 1 did not answer in time\n"
            assert time.monotonic() - begun < 8
    finally:
        os.kill(worker, signal.SIGCONT)
    wait_until(lambda: ask(proxy, "sessions").returncode == 0, "the worker's answer")
    assert proxy.role("worker 1") == worker


def test_many_list_sessions_at_once(pawl, serve):
    proxy = pawl(serve(echo), workers=2)
    for _ in range(3):
        proxy.connect()
    children = [spawn(proxy, "sessions", "--json") for _ in range(10)]
    for child in children:
        out, err = child.communicate(timeout=30)
        assert child.returncode == 0, err
        assert json.loads(out)["total"] == 3


# --- Log


def test_the_level_of_the_log_changes_until_the_next_reload(pawl, serve):
    proxy = pawl(serve(echo))
    assert "debug" in answer(proxy, "log", "debug")
    proxy.reload()
    assert answer(proxy, "log", "warning")
    mark = proxy.log.mark()
    with proxy.connect():
        pass
    wait_until(lambda: sessions(proxy)["total"] == 0, "the session's end")
    answer(proxy, "log", "info")
    assert not proxy.log.find("session closed", after=mark)


# --- Prove


def findings(proxy, *options):
    done = ask(proxy, "prove", "--json", "--sni", "app.example", *options, timeout=90)
    found = {item["id"]: item for item in json.loads(done.stdout)["findings"]}
    return done.returncode, found


def test_prove_looks_into_the_running_pawl(pawl, serve):
    proxy = pawl(serve(echo), workers=2)
    code, found = findings(proxy)
    assert code == 0
    assert re.match(r"window 1h00m; key 0 is \S+ old, wiped in \S+; next rotation in \S+$",
                    found["ticket-keys"]["evidence"])
    for name in ("ticket-keys", "window-tls12", "window-rekey"):
        assert found[name]["verdict"] == "ok"
    for name in ("sandbox-worker", "sandbox-keyholder"):
        assert found[name]["verdict"] != "fail"
        assert "no_new_privs" in found[name]["evidence"]
    keyholders = [str(pid) for pid in proxy.roles("keyholder").values()]
    assert all(f"(pid {pid})" in found["sandbox-keyholder"]["evidence"]
               for pid in keyholders)
    if os.geteuid() == 0:
        assert found["keys-network"]["verdict"] == "ok"


def test_prove_sees_what_is_switched_off(pawl, serve):
    proxy = pawl(serve(echo), extra={"tls": {"tickets": "off",
                                             "tls12_max_lifetime": "unlimited",
                                             "unanswered_rekey": "keep"}})
    proxy.allow_log("tls12_max_lifetime|unanswered_rekey")
    code, found = findings(proxy, "--listener", "web")
    assert code == 0
    assert found["ticket-keys"]["verdict"] == "ok"
    assert found["ticket-keys"]["claim"] == "there are no ticket keys"
    assert found["window-tls12"]["verdict"] == found["window-rekey"]["verdict"] == "warn"


def test_prove_says_that_it_could_not_ask(pawl, serve):
    proxy = pawl(serve(echo), extra={"proxy": {"control": "off"}})
    code, found = findings(proxy)
    assert code == 0 and found["instance"]["verdict"] == "warn"
    assert "control = off" in found["instance"]["evidence"]
