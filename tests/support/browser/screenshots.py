"""The pictures of the pages in the documentation, of the demo's made brain: `make screenshots`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import expect

from infra.local.stack import LocalStack, ServedGraph
from infra.standin.world.build import build
from infra.standin.world.parameters import TABLE, WorldParameters
from tests.support.browser.chromium import browsing, open_page
from tests.support.stack.client import start_ingest, status, wait_until
from tests.support.stack.ports import take_free_ports

IMAGES = Path(__file__).resolve().parents[3] / "docs" / "images"
SIZE = {"width": 1280, "height": 800}
NEURONS = 3
SETTLE_MS = 1_500


def main() -> None:
    """Builds the demo's brain, ingests it, and takes the pictures, in light and dark."""
    with tempfile.TemporaryDirectory() as folder:
        world = build(Path(folder) / "world", WorldParameters())
        graph = ServedGraph(TABLE, ("--world", str(Path(folder) / "world")))
        with LocalStack(take_free_ports(Path(folder) / "state"), graph=graph) as stack:
            start_ingest(stack.ingest_url, TABLE)
            wait_until(lambda: status(stack.ingest_url, TABLE)["finished"], "the ingest")
            take_lookup(stack.lookup_url, [root["root_id"] for root in world["roots"][:NEURONS]])


def take_lookup(lookup_url: str, roots: list[int]) -> None:
    """The look-up's page with some neurons."""
    address = f"{lookup_url}/l2cache/#d={TABLE}&ids={','.join(map(str, roots))}&sort=-size_nm3"
    for scheme in ("light", "dark"):
        options: dict[str, Any] = {"viewport": SIZE, "color_scheme": scheme, "reduced_motion": "reduce"}
        with browsing() as browser, open_page(browser, **options) as page:
            page.goto(address)
            expect(page.locator("[data-state=complete]")).to_have_count(len(roots))
            page.locator(".table-row").nth(2).click()
            page.wait_for_timeout(SETTLE_MS)
            page.screenshot(path=IMAGES / f"lookup-page-{scheme}.png")


if __name__ == "__main__":
    main()
