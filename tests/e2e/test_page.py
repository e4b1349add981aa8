"""The page for people, in a real browser."""

import pytest
from harness.admin import Admin
from harness.backends import echo
from harness.browser import BROWSER, Browser
from harness.env import PATIENCE
from harness.ports import free_address
from harness.wait import wait_until

pytestmark = pytest.mark.skipif(not BROWSER, reason="there is no chromium")


@pytest.fixture
def page(pawl, serve, folder):
    """A Pawl with some past and its page: (proxy, admin, browser)."""
    address = free_address()
    proxy = pawl(serve(echo), workers=2, extra={"admin": {"address": address}})
    for _ in range(3):
        with proxy.connect() as client:
            client.send(b"x" * 1000)
            client.recv_exactly(1000)
    browser = Browser(folder, 60 * PATIENCE)
    browser.open(f"http://{address}/")
    yield proxy, Admin(address), browser
    browser.close()


def text_of(browser, name):
    return browser.evaluate(f"document.getElementById('{name}').innerText") or ""


def test_shows_the_figures_and_follows_them(page):
    proxy, admin, browser = page
    wait_until(lambda: "serving" in text_of(browser, "state"), "the first figures")
    status = admin.status()
    assert "3 accepted so far" in text_of(browser, "sessions-note")
    assert "TLSv1.3 established" in text_of(browser, "results")
    assert status["certificates"][0]["name"] in text_of(browser, "certificates")
    assert str(status["certificates"][0]["days_left"]) in \
        text_of(browser, "certificates").replace(",", "")
    assert status["backends"][0]["addresses"][0] in text_of(browser, "backends")
    assert "current" in text_of(browser, "keys")
    assert len(text_of(browser, "workers").splitlines()) == 2
    for process in status["processes"]:
        assert str(process["pid"]) in text_of(browser, "processes")
    with proxy.connect():
        wait_until(lambda: "4 accepted so far" in text_of(browser, "sessions-note"),
                   "the page to refresh itself", seconds=20)
    assert browser.complaints == []


def test_its_policy_lets_nothing_else_run(page):
    _, _, browser = page
    wait_until(lambda: "serving" in text_of(browser, "state"), "the first figures")
    assert browser.complaints == []
    browser.evaluate("""(() => { const s = document.createElement('script');
        s.textContent = 'window.intruder = 1'; document.body.append(s); })()""")
    assert browser.evaluate("window.intruder") is None
    assert browser.evaluate("fetch('http://192.0.2.1/').then(() => 'ok', () => 'no')") == "no"
    wait_until(lambda: any("Content Security Policy" in text for text in browser.complaints)
               or browser.evaluate("1") is None, "the complaint of the policy")


@pytest.mark.parametrize(("width", "scheme", "ground"), [
    (1400, "light", "rgb(246, 246, 243)"), (1400, "dark", "rgb(16, 20, 23)"),
    (400, "dark", "rgb(16, 20, 23)")])
def test_fits_and_follows_the_scheme(page, folder, width, scheme, ground):
    _, _, browser = page
    browser.look(width, 900, scheme)
    wait_until(lambda: "serving" in text_of(browser, "state"), "the first figures")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == ground
    browser.screenshot(folder / "page.png")
    assert (folder / "page.png").stat().st_size > 20000


def test_says_so_when_nobody_answers(page):
    proxy, _, browser = page
    wait_until(lambda: "live" in text_of(browser, "seen"), "the first figures")
    proxy.interrupt()
    assert proxy.wait_exit() == 0
    wait_until(lambda: "no answer" in text_of(browser, "seen"), "the page to notice",
               seconds=20)
    assert browser.evaluate("document.getElementById('main').className") == "stale"
