"""Debian's Chromium, driven by Playwright: one for all tests of a process, a page with nothing remembered for each."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

_FLAGS = (
    "--no-sandbox",  # Chromium has none for root, as whom CI runs
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
PATIENCE_MS = 20_000


def chromium() -> str:
    """The browser's program; without one the test is skipped, and in CI it fails."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("no chromium is installed (Debian: apt-get install chromium)")
    return found


@contextmanager
def browsing() -> Iterator[Browser]:
    """A browser; a process can have one such at a time."""
    program = chromium()
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_FLAGS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def browsing_without_webgl(browser: Browser) -> Iterator[Browser]:
    """A further browser beside another, which cannot draw in space."""
    other = browser.browser_type.launch(executable_path=chromium(), args=[*_FLAGS, "--disable-3d-apis"])
    try:
        yield other
    finally:
        other.close()


@contextmanager
def open_page(browser: Browser, **options: object) -> Iterator[Page]:
    """A page that remembers nothing of others; faults of its scripts and of its policy fail the test.

    Args:
      browser: to open it in.
      options: as of Playwright's `new_context`.
    """
    faults: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            faults.append(message.text)

    context = browser.new_context(**options)  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.on("console", note)
    page.on("pageerror", lambda error: faults.append(str(error)))
    try:
        yield page
    finally:
        context.close()
    assert faults == []


def accessibility_faults(page: Page) -> list[str]:
    """What axe finds wrong with a page as it is: the rule and the elements."""
    found = Axe().run(page).response["violations"]
    return [f"{one['id']}: {', '.join(str(node['target']) for node in one['nodes'])}" for one in found]
