"""What skips a test elsewhere fails it in CI, where everything that the tests need must be installed."""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest


class NotPermitted(pytest.skip.Exception):
    """Skips a test for a permission that the account lacks, in CI as well: there is nothing to install for it."""


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    call: pytest.CallInfo[None],
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turns a skip into a failure that names what is missing, if this is CI."""
    report = yield
    reason = call.excinfo.value if call.excinfo is not None else None
    is_skip = report.skipped and not hasattr(report, "wasxfail") and not isinstance(reason, NotPermitted)
    if is_skip and os.environ.get("CI") == "true":
        report.outcome, report.longrepr = "failed", f"skipped, which CI must not do: {reason}"
    return report
