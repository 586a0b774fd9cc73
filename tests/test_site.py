"""The documentation in a browser: light and dark, on a desk and on a phone. ``tox -e browser``."""

import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="needs a browser: tox -e browser")
pytest.importorskip("sphinx", reason="needs a browser: tox -e browser")

DOCS = Path(__file__).parents[1] / "docs"
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = {"phone": 390, "desk": 1280}
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # those of the tools
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built pages; of MXOPT_SITE if it is set."""
    built = os.environ.get("MXOPT_SITE")
    if built:
        return Path(built)
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(
        DOCS.parent, folder / "copy", ignore=shutil.ignore_patterns("*.so", ".git", ".tox", "fixtures")
    )
    command = ["-m", "sphinx", "-q", "-b", "html", str(folder / "copy" / "docs"), str(folder / "html")]
    subprocess.run([sys.executable, *command], check=True, cwd=folder)
    return folder / "html"


@pytest.fixture(scope="module")
def address(site):
    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=str(site))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


def pages(site):
    names = [path.relative_to(site).as_posix() for path in site.rglob("*.html")]
    return sorted(
        name for name in names if not name.startswith("_") and name not in ("search.html", "genindex.html")
    )


WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
CUT = """() => [...document.querySelectorAll("article :is(p, li, td, dt, h1, h2)")]
  .filter(e => getComputedStyle(e).overflowX === "hidden" && e.scrollWidth > e.clientWidth + 1)
  .map(e => e.textContent.slice(0, 60))"""
OUTSIDE = """() => [...document.querySelectorAll("article *")].filter(e => {
    const within = "pre, .table-wrapper, mjx-container, svg, details:not([open]), .headerlink, button";
    if (e.closest(within)) return false;
    if (e.matches("pre, .copybtn")) return false;
    const box = e.getBoundingClientRect();
    return box.width > 0 && box.right > document.documentElement.clientWidth + 1;
  }).map(e => e.tagName + " " + e.textContent.slice(0, 60))"""
# a table that becomes cards where it is too wide has no need to be scrolled
SCROLLED = """() => [...document.querySelectorAll("table.cards, table.doors")]
  .filter(e => e.parentElement.scrollWidth > e.parentElement.clientWidth + 1)
  .map(e => e.textContent.trim().slice(0, 60))"""
PICTURES = """() => [...document.querySelectorAll("article img")].map(e => ({
    source: e.getAttribute("src"), width: e.naturalWidth, shown: e.clientWidth,
    background: getComputedStyle(e).backgroundColor}))"""
CONTRAST = """() => {
  const light = c => { const [r, g, b] = c.match(/[0-9.]+/g).map(Number).map(v => v / 255)
      .map(v => v <= .03928 ? v / 12.92 : Math.pow((v + .055) / 1.055, 2.4));
    return .2126 * r + .7152 * g + .0722 * b; };
  const text = light(getComputedStyle(document.querySelector("article p") || document.body).color);
  const page = light(getComputedStyle(document.body).backgroundColor);
  return {ratio: (Math.max(text, page) + .05) / (Math.min(text, page) + .05), dark: page < .2};
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", WIDTHS)
def test_pages_fit_and_read(site, address, browser, device, scheme):
    page = browser.new_page(viewport={"width": WIDTHS[device], "height": 844}, color_scheme=scheme)
    wrong = []
    for name in pages(site):
        page.goto(f"{address}/{name}")
        found = page.evaluate(CONTRAST)
        if found["ratio"] < 4.5 or found["dark"] != (scheme == "dark"):
            wrong.append(f"{name}: text stands out by {found}")
        if page.evaluate(WIDER) > 0:
            wrong.append(f"{name} is {page.evaluate(WIDER)} pixels wider than the screen")
        wrong += [f"{name}: cut: {text}" for text in page.evaluate(CUT)]
        wrong += [f"{name}: outside: {text}" for text in page.evaluate(OUTSIDE)]
        wrong += [f"{name}: must be scrolled: {text}" for text in page.evaluate(SCROLLED)]
        for picture in page.evaluate(PICTURES):
            if not picture["width"] or not picture["shown"]:
                wrong.append(f"{name}: {picture['source']} is not shown")
            if picture["background"] != "rgb(255, 255, 255)":  # they are drawn in dark lines
                wrong.append(f"{name}: {picture['source']} lies on {picture['background']}")
    page.close()
    assert not wrong, "\n".join(wrong[:20])


def test_search_finds_what_people_look_for(address, browser):
    page = browser.new_page()
    for words, wanted in (("learning rate", "quickstart"), ("adam", "adam"), ("state files", "state-files")):
        page.goto(f"{address}/search.html?q={words.replace(' ', '+')}")
        page.wait_for_function("document.querySelectorAll('#search-results li a').length > 0", timeout=60_000)
        links = page.eval_on_selector_all(
            "#search-results li a", "all => all.map(a => a.getAttribute('href'))"
        )
        assert any(wanted in link for link in links), f"{words}: {links[:8]}"
    page.close()


def test_what_is_copied_has_no_prompts(address, browser):
    context = browser.new_context()
    context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
    page = context.new_page()
    page.goto(f"{address}/quickstart.html")
    page.wait_for_selector("button.copybtn", state="attached")
    assert page.locator("button.copybtn").count() > 3
    page.locator("div.highlight").first.hover()
    page.locator("button.copybtn").first.click()
    page.wait_for_function("navigator.clipboard.readText().then(text => text.length > 0)", timeout=60_000)
    text = page.evaluate("navigator.clipboard.readText()")
    context.close()
    assert ">>>" not in text
    assert "import numpy as np" in text
    assert "dtype=float32)" not in text  # output


class Links(HTMLParser):
    def __init__(self):
        super().__init__()
        self.links, self.anchors = [], set()

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.anchors.add(attrs.get("id"))
        for name in ("href", "src"):
            if attrs.get(name):
                self.links.append(attrs[name])


def test_no_link_is_broken(site):
    found = {}
    for path in site.rglob("*.html"):
        found[path] = reader = Links()
        reader.feed(path.read_text(encoding="utf-8"))
    broken = []
    for path, reader in found.items():
        for link in reader.links:
            if re.match(r"[a-z]+:|//", link):
                continue
            target, anchor = urldefrag(unquote(link.partition("?")[0]) if "#" not in link else unquote(link))
            place = (path.parent / target.partition("?")[0]).resolve() if target else path.resolve()
            if not place.exists() or anchor and place in found and anchor not in found[place].anchors:
                broken.append(f"{path.name}: {link}")
    assert not broken, "\n".join(broken[:20])
