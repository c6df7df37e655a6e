"""What docs/deploying.md says of the deployment, against the Terraform code and the packages."""

from __future__ import annotations

import re
from math import prod
from pathlib import Path

from shared.ingest.control.prices import LIST_PRICES
from shared.ingest.control.rates import ALERTS, READ_BYTES_PER_VOXEL

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "deploying.md").read_text()
CODE = ROOT / "infra" / "terraform"


def default(variable: str, field: str) -> float:
    """The default of a field of a variable of Terraform."""
    text = re.search(rf'^variable "{variable}" .*?^}}', (CODE / "variables.tf").read_text(), re.M | re.S)
    assert text, variable
    found = re.search(rf"\b{field}\s+= optional\(number, (\d+)\)", text[0])
    assert found, field
    return float(found[1])


def test_there_is_a_role_for_each_service_that_is_turned_on() -> None:
    services = set(re.findall(r'"(\w+\.googleapis\.com)"', (CODE / "apis.tf").read_text()))
    roles = dict(re.findall(r"^\| (`\w+\.googleapis\.com`.*) \| (.*roles/.*) \|$", PAGE, re.M))
    named = {service for left in roles for service in re.findall(r"`(\w+\.googleapis\.com)`", left)}
    assert len(services) > 10
    assert services - named == set()


def test_quota_and_attempts_are_those_of_the_code() -> None:
    assert f"{default('quota', 'vcpus'):.0f} vCPUs and {default('quota', 'memory_gib'):.0f} GiB" in PAGE
    assert default("push", "attempts") == default("queues", "attempts") == 100
    assert "(100 each)" in PAGE


def test_variables_that_are_shown_are_there() -> None:
    known = re.findall(r'^variable "(\w+)"', (CODE / "variables.tf").read_text(), re.M)
    pages = PAGE + (ROOT / "docs" / "moving.md").read_text()
    shown = re.findall(r"^(\w+)\s+=", "\n".join(re.findall(r"^```hcl\n(.*?)^```", pages, re.M | re.S)), re.M)
    assert len(shown) > 4
    assert set(shown) - set(known) == set()


def test_costs_on_top_follow_from_the_price_list() -> None:
    gib = 10_010_624 * prod((256, 256, 512)) * READ_BYTES_PER_VOXEL / 2**30
    assert f"{round(gib * LIST_PRICES.region_gib, -1):.0f} for ten million chunks" in PAGE
    assert f"{LIST_PRICES.region_gib} per GiB on one continent" in PAGE
    assert f"{LIST_PRICES.alert_month:.2f} a month for each of {ALERTS}" in PAGE
    assert f"{LIST_PRICES.log_gib:.2f} per GiB" in PAGE
