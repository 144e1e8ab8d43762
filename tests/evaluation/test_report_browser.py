"""The page in a real browser: no sideways scroll, no complaint, words that can be read.

Chromium is driven through chromedriver's own HTTP interface, so nothing has to be installed for it.
"""

import contextlib
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from uncertain.evaluation.report import render_report

from .test_report import hostile_report, judged  # noqa: F401 - a fixture

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WIDTHS = (320, 768, 1000, 1440)
SCHEMES = ("light", "dark")
ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip

OVERFLOW = """
const page = document.scrollingElement;
const wide = [...document.querySelectorAll('body *')].filter(e =>
    e.getBoundingClientRect().right > innerWidth + 1 && !e.closest('.scroll, .wide, .sr, thead'));
return {scroll: page.scrollWidth, inner: innerWidth,
        wide: wide.slice(0, 3).map(e => e.outerHTML.slice(0, 200))};
"""

# Contrast of every piece of text with the nearest painted ground, as the browser resolved it.
FAINT = """
const parse = c => (c.match(/[\\d.]+/g) || []).map(Number);
const light = c => { const f = c.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2]; };
const ground = e => { for (; e; e = e.parentElement) {
    const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length === 3 || c[3] === 1) return c; } return [255, 255, 255]; };
const faint = [];
for (const e of document.querySelectorAll('body *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.getClientRects().length || e.closest('title, desc')) continue;
    const style = getComputedStyle(e);
    const ink = light(parse(e.namespaceURI.endsWith('svg') ? style.fill : style.color));
    const behind = light(ground(e));
    const ratio = (Math.max(ink, behind) + 0.05) / (Math.min(ink, behind) + 0.05);
    if (ratio < 4.5) faint.push([ratio, e.outerHTML.slice(0, 160)]);
}
return faint.slice(0, 5);
"""


class Browser:
    """One session of a headless Chromium."""

    def __init__(self, driver, chromium, profile):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = subprocess.Popen(
            [driver, f"--port={self.port}", "--silent"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self.session = ""
        self._wait()
        options = {"binary": chromium, "args": [*ARGUMENTS, f"--user-data-dir={profile}"]}
        wanted = {
            "browserName": "chrome",
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        started = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.session = f"/session/{started['sessionId']}"

    def _wait(self):
        for _ in range(100):
            with contextlib.suppress(OSError):
                self.call("GET", "/status")
                return
            time.sleep(0.1)
        raise TimeoutError("chromedriver did not start")

    def call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        address = f"http://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(address, data, method=method)
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode()[:500]) from error

    def command(self, name, parameters):
        body = {"cmd": name, "params": parameters}
        return self.call("POST", f"{self.session}/goog/cdp/execute", body)

    def show(self, path, width, scheme, media=""):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.command("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.command("Emulation.setEmulatedMedia", {"media": media, "features": features})
        self.call("POST", f"{self.session}/url", {"url": path.as_uri()})

    def run(self, script):
        body = {"script": script, "args": []}
        return self.call("POST", f"{self.session}/execute/sync", body)

    def complaints(self):
        return self.call("POST", f"{self.session}/se/log", {"type": "browser"})

    def close(self):
        with contextlib.suppress(Exception):
            self.call("DELETE", self.session)
        self.process.terminate()
        self.process.wait(timeout=20)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no Chromium with its chromedriver is on the path")
    opened = Browser(driver, chromium, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def pages(judged, tmp_path_factory):  # noqa: F811 - the fixture imported above
    folder = tmp_path_factory.mktemp("pages")
    texts = {"usual": render_report(*judged, title="Two networks"), "hostile": hostile_report()}
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", ["usual", "hostile"])
def test_nothing_scrolls_sideways_or_complains(browser, pages, name, width, scheme):
    browser.show(pages[name], width, scheme)
    for script in ("", "document.querySelectorAll('details').forEach(d => d.open = true);"):
        found = browser.run(script + OVERFLOW)
        assert found["inner"] == width
        assert found["scroll"] <= found["inner"], found
        assert found["wide"] == []
    assert browser.complaints() == []


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", [320, 1440])
def test_all_words_can_be_read(browser, pages, width, scheme):
    browser.show(pages["usual"], width, scheme)
    opened = "document.querySelectorAll('details').forEach(d => d.open = true);"
    assert browser.run(opened + FAINT) == []


def test_the_schemes_differ_and_print_is_light(browser, pages):
    ground = "return getComputedStyle(document.body).backgroundColor"
    found = []
    for scheme, media in (("light", ""), ("dark", ""), ("dark", "print")):
        browser.show(pages["usual"], 1440, scheme, media)
        found.append(browser.run(ground))
    assert len(set(found)) == 3
    assert found[2] == "rgb(255, 255, 255)"


def test_drawings_keep_their_size(browser, pages):
    """A drawing is as wide as its column, and its words stay legible on a phone."""
    script = """
    return [...document.querySelectorAll('svg.plot')].map(e => {
        const box = e.getBoundingClientRect();
        const words = e.querySelector('text').getBoundingClientRect();
        return [box.width, box.height, words.height]; });
    """
    for width in (320, 1440):
        browser.show(pages["usual"], width, "light")
        for wide, high, words in browser.run(script):
            assert wide >= min(width - 60, 280)
            assert high > 150
            assert words > 8


def test_the_checks_see_what_they_look_for(browser, pages):
    browser.show(pages["usual"], 320, "light")
    browser.run("document.querySelector('main p').style.color = '#999'")
    assert browser.run(FAINT)
    browser.run("document.querySelector('h1').style.width = '500px'")
    found = browser.run(OVERFLOW)
    assert found["scroll"] > found["inner"]
    assert found["wide"]
