"""The ingest function's page in a real Chromium, over a small site whose tasks the test delivers."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import pytest
from click.testing import CliRunner
from playwright.sync_api import Browser, Page, Request, expect

from l2cache.commands import main as terminal
from shared.errors import L2CacheError
from shared.ingest.control.fields import Field, Kind
from shared.ingest.control.operation import AnswerKind, Operation
from shared.ingest.control.operations import OPERATIONS
from shared.ingest.control.request import DATASET
from tests.support.browser.chromium import accessibility_faults, browsing, open_page
from tests.support.graph.servers import serving
from tests.support.graph.small import GRAPH_ID, failing
from tests.support.ingest_server import app_of, serve
from tests.support.ingest_site import CHUNKS, Site

MOMENT = "2026-06-01 00:00:00"
WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with open_page(browser, viewport=WIDE) as page:
        yield page


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def url(site: Site, tmp_path: Path) -> Iterator[str]:
    with serve(site.ingest, tmp_path) as address:
        yield address


def button(page: Page, name: str) -> Any:
    return page.get_by_role("button", name=name, exact=True)


def state(page: Page) -> Any:
    return page.locator(".summary .state")


def failed_site(site: Site) -> Site:
    """The site with a finished run, a chunk of which failed."""
    site.cache.volume.fail = failing(L2CacheError("the segmentation is damaged"), (1, 1, 1))
    site.start()
    site.drain()
    return site


def test_an_ingest_is_watched_from_its_plan_to_its_end_and_what_failed_is_retried(
    site: Site, url: str, page: Page
) -> None:
    site.cache.volume.fail = failing(L2CacheError("the segmentation is damaged"), (1, 1, 1))
    page.goto(url)
    expect(page.get_by_text("No table yet")).to_be_visible()
    button(page, "New ingest…").click()
    page.get_by_label("Timestamp").fill(MOMENT)
    expect(button(page, "New ingest")).to_be_disabled()
    button(page, "Show what it costs").click()
    expect(page.locator(".total")).to_contain_text("US$")
    expect(page.locator(".command")).to_have_text(f"l2cache --url {url} start {GRAPH_ID} --timestamp '{MOMENT}'")
    assert site.waiting() == 0
    button(page, "New ingest").click()
    expect(state(page)).to_have_text("waiting for chunks")
    for _ in range(3):
        (lease,) = site.deliveries.lease(1, time.time() + 100.0)
        site.deliver(lease)
        site.deliveries.acknowledge([lease.id])
        site.clock.sleep(1.0)
    done = site.ingest.status(GRAPH_ID).completed_chunks
    assert 0 < done < CHUNKS
    expect(page.locator(".summary")).to_contain_text(f"{done} of {CHUNKS}")
    expect(state(page)).to_have_text("running")
    site.drain()
    expect(state(page)).to_have_text("finished, with failures")
    expect(page.locator(".reasons")).to_have_text("1 chunk the segmentation is damaged")
    assert page.locator(".failures .table-row").inner_text().split("\n")[:3] == ["1", "1", "1"]
    expect(page.locator("canvas").first).to_have_attribute(
        "aria-label", re.compile(f"^Along z: {CHUNKS - 1} chunks done, 1 failed")
    )
    site.cache.volume.fail = lambda _: None
    button(page, "Retry failed chunks…").click()
    button(page, "Retry failed chunks").click()
    expect(page.locator(".summary")).to_contain_text("Trying again 1 chunk that had failed")
    site.drain()
    expect(state(page)).to_have_text("finished")
    expect(page.get_by_role("heading", name="Failed chunks")).to_be_hidden()
    assert site.ingest.status(GRAPH_ID).completed_chunks == CHUNKS


def test_the_command_that_is_shown_does_the_same_and_nothing_is_done_unasked(site: Site, url: str, page: Page) -> None:
    site.start()
    page.goto(url)
    button(page, "Cancel…").click()
    command = page.locator(".command").inner_text()
    button(page, "Do nothing").click()
    expect(page.locator("dialog")).to_have_count(0)
    assert site.ingest.status(GRAPH_ID).state.value == "running"
    said = CliRunner().invoke(terminal, shlex.split(command)[1:])
    assert said.exit_code == 0, said.output
    expect(state(page)).to_have_text("cancelled")
    button(page, "Resume…").click()
    resume = shlex.split(page.locator(".command").inner_text())
    assert resume[3:6] == ["start", GRAPH_ID, "--resume"]
    button(page, "Resume").click()
    expect(state(page)).to_have_text("waiting for chunks")
    assert site.ingest.status(GRAPH_ID).run.generation == 1


def test_a_refusal_is_told_where_it_was_asked(site: Site, url: str, page: Page) -> None:
    site.start()
    page.goto(url)
    button(page, "New ingest…").click()
    page.get_by_label("Bounding box").fill("1,2")
    button(page, "Show what it costs").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("bounding_box")
    page.get_by_label("Bounding box").fill("")
    button(page, "Show what it costs").click()
    button(page, "New ingest").click()
    expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text("is going on")


def press_until(page: Page, name: str, key: str = "Tab") -> None:
    """Moves the focus until it is on what has that name."""
    for _ in range(60):
        focused = page.evaluate("document.activeElement.getAttribute('aria-label') || document.activeElement.innerText")
        if str(focused).startswith(name):
            return
        page.keyboard.press(key)
    raise AssertionError(f"the keyboard does not reach {name!r}")


def test_everything_is_done_by_keyboard_alone(site: Site, url: str, page: Page) -> None:
    failed_site(site)
    page.goto(url)
    expect(page.locator(".failures .table-row")).to_have_count(1)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the link past the datasets
    press_until(page, "Along z")
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    expect(page.locator(".readout")).to_have_text("x 1, y 0: 3 of 3 chunks done")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".readout")).to_have_text("x 1, y 1: 2 of 3 chunks done, 1 failed")
    press_until(page, "Failed chunks")
    page.keyboard.press("Enter")
    expect(page.locator(".failures [aria-selected=true]")).to_have_count(1)
    site.cache.volume.fail = lambda _: None
    press_until(page, "Retry failed chunks…", "Shift+Tab")
    page.keyboard.press("Enter")
    press_until(page, "Do nothing")
    page.keyboard.press("Enter")
    press_until(page, "Retry failed chunks…")  # where the dialog was opened
    page.keyboard.press("Enter")
    press_until(page, "Retry failed chunks")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)
    site.drain()
    expect(state(page)).to_have_text("finished")


@pytest.mark.parametrize(
    "look", [{"viewport": WIDE}, {"viewport": PHONE, "color_scheme": "dark"}], ids=["wide", "phone"]
)
def test_nobody_is_left_out(site: Site, url: str, browser: Browser, look: dict[str, Any]) -> None:
    failed_site(site)
    with open_page(browser, **look) as page:
        page.goto(url)
        expect(page.locator(".failures .table-row")).to_have_count(1)
        page.get_by_text("The same as a table").click()
        expect(page.locator("table.plain tbody tr")).to_have_text(["x 1, y 12100"])
        assert accessibility_faults(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= look["viewport"]["width"]
        button(page, "Audit…").click()
        button(page, "Show what it costs").click()
        expect(page.locator(".total")).to_be_visible()
        assert accessibility_faults(page) == []


def test_what_an_audit_misses_is_shown_and_repaired(site: Site, url: str, page: Page) -> None:
    site.start(test=True)
    site.drain()
    site.clock.sleep(10.0)
    page.goto(url)
    button(page, "Audit…").click()
    page.get_by_label("Timestamp").fill(MOMENT)
    button(page, "Show what it costs").click()
    button(page, "Audit").click()
    expect(page.get_by_role("heading", name=f"Audit of {GRAPH_ID}")).to_be_visible()
    site.drain()
    expect(page.get_by_role("heading", name="What it found")).to_be_visible()
    expect(page.locator(".legend")).to_contain_text("rows missing")
    button(page, "Repair…").click()
    expect(page.locator(".command")).to_have_text(
        f"l2cache --url {url} audit {GRAPH_ID} --timestamp '{MOMENT}' --repair"
    )
    site.clock.sleep(10.0)
    button(page, "Show what it costs").click()
    button(page, "Repair").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    site.drain()
    expect(page.locator(".legend")).not_to_contain_text("rows missing")
    assert site.ingest.status(GRAPH_ID, page.url.partition("run=")[2]).counts["repaired"] > 0


def test_an_operation_that_is_new_in_the_table_can_be_done_on_the_page(site: Site, tmp_path: Path, page: Page) -> None:
    asked: list[Any] = []

    def archive(_: Any, values: Any) -> dict[str, Any]:
        asked.append(values["into"])
        return {}

    into = Field("into", Kind.TEXT, "Where to.", is_required=True)
    new = Operation("archive", "Puts rows away.", (DATASET, into), archive, answer=AnswerKind.DOCUMENT)
    with serve(site.ingest, tmp_path, known=(*OPERATIONS, new)) as url:
        page.goto(url)
        button(page, "Archive…").click()
        page.get_by_label("Into").fill("gs://a b/c")
        expect(page.locator(".command")).to_have_text(f"l2cache --url {url} archive {GRAPH_ID} 'gs://a b/c'")
        button(page, "Archive").click()
        expect(page.get_by_role("dialog")).to_have_count(0)
    assert asked == ["gs://a b/c"]


FOREIGN = """<!doctype html><title>foreign</title><iframe name="answer"></iframe>
<form id="f" method="post" enctype="text/plain" target="answer" action="{url}/">
<input name='{{"operation": "start", "dataset": "small", "run": null, "unit": "' value='voxels"}}'></form>
<script>
const body = JSON.stringify({{ operation: "start", dataset: "small" }});
document.getElementById("f").submit();
const send = (options) => fetch("{url}/", {{ method: "POST", body, ...options }}).then(() => "sent", () => "refused");
window.tries = Promise.all([
  send({{ mode: "no-cors" }}),
  send({{ headers: {{ "Content-Type": "application/json" }} }}),
  send({{ headers: {{ "X-L2Cache-Request": "page" }} }}),
]);
</script>"""


def test_a_foreign_page_cannot_start_a_run(site: Site, tmp_path: Path, browser: Browser) -> None:
    app = app_of(site.ingest, tmp_path)
    statuses: list[int] = []

    def note(response: flask.Response) -> flask.Response:
        if flask.request.method == "POST":
            statuses.append(response.status_code)
        return response

    app.after_request(note)
    with serving(app) as url:
        foreign = flask.Flask("foreign")
        foreign.add_url_rule("/", "page", lambda: FOREIGN.format(url=url))
        with serving(foreign) as address, browser.new_context() as context:
            page = context.new_page()
            page.goto(address.replace("127.0.0.1", "localhost"))
            assert page.evaluate("window.tries") == ["sent", "refused", "refused"]
            page.frame_locator("iframe").get_by_text("403").wait_for()
    assert statuses
    assert set(statuses) == {403}
    assert site.waiting() == 0


def test_requests_do_not_pile_up_where_answers_take_long(site: Site, tmp_path: Path, page: Page) -> None:
    site.start()
    app = app_of(site.ingest, tmp_path)
    app.before_request(lambda: time.sleep(0.25))
    under_way: set[Request] = set()
    most = 0

    def begin(request: Request) -> None:
        nonlocal most
        under_way.add(request)
        most = max(most, len([one for one in under_way if one.resource_type == "fetch"]))

    page.on("request", begin)
    page.on("requestfinished", lambda request: under_way.discard(request))
    with serving(app) as url:
        page.goto(url)
        expect(state(page)).to_be_visible()
        page.wait_for_timeout(3000)
        page.goto("about:blank")
    assert 1 <= most <= 2
