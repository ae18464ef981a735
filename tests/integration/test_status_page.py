"""The status page in a real browser: readable for everybody, on any screen, and nothing in it from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from drsyncer.errors import ClusterUnreachable
from drsyncer.service import page
from drsyncer.service.board import Board
from drsyncer.service.http import Server
from tests.cluster.control_plane import ControlPlane
from tests.integration.browser import Browser, why_none
from tests.integration.recovery import Recovery, configmap, namespace
from tests.integration.services import Services, until
from tests.unit import statuses

pytestmark = pytest.mark.skipif(bool(why_none()), reason=why_none())

PICTURES = Path(__file__).parents[2] / "build" / "pictures"
PHONE, DESK = 360, 1100
ENOUGH, ENOUGH_FOR_LARGE = 4.5, 3.0  # WCAG 2.2, 1.4.3 (AA)

# Every piece of text that can be seen: its contrast with what is behind it, its size, and the text.
CONTRASTS = """
(() => {
  const numbers = colour => colour.match(/[\\d.]+/g).map(Number);
  const channel = value => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = element => {
    for (; element; element = element.parentElement) {
      const back = numbers(getComputedStyle(element).backgroundColor);
      if (back.length === 3 || back[3] === 1) return back;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  for (let node; (node = walker.nextNode());) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const [one, other] = [light(numbers(style.color)), light(behind(element))].sort((a, b) => b - a);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    found.push([(one + 0.05) / (other + 0.05), large, node.data.trim().slice(0, 40)]);
  }
  return found;
})()
"""


def _nobody() -> Any:
    raise ClusterUnreachable("there is none")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("browser")) as made:
        made.do("Emulation.setScriptExecutionDisabled", value=True)
        yield made


@pytest.fixture(scope="module")
def addresses() -> Iterator[dict[str, str]]:
    """Pages of a service that is well, and of one that has every trouble."""
    servers, found = [], {}
    now = datetime.now(UTC)
    for name, told in (("well", statuses.exporter(now)), ("troubled", statuses.troubled(now))):
        board = Board(told, connect=_nobody, place=None, leading=lambda: True)
        servers.append(Server(address="127.0.0.1", port=0, routes=page.routes(board, lambda: "working")))
        servers[-1].start()
        found[name] = f"http://127.0.0.1:{servers[-1].port}/"
    yield found
    for server in servers:
        server.stop()


@pytest.mark.parametrize("which", ["well", "troubled"])
def test_it_is_shown_without_scripts_errors_or_anything_from_elsewhere(
    browser: Browser, addresses: dict[str, str], which: str
) -> None:
    browser.look(width=DESK)
    browser.open(addresses[which])

    heading = browser.ask("document.querySelector('main h2').innerText")
    assert ("All is well" in heading) is (which == "well")
    assert ("needs attention" in heading or "need attention" in heading) is (which == "troubled")
    assert browser.said() == []
    assert [url for url in browser.asked() if url != addresses[which] and not url.startswith("data:")] == []
    # Its style sheet is the one that the policy allows.
    assert browser.ask("getComputedStyle(document.querySelector('.banner')).borderStyle") == "solid"


def test_names_and_reasons_of_others_are_text_and_nothing_else(browser: Browser, addresses: dict[str, str]) -> None:
    browser.look(width=DESK)
    browser.open(addresses["troubled"])

    assert browser.ask("document.title").startswith("Needs attention: importer prod")
    assert browser.ask("document.querySelectorAll('script, img, svg, iframe, object, form').length") == 0
    assert (
        browser.ask(
            "[...document.querySelectorAll('*')].flatMap(e => [...e.attributes])"
            ".filter(a => a.name.startsWith('on')).length"
        )
        == 0
    )
    text = browser.ask("document.body.innerText")
    for hostile in statuses.HOSTILE[:4]:
        assert f"shop/configmaps/{hostile}" in text
    assert "gnp.exe\\x1b[2J\\x00" in text
    assert "\u202e" not in text


@pytest.mark.parametrize("which", ["well", "troubled"])
def test_it_fits_on_a_phone_and_on_paper(browser: Browser, addresses: dict[str, str], which: str) -> None:
    for width, media in ((PHONE, ""), (DESK, ""), (700, "print")):
        browser.look(width=width, media=media)
        browser.open(addresses[which])
        assert browser.ask("document.documentElement.scrollWidth") <= width
        wide = f"[...document.querySelectorAll('main *')].filter(e => e.getBoundingClientRect().right > {width})"
        assert browser.ask(f"{wide}.filter(e => !e.closest('thead')).map(e => e.outerHTML.slice(0, 80))") == []
    browser.look(width=PHONE)
    browser.picture(PICTURES / f"{which}-phone.png")
    assert len(browser.do("Page.printToPDF")["data"]) > 1_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("which", ["well", "troubled"])
def test_all_of_it_can_be_read_in_light_and_in_dark(
    browser: Browser, addresses: dict[str, str], which: str, scheme: str
) -> None:
    browser.look(width=DESK, scheme=scheme)
    browser.open(addresses[which])
    browser.picture(PICTURES / f"{which}-{scheme}.png")

    found = browser.ask(CONTRASTS)
    assert len(found) > 30
    assert [one for one in found if one[0] < (ENOUGH_FOR_LARGE if one[1] else ENOUGH)] == []
    dark = browser.ask("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, dark[4:-1].split(","))) < 200) is (scheme == "dark")


def test_a_screen_reader_finds_its_way(browser: Browser, addresses: dict[str, str]) -> None:
    browser.look(width=DESK)
    browser.open(addresses["troubled"])

    counts = {name: browser.ask(f"document.querySelectorAll('{name}').length") for name in ("h1", "main", "header")}
    assert counts == {"h1": 1, "main": 1, "header": 1}
    assert browser.ask("document.documentElement.lang") == "en"
    assert browser.ask("[...document.querySelectorAll('th')].every(th => th.scope === 'col')")
    labelled = "[...document.querySelectorAll('table, section')].map(e => e.getAttribute('aria-labelledby'))"
    assert browser.ask(f"{labelled}.every(id => document.getElementById(id).innerText.length > 2)")
    assert browser.ask("document.querySelector('a').getAttribute('href')") == "#content"
    ids = browser.ask("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    times = browser.ask("[...document.querySelectorAll('time')].map(e => [e.dateTime, e.innerText])")
    assert times
    for exact, words in times:
        assert "ago" in words
        assert f"{datetime.fromisoformat(exact):%Y-%m-%d %H:%M:%S} UTC" in words


def test_it_shows_what_a_service_protects_and_that_it_fails_when_it_fails(
    clean_source: ControlPlane, recovery: Recovery, services: Services, browser: Browser
) -> None:
    clean_source.apply([namespace("dr-syncer"), namespace("shop"), configmap("shop", "app", colour="red")])
    service = services.start("exporter", clean_source, quietPeriod="500ms")
    until(lambda: json.loads(service.ask("/status.json")[1] or "{}").get("head"), "the first export")
    browser.look(width=DESK)
    address = f"http://127.0.0.1:{service.port}/"
    browser.open(address)
    text = browser.ask("document.body.innerText")
    assert "All is well" in text
    assert f"{recovery.head()[:12]}" in text
    assert "objects in the recovery point" in text
    assert "prod: first export" in text

    # The remote goes away: what changes from now on is not protected, and the page says so.
    away = Path(f"{recovery.remote}.away")
    recovery.remote.rename(away)
    clean_source.apply([configmap("shop", "app", colour="blue")])
    until(lambda: "troubles" in service.ask("/status.json")[1] and "not pushed" in service.ask("/")[1], "the trouble")
    browser.open(address)
    text = browser.ask("document.querySelector('.banner').innerText")
    assert "1 commit is not pushed: DR cannot have them." in text
    assert browser.said() == []
    assert service.end() == 0
