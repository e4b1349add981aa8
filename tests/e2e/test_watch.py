"""Certificates follow their files: no signal, and nobody notices."""

import os
import shutil

import pytest
from harness.backends import http
from harness.certs import Certificate
from harness.http import HttpClient
from harness.load import Load
from harness.wait import wait_until

FAULT = r'error master: .*certificate "main": .*stays until it is right'


@pytest.fixture(scope="module")
def versions(authority):
    """Two certificates for app.example, one after the other."""
    return [authority.leaf(f"version{number}", ["app.example"]) for number in range(3)]


def install(source, target):
    shutil.copy(source.chain, target.chain)
    shutil.copy(source.key, target.key)


def served(proxy):
    with proxy.connect() as client:
        return client.certificate


def wait_served(proxy, cert):
    wait_until(lambda: served(proxy) == cert.der, "the new certificate", seconds=10)


@pytest.fixture
def loaded(pawl, serve):
    """Runs a change under load: loaded(cert, extra) is a context of a Pawl with load."""
    class Loaded:
        def __init__(self, cert, **keys):
            self.proxy = pawl(serve(http), certificates=[cert], workers=2, **keys)
            self.load = Load(self.proxy.listen[0], kept=2, fresh=4, pause=0.005)

        def __enter__(self):
            self.load.__enter__()
            return self.proxy

        def __exit__(self, *error):
            if error[0] is None:
                self.load.wait_progress()
            self.load.__exit__(*error)
            assert not self.load.failures
            assert not self.proxy.log.find("handshake failed")

    return Loaded


def files(folder):
    return Certificate("main", folder / "cert.pem", folder / "key.pem")


def test_files_that_are_overwritten_in_place(loaded, folder, versions):
    cert = files(folder)
    install(versions[0], cert)
    with loaded(cert) as proxy:
        for version in (1, 2, 0, 1):
            install(versions[version], cert)
            wait_served(proxy, versions[version])
        assert not proxy.log.find("SIGHUP|info master: reloaded")


def test_files_that_are_renamed_over(loaded, folder, versions):
    cert = files(folder)
    install(versions[0], cert)
    with loaded(cert) as proxy:
        for version in (1, 2):
            new = Certificate("main", folder / "new.pem", folder / "newkey.pem")
            install(versions[version], new)
            os.rename(new.key, cert.key)
            os.rename(new.chain, cert.chain)
            wait_served(proxy, versions[version])


def test_the_links_of_certbot(loaded, folder, versions):
    archive, live = folder / "archive" / "app", folder / "live" / "app"
    archive.mkdir(parents=True)
    live.mkdir(parents=True)
    cert = Certificate("main", live / "fullchain.pem", live / "privkey.pem")

    def renew(number):
        shutil.copy(versions[number].key, archive / f"privkey{number}.pem")
        shutil.copy(versions[number].chain, archive / f"fullchain{number}.pem")
        for link in (cert.key, cert.chain):
            link.unlink(missing_ok=True)
            link.symlink_to(f"../../archive/app/{link.stem}{number}.pem")

    renew(0)
    with loaded(cert) as proxy:
        proxy.allow_log(FAULT)  # between the two links
        for number in (1, 2):
            renew(number)
            wait_served(proxy, versions[number])


def test_the_directories_of_kubernetes(loaded, folder, versions):
    volume = folder / "volume"
    volume.mkdir()
    cert = Certificate("main", volume / "tls.crt", volume / "tls.key")

    def renew(number):
        data = volume / f"..2026_{number}"
        data.mkdir()
        shutil.copy(versions[number].chain, data / "tls.crt")
        shutil.copy(versions[number].key, data / "tls.key")
        (volume / "..data_tmp").symlink_to(data.name)
        os.rename(volume / "..data_tmp", volume / "..data")
        if number > 0:
            shutil.rmtree(volume / f"..2026_{number - 1}")

    renew(0)
    cert.chain.symlink_to("..data/tls.crt")
    cert.key.symlink_to("..data/tls.key")
    with loaded(cert) as proxy:
        for number in (1, 2):
            renew(number)
            wait_served(proxy, versions[number])


def test_half_of_a_pair_keeps_the_old_one_and_is_said_once(loaded, folder, versions):
    cert = files(folder)
    install(versions[0], cert)
    with loaded(cert, extra={"log": {"level": "debug"}}) as proxy:
        proxy.expect_log(FAULT)
        shutil.copy(versions[1].key, cert.key)
        proxy.log.wait_for(FAULT)
        wait_until(lambda: attempts(proxy) >= 3, "it to be tried again", seconds=20)
        assert served(proxy) == versions[0].der
        assert len(proxy.log.find(" error ")) == 1
        assert not proxy.log.find("certificates reloaded|reload refused")
        shutil.copy(versions[1].chain, cert.chain)
        wait_served(proxy, versions[1])


def attempts(proxy):
    """How often files were read that did not fit."""
    return len(proxy.log.find("files were read again"))


def test_a_deleted_file_keeps_the_old_one_and_may_come_back(loaded, folder, versions):
    cert = files(folder)
    install(versions[0], cert)
    with loaded(cert) as proxy:
        proxy.expect_log(FAULT)
        cert.chain.unlink()
        proxy.log.wait_for(FAULT)
        assert served(proxy) == versions[0].der
        install(versions[1], cert)
        wait_served(proxy, versions[1])
        assert len(proxy.log.find(" error ")) == 1


def test_a_damaged_file_keeps_the_old_one(loaded, folder, versions):
    cert = files(folder)
    install(versions[0], cert)
    with loaded(cert) as proxy:
        proxy.expect_log(FAULT)
        cert.chain.write_text(versions[1].chain.read_text()[:400])
        proxy.log.wait_for(FAULT)
        assert served(proxy) == versions[0].der
        install(versions[1], cert)
        wait_served(proxy, versions[1])


def test_what_stays_broken_holds_up_nobody_else(loaded, folder, versions, authority):
    cert = files(folder)
    install(versions[0], cert)
    other = Certificate("other", folder / "other.pem", folder / "other.key")
    install(authority.leaf("other", ["other.example"]), other)
    with loaded(cert, extra={"certificate other": other.keys()}) as proxy:
        proxy.expect_log('certificate "other": cannot read')
        other.key.unlink()
        proxy.log.wait_for('certificate "other": cannot read')
        install(versions[1], cert)
        wait_served(proxy, versions[1])
        proxy.log.wait_for("certificates reloaded", certificates=2, certificates_kept=1)
        assert proxy.connect("other.example").certificate != versions[1].der


def test_what_was_broken_at_the_start_serves_once_it_fits(pawl, serve, folder, versions,
                                                          authority):
    cert = files(folder)
    install(versions[0], cert)
    other = Certificate("other", folder / "other.pem", folder / "other.key")
    proxy = pawl(serve(http), certificates=[cert, other], ready=False)
    proxy.expect_log('certificate "other": cannot read')
    proxy.wait_ready()
    source = authority.leaf("late", ["other.example"])
    install(source, other)
    wait_until(lambda: proxy.connect("other.example").certificate == source.der,
               "the other certificate")


def test_an_edited_configuration_waits_for_its_reload(pawl, serve, folder, versions):
    cert = files(folder)
    install(versions[0], cert)
    first, second = serve(http, name="first"), serve(http, name="second")
    proxy = pawl(first, certificates=[cert])
    proxy.sections["backend app"]["address"] = second.address
    proxy.write_config()
    install(versions[1], cert)
    wait_served(proxy, versions[1])
    proxy.write_config("[nonsense")
    install(versions[2], cert)
    wait_served(proxy, versions[2])
    with proxy.connect() as client:
        assert HttpClient(client).request().headers["x-backend"] == "first"


def test_watching_can_be_switched_off(pawl, serve, folder, versions):
    cert = files(folder)
    install(versions[0], cert)
    watched = Certificate("other", folder / "other.pem", folder / "other.key")
    install(versions[0], watched)
    proxy = pawl(serve(http), certificates=[cert], extra={"proxy": {"watch": "no"}})
    install(versions[1], cert)
    for pid in proxy.processes():
        assert "inotify" not in " ".join(os.readlink(f"/proc/{pid}/fd/{fd}")
                                         for fd in os.listdir(f"/proc/{pid}/fd"))
    assert served(proxy) == versions[0].der
    proxy.reload()
    assert served(proxy) == versions[1].der


def test_a_file_that_is_touched_changes_nothing(pawl, serve, folder, versions):
    cert = files(folder)
    install(versions[0], cert)
    proxy = pawl(serve(http), certificates=[cert],
                 extra={"log": {"level": "debug"}})
    mark = proxy.log.mark()
    os.utime(cert.chain)
    proxy.log.wait_for("files were read again", after=mark)
    assert not proxy.log.find("certificates reloaded", after=mark)


def test_a_link_above_the_files_may_change(loaded, folder, versions):
    for number in (0, 1):
        place = folder / f"release{number}" / "tls"
        place.mkdir(parents=True)
        install(versions[number], files(place))
    (folder / "current").symlink_to("release0")
    with loaded(files(folder / "current" / "tls")) as proxy:
        (folder / "next").symlink_to("release1")
        os.rename(folder / "next", folder / "current")
        wait_served(proxy, versions[1])
