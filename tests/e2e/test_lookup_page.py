"""The look-up's page in a real Chromium, over a stack with a made brain."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pytest
import requests
from playwright.sync_api import Browser, Page, expect

from infra.local.stack import LocalStack, ServedGraph
from infra.standin.world.build import build
from infra.standin.world.parameters import TABLE, WorldParameters
from shared.store.open import open_store
from tests.support.browser.chromium import accessibility_faults, browsing, browsing_without_webgl, open_page
from tests.support.stack.client import answer, start_ingest
from tests.support.stack.ports import take_free_ports

CACHE_TABLE = f"l2cache_{TABLE}_v1"
WORLD = WorldParameters(size_voxels=(150, 140, 130), chunk_size_voxels=(32, 32, 32))


class Site:
    """A stack over a made brain: the first two neurons are in the cache, the third is not.

    Attributes:
      url: of the page.
      api: of the dataset's routes.
    """

    def __init__(self, stack: LocalStack, roots: list[int]) -> None:
        self.url = f"{stack.lookup_url}/l2cache/"
        self.api = f"{self.url}api/v1/table/{TABLE}"
        self.cv_path = f"graphene://{stack.graph_url}/segmentation/table/{TABLE}"
        self.first, self.second, self.absent = roots[:3]
        self._store = stack.services.store

    def post(self, path: str, **document: Any) -> Any:
        return answer(requests.post(f"{self.api}/{path}", json=document, timeout=60))

    def l2_ids(self, root: int) -> list[int]:
        ids: list[int] = self.post("l2_ids", node_ids=[root])[str(root)]["l2_ids"]
        return ids

    def total(self, root: int) -> dict[str, Any]:
        found: dict[str, Any] = self.post("totals?update_cache=false", node_ids=[root])[str(root)]
        return found

    def add_rows(self, count: int) -> list[int]:
        """Adds that many rows like those of the first neuron's first node, at places of their own; gives their ids."""
        random = np.random.default_rng(1)
        with closing(open_store(self._store)) as store:
            node = store.scan_rows(CACHE_TABLE, [(self.l2_ids(self.first)[0],) * 2])
            rows = replace(
                node,
                l2_ids=node.l2_ids + np.arange(1_000, 1_000 + count, dtype=np.uint64),
                written_us=np.repeat(node.written_us, count),
                values={name: np.repeat(values, count, axis=0) for name, values in node.values.items()},
                lengths={name: np.repeat(lengths, count) for name, lengths in node.lengths.items()},
            )
            rows.values["rep_coord_nm"][:] = random.integers(0, 30, rows.values["rep_coord_nm"].shape)
            store.write_rows(CACHE_TABLE, rows)
        found: list[int] = rows.l2_ids.tolist()
        return found

    def fragment(self, *ids: int, **parts: str) -> str:
        return f"{self.url}#d={TABLE}&ids={','.join(map(str, ids))}" + "".join(f"&{k}={v}" for k, v in parts.items())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("page")
    world = build(folder / "world", WORLD)
    graph = ServedGraph(TABLE, ("--world", str(folder / "world")))
    with LocalStack(take_free_ports(folder / "state"), graph=graph, workers=1) as stack:
        start_ingest(stack.ingest_url, TABLE, test=True)  # makes the table
        site = Site(stack, [root["root_id"] for root in world["roots"]])
        both = [site.first, site.second]
        for _ in range(20):
            if all(total["complete"] for total in site.post("totals?wait=10", node_ids=both).values()):
                break
        else:
            pytest.fail("the neurons were not computed")
        yield site


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with open_page(browser, viewport={"width": 1000, "height": 700}) as page:
        yield page


def wait_until_complete(page: Page, neurons: int = 1) -> None:
    expect(page.locator("[data-state=complete]")).to_have_count(neurons)


def figures(page: Page, number: int = 0) -> dict[str, str]:
    card = page.locator(".card").nth(number)
    return dict(zip(card.locator("dt").all_text_contents(), card.locator("dd").all_text_contents(), strict=True))


def shown(value: float, unit: str) -> str:
    """A number as the page writes it, of three digits."""
    return f"{float(f'{value:.3g}'):g} {unit}"


def test_a_neuron_is_found_and_its_card_says_what_the_api_says(site: Site, page: Page) -> None:
    page.goto(site.url)
    page.get_by_label("Root ids, L2 ids").fill(str(site.first))
    page.get_by_role("button", name="Show", exact=True).click()
    wait_until_complete(page)
    total, said = site.total(site.first), figures(page)
    assert said["Volume"] == shown(total["size_nm3"] / 1e9, "µm³")
    assert said["Surface"] == shown(total["area_nm2"] / 1e6, "µm²")
    assert said["L2 nodes"] == str(total["n_l2"])
    assert said["Thickest"] == f"{total['max_dt_nm']} nm radius"
    assert page.locator("#counts").inner_text() == f"{total['n_l2']} nodes · {total['n_cached']} cached"
    expect(page.get_by_role("grid", name="Nodes")).to_have_attribute("aria-rowcount", str(total["n_l2"] + 1))
    expect(page.locator(".table-row").nth(5)).to_be_visible()
    ids = page.locator(".table-row .mono").all_text_contents()
    assert set(map(int, ids)) <= set(site.l2_ids(site.first))
    assert page.get_by_role("img", name=re.compile("Radius of nodes: .* nodes from")).count() == 1


def test_what_is_missing_arrives_while_one_looks(site: Site, page: Page) -> None:
    page.add_init_script(
        "window.told = []; new MutationObserver(() => { const e = document.querySelector('#counts');"
        " if (e) window.told.push(e.textContent) }).observe(document, {subtree: true, childList: true})"
    )
    page.goto(site.fragment(site.absent))
    wait_until_complete(page)
    n_l2 = site.total(site.absent)["n_l2"]
    expect(page.locator("#counts")).to_have_text(f"{n_l2} nodes · {n_l2} cached")
    told = page.evaluate("window.told")
    assert any("being computed" in text or "missing" in text for text in told), told
    assert figures(page)["L2 nodes"] == str(n_l2)


def test_a_node_that_is_clicked_is_found_in_the_table_and_back(site: Site, page: Page) -> None:
    rows = site.post("attributes?attribute_names=size_nm3,rep_coord_nm", l2_ids=site.l2_ids(site.first))
    largest = max(rows, key=lambda l2_id: rows[l2_id]["size_nm3"])
    x, y, z = rows[largest]["rep_coord_nm"]
    camera = f"{x:.0f},{y:.0f},{z - 900:.0f},{x:.0f},{y:.0f},{z:.0f}"  # so near that nothing is in front of it
    page.goto(site.fragment(site.first, camera=camera))
    wait_until_complete(page)
    page.wait_for_timeout(500)
    page.locator("canvas").click()
    expect(page.locator(".detail strong")).to_have_text(largest)
    expect(page.locator(".table-row[aria-selected=true] .mono")).to_have_text(largest)
    page.locator(".table-row[aria-selected=false]").first.click()
    expect(page.locator(".detail strong")).not_to_have_text(largest)
    other = page.locator(".detail strong").inner_text()
    expect(page.locator(".table-row[aria-selected=true] .mono")).to_have_text(other)


def test_the_address_opens_the_same_view(site: Site, page: Page) -> None:
    page.goto(site.fragment(site.first, site.second, sort="-size_nm3"))
    wait_until_complete(page, 2)
    page.get_by_label("Colour by").select_option("area_nm2")
    page.get_by_label("Principal axes").check()
    chosen = page.locator(".table-row .mono").first.inner_text()
    page.locator(".table-row").first.click()
    page.wait_for_url(lambda url: f"node={chosen}" in url and "axes=1" in url and "camera=" in url)
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    wait_until_complete(page, 2)
    expect(page.locator(".detail strong")).to_have_text(chosen)
    assert page.get_by_label("Colour by").input_value() == "area_nm2"
    assert page.get_by_label("Principal axes").is_checked()
    expect(page.get_by_role("columnheader", name="Volume")).to_have_attribute("aria-sort", "descending")
    page.wait_for_timeout(600)
    assert page.url == address


def test_the_files_that_are_taken_away_can_be_read(site: Site, page: Page, tmp_path: Path) -> None:
    page.goto(site.fragment(site.first, site.l2_ids(site.second)[0]))
    wait_until_complete(page, 2)
    wanted = sorted({*site.l2_ids(site.first), site.l2_ids(site.second)[0]})
    files = {}
    for title in ("Arrow", "CSV", "JSON"):
        with page.expect_download() as started:
            page.get_by_role("button", name=title, exact=True).click()
        files[title] = tmp_path / started.value.suggested_filename
        started.value.save_as(files[title])
    table = pa.ipc.open_stream(files["Arrow"].read_bytes()).read_all()
    assert table["l2_id"].to_pylist() == wanted
    assert table["size_nm3"].null_count == 0
    assert [int(row["l2_id"]) for row in csv.DictReader(files["CSV"].read_text().splitlines())] == wanted
    assert sorted(map(int, json.loads(files["JSON"].read_text()))) == wanted


def test_the_python_that_is_copied_runs(site: Site, page: Page) -> None:
    page.goto(site.fragment(site.first))
    wait_until_complete(page)
    page.get_by_text("Python", exact=True).click()
    code = page.locator("pre").first.inner_text()
    assert "token" not in re.sub("#.*", "", code)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    total = site.total(site.first)
    assert done.stdout.startswith(f"{total['n_l2']} nodes, {total['size_nm3'] / 1e9:.3f}"[:-2])


def written_as_links_once_were(state: str) -> str:
    return state.replace("'", "\\'").replace('"', "'").replace(", ", "_")


@pytest.mark.parametrize(
    ("as_layers", "as_text"),
    [
        pytest.param(lambda layers: layers, lambda state: f"https://ngl.example/#!{quote(state)}", id="link"),
        pytest.param(lambda layers: layers, str, id="state"),
        pytest.param(
            lambda layers: {f"its, _ 'layer' {i}": layer for i, layer in enumerate(layers)}, str, id="layers by name"
        ),
        pytest.param(
            lambda layers: layers,
            lambda state: f"https://ngl.example/#!{written_as_links_once_were(state)}",
            id="link of old",
        ),
    ],
)
def test_a_neuroglancer_state_is_understood_and_given(
    site: Site, page: Page, as_layers: Callable[[Any], Any], as_text: Callable[[str], str]
) -> None:
    page.goto(site.url)
    layer = {"type": "segmentation", "source": site.cv_path, "segments": [str(site.first), f"!{site.second}"]}
    image = {"type": "image", "source": "precomputed://gs://a_b/c'd"}
    field = page.get_by_label("Root ids, L2 ids")
    field.fill(as_text(json.dumps({"layers": as_layers([image, layer])})))
    field.press("Enter")
    wait_until_complete(page)
    assert field.input_value() == str(site.first)
    given = page.get_by_role("link", name="Open in neuroglancer").get_attribute("href")
    state = page.evaluate("(link) => JSON.parse(decodeURIComponent(link.split('#!')[1]))", given)
    segmentation, annotation = state["layers"]
    assert (segmentation["source"], segmentation["segments"]) == (site.cv_path, [str(site.first)])
    assert {int(point["id"]) for point in annotation["annotations"]} == set(site.l2_ids(site.first))
    assert state["position"] in [point["point"] for point in annotation["annotations"]]


def test_what_is_no_id_is_said(site: Site, page: Page) -> None:
    page.goto(site.fragment(site.first + 10_000_000, site.first))
    wait_until_complete(page)
    assert page.locator(".card .state-bad").inner_text() != ""
    for text, said in (
        ("12x", "“12x” is no id"),
        ("99999999999999999999", "no id"),
        ("https://n/#!https://s/1", "lies on a server"),
        ("https://n/#!middleauth+https://s/nglstate/api/v1/1", "lies on a server"),
        ("https://n/?json_url=https://s/nglstate/1", "lies on a server"),
        ("https://n/#!%7B%22layers%22:[]%7D", "No segment is selected"),
        ("https://n/#!%7B%22layers%22:[3,null]%7D", "No segment is selected"),
        ("https://n/#!%7B%22lay", "cannot be read as JSON"),
        ("https://n/#!%E0%A4", "cut off or damaged"),
    ):
        page.get_by_label("Root ids, L2 ids").fill(text)
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_contain_text(said)


def test_a_view_that_is_slow_draws_fewer_nodes_while_it_turns_and_all_at_rest(site: Site, page: Page) -> None:
    l2_ids = site.add_rows(3_000)
    page.add_init_script("window.requestAnimationFrame = (draw) => setTimeout(() => draw(performance.now()), 100)")
    page.goto(site.url)
    page.get_by_label("Root ids, L2 ids").fill(" ".join(map(str, l2_ids)))
    page.keyboard.press("Enter")
    view = page.locator("canvas")
    expect(view).to_have_attribute("data-nodes", "3000")
    drawn = view.evaluate(
        """async (canvas) => {
            const drawn = [];
            for (let i = 0; i < 20; i++) {
                canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft", bubbles: true }));
                await new Promise((resolve) => setTimeout(resolve, 50));
                drawn.push(Number(canvas.dataset.nodes));
            }
            return drawn;
        }"""
    )
    assert min(drawn) == 2_000, drawn
    expect(view).to_have_attribute("data-nodes", "3000")


def test_all_of_it_goes_by_keyboard(site: Site, page: Page) -> None:
    def tab_to(selector: str) -> None:
        for _ in range(60):
            if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
                return
            page.keyboard.press("Tab")
        pytest.fail(f"{selector} is not reached by the key Tab")

    page.goto(site.url)
    expect(page.get_by_label("Root ids, L2 ids")).to_be_focused()
    page.keyboard.type(str(site.first))
    page.keyboard.press("Enter")
    wait_until_complete(page)
    tab_to("canvas")
    page.wait_for_url(lambda url: "camera=" in url)
    before = page.url
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("+")
    page.wait_for_url(lambda url: url != before)
    tab_to("[role=grid]")
    page.keyboard.press("End")
    expect(page.locator(".detail strong")).to_have_text(str(site.l2_ids(site.first)[-1]))
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    expect(page.locator(".table-row[aria-selected=true] .mono")).to_have_text(str(site.l2_ids(site.first)[1]))
    tab_to("[data-key=size_nm3]")
    page.keyboard.press("Enter")
    expect(page.get_by_role("columnheader", name="Volume")).to_have_attribute("aria-sort", "descending")
    tab_to("[data-key=size_nm3]")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_nothing_stands_in_the_way_of_anybody(site: Site, browser: Browser, scheme: Any, width: int) -> None:
    with open_page(browser, viewport={"width": width, "height": 844}, color_scheme=scheme) as page:
        page.goto(site.fragment(site.first, site.second, node=str(site.l2_ids(site.first)[0])))
        wait_until_complete(page, 2)
        page.get_by_text("Python", exact=True).click()
        assert accessibility_faults(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_without_webgl_all_but_the_view_is_there(site: Site, browser: Browser) -> None:
    with browsing_without_webgl(browser) as other, open_page(other) as page:
        page.goto(site.fragment(site.first))
        wait_until_complete(page)
        expect(page.locator("#view")).to_contain_text("cannot draw in space")
        assert page.locator("canvas").count() == 0
        page.locator(".table-row").nth(5).click()
        page.wait_for_url(lambda url: "node=" in url)


def test_who_is_not_logged_in_is_led_to_the_login_and_back(site: Site, page: Page) -> None:
    authorize = "https://auth.example/api/v1/authorize"
    refusal = {"status": 401, "json": {"code": 401, "message": "Unauthorized - No Token Provided"}}
    headers = {"WWW-Authenticate": f'Bearer realm="{authorize}"', "Content-Type": "application/json"}
    page.route("**/api/v1/table/**", lambda route: route.fulfill(**refusal, headers=headers))
    page.route(f"{authorize}**", lambda route: route.fulfill(body="log in here"))
    page.goto(site.fragment(site.first))
    expect(page.get_by_role("alert")).to_contain_text("No Token Provided")
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{authorize}**")
    assert page.url == f"{authorize}?redirect={quote(site.url, safe='')}"
    page.unroute("**/api/v1/table/**")
    page.goto(f"{site.url}?middle_auth_token=s3cret")  # as the login page sends one back
    wait_until_complete(page)
    assert "s3cret" not in page.url
    assert page.locator(".card h2").inner_text() == str(site.first)
