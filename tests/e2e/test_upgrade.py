"""USR2: another binary in the same process, and nobody who is connected notices."""

import os
import shutil
import signal
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness import procfs
from harness.backends import echo, http
from harness.binary import VERSION, install, script
from harness.certs import Certificate
from harness.load import Load
from harness.pawl import Pawl, command
from harness.ports import free_address
from harness.tls import TLS13, client_context
from harness.wait import wait_until


@pytest.fixture
def binary(folder):
    return install(folder / "pawl", VERSION)


def use(client):
    client.send(b"are you there?")
    assert client.recv_exactly(14) == b"are you there?"


def upgrade(proxy, version):
    mark = proxy.log.mark()
    proxy.signal(signal.SIGUSR2)
    proxy.log.wait_for(f"upgraded: this is pawl {version.decode()}", after=mark, seconds=30)


def upgrade_fails(proxy, pattern):
    """Returns the lines of errors; the roles must be the ones from before."""
    before = proxy.roles()
    mark = proxy.log.mark()
    proxy.expect_log("upgrade failed, what is in service stays")
    proxy.signal(signal.SIGUSR2)
    line = proxy.log.wait_for("upgrade failed", after=mark, seconds=40)
    assert pattern in line.message
    assert proxy.roles() == before
    return [line.message for line in proxy.log.find(" error master: ", after=mark)]


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def test_five_upgrades_under_load_fail_no_request(pawl, serve, binary):
    proxy = pawl(serve(http), workers=2, binary=binary, limits={"drain_timeout": "60s"})
    with Load(proxy.listen[0]) as load:
        for number in range(1, 6):
            version = f"0.1.{number}".encode()
            install(binary, version)
            upgrade(proxy, version)
            load.wait_progress()
    assert not load.failures
    proxy.log.wait_for("all processes from before the upgrade have ended")
    assert len(proxy.roles()) == 4


def test_an_upgrade_keeps_the_process_and_no_descriptor_more(pawl, serve, binary):
    proxy = pawl(serve(echo), workers=2, binary=binary)
    proxy.skip_unless_inspectable()
    pid, before = proxy.pid, descriptors(proxy.pid)
    old = proxy.roles()
    for version in (b"0.1.1", b"0.1.2", b"0.1.3"):
        install(binary, version)
        upgrade(proxy, version)
        wait_until(lambda: len(procfs.descendants_of(pid)) == 4, "the old roles to end")
    assert proxy.is_running() and proxy.pid == pid
    assert not set(old.values()) & set(proxy.roles().values())
    assert descriptors(pid) == before


def test_a_session_goes_on_through_upgrades(pawl, serve, binary):
    proxy = pawl(serve(echo), workers=2, binary=binary, limits={"drain_timeout": "60s"})
    clients = [proxy.connect() for _ in range(8)]
    for version in (b"0.1.1", b"0.1.2"):
        install(binary, version)
        upgrade(proxy, version)
        for client in clients:
            use(client)
        clients.append(proxy.connect())
    for client in clients:
        use(client)
        client.close()
    proxy.log.wait_for("all processes from before the upgrade have ended")


def test_a_ticket_of_before_resumes_after(pawl, serve, binary):
    proxy = pawl(serve(echo), workers=2, binary=binary)
    context = client_context(version=TLS13)
    client = proxy.connect(context=context)
    use(client)
    session = client.session
    install(binary, b"0.1.1")
    upgrade(proxy, b"0.1.1")
    again = proxy.connect(context=context, session=session)
    use(again)
    assert again.resumed


def test_silent_connections_are_served_after_an_upgrade(pawl, serve, binary):
    """Connected, but the client has not spoken when the workers change."""
    proxy = pawl(serve(echo), workers=2, binary=binary)
    clients = [proxy.client() for _ in range(20)]
    install(binary, b"0.1.1")
    upgrade(proxy, b"0.1.1")
    for client in clients:
        use(client.handshake())


@pytest.mark.parametrize("before, after", [(1, 3), (3, 1)])
def test_an_upgrade_can_change_the_number_of_workers(pawl, serve, binary, before, after):
    proxy = pawl(serve(http), workers=before, binary=binary,
                 limits={"drain_timeout": "60s"})
    proxy.sections["proxy"]["workers"] = after
    proxy.write_config()
    install(binary, b"0.1.1")
    with Load(proxy.listen[0]) as load:
        upgrade(proxy, b"0.1.1")
        load.wait_progress()
        upgrade(proxy, b"0.1.1")
        load.wait_progress()
    assert not load.failures
    wait_until(lambda: len(procfs.descendants_of(proxy.pid)) == 2 * after, "the old to end")


def test_sessions_that_outlast_the_drain_get_a_close_notify(pawl, serve, binary):
    proxy = pawl(serve(echo), binary=binary, limits={"drain_timeout": "500ms"})
    proxy.allow_log("drain_timeout is over")
    client = proxy.connect()
    use(client)
    upgrade(proxy, VERSION)
    assert client.recv() == b""
    client.close()
    proxy.log.wait_for("all processes from before the upgrade have ended")


def test_the_log_and_reloads_work_after_an_upgrade(pawl, serve, binary):
    proxy = pawl(serve(echo), binary=binary)
    upgrade(proxy, VERSION)
    proxy.reload()
    assert proxy.log.find("reloaded")[-1]["generation"] == "3"
    use(proxy.connect())


def test_a_worker_that_dies_after_an_upgrade_is_replaced(pawl, serve, binary):
    proxy = pawl(serve(echo), binary=binary)
    upgrade(proxy, VERSION)
    wait_until(lambda: len(procfs.descendants_of(proxy.pid)) == 2, "the old roles to end")
    proxy.expect_log("worker 0 was killed")
    os.kill(proxy.role("worker 0"), signal.SIGKILL)
    proxy.log.wait_for("worker 0 serves again")
    use(proxy.connect())


# --- New binaries that are none.


def test_a_binary_that_fails_its_trial_is_not_executed(pawl, serve, binary):
    proxy = pawl(serve(echo), workers=2, binary=binary)
    client = proxy.connect()
    proxy.expect_log("trial of the new binary .*out of paper")
    script(binary, "#!/bin/sh\necho out of paper >&2\nexit 1\n")
    upgrade_fails(proxy, "its trial ended with code 1")
    use(client)
    use(proxy.connect())


def test_a_binary_that_is_no_pawl_is_not_executed(pawl, serve, binary):
    proxy = pawl(serve(echo), binary=binary)
    script(binary, "#!/bin/sh\nexit 0\n")
    upgrade_fails(proxy, "did not say that it passed")
    use(proxy.connect())


def test_a_binary_that_cannot_be_executed_is_not(pawl, serve, binary):
    proxy = pawl(serve(echo), binary=binary)
    whole = binary.read_bytes()
    binary.unlink()
    upgrade_fails(proxy, "No such file or directory")
    binary.write_bytes(whole[:4096])
    upgrade_fails(proxy, "Permission denied")
    binary.chmod(0o755)
    proxy.expect_log("trial of the new binary|was killed by signal")
    upgrade_fails(proxy, "its trial")
    binary.unlink()
    install(binary, b"0.1.1")
    upgrade(proxy, b"0.1.1")
    use(proxy.connect())


def test_a_configuration_that_became_wrong_stops_an_upgrade(pawl, serve, binary):
    proxy = pawl(serve(echo), binary=binary)
    proxy.config_file.write_text("[listener web]\naddres = nowhere\n")
    proxy.expect_log("trial of the new binary .*unknown key")
    proxy.allow_log("trial of the new binary")
    upgrade_fails(proxy, "its trial ended with code 1")
    use(proxy.connect())
    proxy.write_config()
    upgrade(proxy, VERSION)


def test_a_new_program_that_cannot_serve_gives_way_to_the_old(pawl, serve, binary):
    """The configuration asks for an address that is taken: no trial can see that."""
    other = serve(echo)
    proxy = pawl(serve(http), workers=2, binary=binary)
    proxy.skip_unless_inspectable()
    before = descriptors(proxy.pid)
    context = client_context(version=TLS13)
    client = proxy.connect(context=context)
    good = proxy.config_file.read_text()
    install(binary, b"0.1.1")
    proxy.config_file.write_text(f"{good}[listener more]\naddress = {other.address}\n"
                                 f"backend = app\n")
    proxy.expect_log("Address already in use")
    proxy.expect_log("the new program cannot serve, the old one goes on")
    with Load(proxy.listen[0]) as load:
        for _ in range(2):
            upgrade_fails(proxy, "Address already in use")
            load.wait_progress()
        proxy.config_file.write_text(good)
        upgrade(proxy, b"0.1.1")
        load.wait_progress()
    assert not load.failures
    client.close()
    wait_until(lambda: len(procfs.descendants_of(proxy.pid)) == 4, "the old roles to end")
    assert descriptors(proxy.pid) == before


def test_the_old_program_supervises_and_reloads_after_it_came_back(pawl, serve, binary):
    other = serve(echo)
    proxy = pawl(serve(echo), binary=binary)
    good = proxy.config_file.read_text()
    proxy.config_file.write_text(f"{good}[listener more]\naddress = {other.address}\n"
                                 f"backend = app\n")
    proxy.expect_log("Address already in use")
    proxy.expect_log("the new program cannot serve, the old one goes on")
    upgrade_fails(proxy, "Address already in use")
    proxy.expect_log("(worker|keyholder) 0 was killed")
    for title in ("worker 0", "keyholder 0"):
        os.kill(proxy.role(title), signal.SIGKILL)
        proxy.log.wait_for(f"{title} serves again")
        use(proxy.connect())
    proxy.reload()
    use(proxy.connect())


# --- At the same time.


def test_a_term_during_an_upgrade_drains(pawl, serve, binary):
    proxy = pawl(serve(echo), workers=2, binary=binary)
    proxy.allow_log("upgrade failed, what is in service stays: Pawl was told to end")
    client = proxy.connect()
    proxy.signal(signal.SIGUSR2)
    proxy.log.wait_for("upgrade: executing")
    proxy.drain()
    use(client)
    client.close()
    assert proxy.wait_exit() == 0


def test_a_term_during_an_upgrade_that_fails_drains_the_old(pawl, serve, binary):
    other = serve(echo)
    proxy = pawl(serve(echo), binary=binary)
    client = proxy.connect()
    good = proxy.config_file.read_text()
    proxy.config_file.write_text(f"{good}[listener more]\naddress = {other.address}\n"
                                 f"backend = app\n")
    proxy.allow_log("Address already in use|the new program cannot serve|upgrade failed")
    proxy.signal(signal.SIGUSR2)
    proxy.log.wait_for("upgrade: executing")
    proxy.drain()
    use(client)
    client.close()
    assert proxy.wait_exit() == 0


def test_workers_that_die_during_an_upgrade_are_made_good(pawl, serve, binary):
    proxy = pawl(serve(echo), workers=2, binary=binary)
    proxy.allow_log("was killed|did not end in peace|cannot serve|upgrade failed")
    old = proxy.roles()
    mark = proxy.log.mark()
    proxy.signal(signal.SIGUSR2)
    proxy.log.wait_for("upgrade: executing")
    os.kill(old["worker 1"], signal.SIGKILL)
    os.kill(old["keyholder 0"], signal.SIGKILL)
    proxy.log.wait_for("upgraded: |upgrade failed", after=mark, seconds=30)
    for _ in range(10):
        use(proxy.connect())


def test_a_term_during_the_trial_ends_it(pawl, serve, binary):
    proxy = pawl(serve(echo), binary=binary)
    proxy.expect_log("upgrade failed, what is in service stays: Pawl was told to end")
    script(binary, "#!/bin/sh\nexec sleep 1000\n")
    proxy.signal(signal.SIGUSR2)
    proxy.log.wait_for("upgrade: trying")
    proxy.drain()
    assert proxy.wait_exit() == 0


def test_int_during_an_upgrade_ends_all_at_once(pawl, serve, binary):
    proxy = pawl(serve(echo), workers=2, binary=binary, limits={"drain_timeout": "600s"})
    proxy.allow_log("upgrade failed|from before the upgrade did not end in peace")
    clients = [proxy.connect() for _ in range(4)]
    proxy.signal(signal.SIGUSR2)
    proxy.log.wait_for("upgrade: executing")
    proxy.interrupt()
    assert proxy.wait_exit() == 0
    for client in clients:
        client.abandon()


def test_a_second_usr2_and_a_reload_wait_for_the_first(pawl, serve, binary):
    proxy = pawl(serve(echo), workers=2, binary=binary)
    proxy.expect_log("an upgrade is under way already")
    mark = proxy.log.mark()
    proxy.signal(signal.SIGUSR2)
    proxy.log.wait_for("upgrade: trying")
    proxy.signal(signal.SIGUSR2)
    proxy.signal(signal.SIGHUP)
    proxy.log.wait_for("upgraded: ", after=mark, seconds=30)
    use(proxy.connect())


def test_an_upgrade_through_a_link_follows_it(pawl, serve, folder):
    for version in ("1", "2"):
        (folder / version).mkdir()
        install(folder / version / "pawl", f"0.1.{version}".encode())
    link = folder / "current"
    link.symlink_to("1")
    proxy = pawl(serve(echo), binary=link / "pawl")
    fresh = folder / "fresh"
    fresh.symlink_to("2")
    fresh.rename(link)
    shutil.rmtree(folder / "1")
    upgrade(proxy, b"0.1.2")
    use(proxy.connect())


def test_counters_go_on_where_they_were(pawl, serve, binary):
    proxy = pawl(serve(echo), workers=2, binary=binary)
    proxy.skip_unless_inspectable()
    for _ in range(20):
        use(proxy.connect())
    assert accepted(proxy) == 20
    upgrade(proxy, VERSION)
    assert accepted(proxy) == 20
    use(proxy.connect())
    wait_until(lambda: accepted(proxy) == 21, "the next to be counted")


def accepted(proxy):
    """The sum of the first figure of all pages that the master has."""
    found = 0
    for name in os.listdir(f"/proc/{proxy.pid}/fd"):
        path = f"/proc/{proxy.pid}/fd/{name}"
        if "pawl counters" in os.readlink(path):
            with open(path, "rb") as page:
                found += int.from_bytes(page.read(8), "little")
    return found


def test_an_upgrade_without_root(pawl, serve, binary, folder, app_cert):
    if os.geteuid() != 0:
        pytest.skip("the other tests run without root already")
    key = folder / "key.pem"
    shutil.copy(app_cert.key, key)
    os.chown(key, 65534, 65534)
    os.chown(folder, 65534, 65534)
    proxy = pawl(serve(echo), workers=2, binary=binary,
                 certificates=[Certificate("main", app_cert.chain, key)],
                 wrapper=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])
    client = proxy.connect()
    for _ in range(2):
        upgrade(proxy, VERSION)
    use(client)
    use(proxy.connect())


def test_pawl_upgrade_waits_and_tells_the_outcome(pawl, serve, binary):
    proxy = pawl(serve(echo), workers=2, binary=binary)
    install(binary, b"0.1.1")
    done = command("upgrade", "-c", proxy.config_file)
    assert (done.returncode, done.stderr) == (0, "")
    assert "upgraded: pawl 0.1.1 serves" in done.stdout
    status = command("status", "-c", proxy.config_file)
    assert status.returncode == 0 and "0.1.1" in status.stdout
    proxy.expect_log("upgrade failed")
    proxy.allow_log("trial of the new binary")
    script(binary, "#!/bin/sh\nexit 1\n")
    done = command("upgrade", "-c", proxy.config_file)
    assert done.returncode == 1
    assert "its trial ended with code 1" in done.stdout + done.stderr
    use(proxy.connect())


def test_who_asks_for_another_upgrade_does_not_end_the_first(pawl, serve, binary):
    proxy = pawl(serve(echo), binary=binary)
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(command, "upgrade", "-c", proxy.config_file) for _ in range(3)]
        done = [answer.result() for answer in asked]
    assert [answer.returncode for answer in done].count(0) >= 1
    assert "upgraded: pawl" in "".join(answer.stdout for answer in done)
    use(proxy.connect())


def test_pawl_upgrade_hears_of_a_program_that_gave_way(pawl, serve, binary):
    other = serve(echo)
    proxy = pawl(serve(echo), binary=binary)
    good = proxy.config_file.read_text()
    proxy.config_file.write_text(f"{good}[listener more]\naddress = {other.address}\n"
                                 f"backend = app\n")
    proxy.allow_log("Address already in use|the new program cannot serve|upgrade failed")
    done = command("upgrade", "-c", proxy.config_file)
    assert done.returncode == 1
    assert "Address already in use" in done.stdout + done.stderr
    assert command("status", "-c", proxy.config_file).returncode == 0
    use(proxy.connect())


def test_figures_go_on_through_an_upgrade(pawl, serve, binary):
    address = free_address()
    proxy = pawl(serve(echo), workers=2, binary=binary,
                 extra={"admin": {"address": address}})
    for _ in range(7):
        use(proxy.connect())
    started = figure(address, "pawl_start_time_seconds")
    proxy.expect_log("keyholder 1 was killed")
    os.kill(proxy.role("keyholder 1"), signal.SIGKILL)
    proxy.log.wait_for("keyholder 1 serves again")
    for count in (2, 3):
        upgrade(proxy, VERSION)
        wait_until(lambda: figure(address, "pawl_config_generation") == count, "the new page")
        assert figure(address, "pawl_connections_accepted_total") == 7
        assert figure(address, 'pawl_config_reloads_total{result="accepted"}') == count
        assert figure(address, 'pawl_process_restarts_total{process="keyholder 1"}') == 1
        assert figure(address, 'pawl_process_restarts_total{process="keyholder 0"}') == 0
    assert figure(address, "pawl_start_time_seconds") == started


def figure(address, name):
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        for line in answer.read().decode().splitlines():
            key, _, value = line.rpartition(" ")
            if key == name:
                return float(value)
    return None


def test_what_pawl_dev_started_is_not_upgraded(serve, folder, running):
    backend, listen = serve(echo), free_address()
    proxy = Pawl(folder, ["dev", backend.address, "--listen", listen], [listen],
                 {"HOME": str(folder)})
    running(proxy).wait_ready()
    proxy.expect_log("what `pawl dev` and `pawl demo` started is not upgraded")
    proxy.signal(signal.SIGUSR2)
    proxy.log.wait_for("is not upgraded")
    use(proxy.connect("localhost"))


def test_what_nobody_handed_over_is_not_taken(folder):
    result = command("run", "-c", folder / "none.ini", environment={"PAWL_HANDOVER": "0"})
    assert result.returncode == 1
    assert "holds nothing that was handed over" in result.stderr
    result = command("run", "-c", folder / "none.ini", environment={"PAWL_HANDOVER": "x"})
    assert "not by an upgrade" in result.stderr
