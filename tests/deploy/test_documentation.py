"""The documentation's tables against what they tell of: operations, errors, alerts and more; and that it is built."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from shared.attributes import ATTRIBUTES
from shared.config.datasets import Datasets
from shared.config.settings import Settings
from shared.ingest.control.operations import Operations
from shared.ingest.control.service import IngestService
from shared.lookup.description import describe_lookup
from shared.web.errors import STATUSES
from tests.support.documentation import ROOT, blocks, pages

PAGES = pages()


def section(page: str, title: str) -> str:
    """A page's text between a heading and the next one of the same level or above."""
    match = re.search(rf"^(#+) {re.escape(title)}\n(.*?)(?=^#{{1,2}} |\Z)", PAGES[page], re.M | re.S)
    assert match, f"{page} has no section {title!r}"
    return match[2]


def first_column(text: str) -> list[str]:
    """What stands in the first column of tables, without the quotes of code."""
    cells = (line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|"))
    return [name for cell in cells for name in re.findall(r"`?([\w./]+)`?", cell)]


def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site" / "tutorial" / "index.html").is_file()
    html = {path: path.read_text() for path in (tmp_path / "site").rglob("*.html")}
    assert {path.name: found for path, text in html.items() if (found := loaded_from_elsewhere(text))} == {}
    diagrams = [path for path, text in html.items() if 'class="mermaid"' in text]
    assert [path.parent.name for path in diagrams] == ["design"]
    for path in diagrams:
        (script,) = re.findall(r'src="([^"]*mermaid[^"]*)"', html[path])
        assert (path.parent / script).resolve().is_file()


def loaded_from_elsewhere(html: str) -> list[str]:
    """Elements of a page that a browser loads from another host."""
    return re.findall(r'<(?:script|link|img|iframe|source)\b[^>]*\b(?:src|href)="?(?:https?:)?//[^>]*>', html)


def test_what_is_loaded_from_elsewhere_would_be_found() -> None:
    assert loaded_from_elsewhere('<script async src="https://unpkg.com/x.js"></script>')
    assert loaded_from_elsewhere('<link rel=stylesheet href="//fonts/x.css">')
    assert not loaded_from_elsewhere('<a href="https://github.com"><img src="images/neuron.svg">')


def test_diagrams_can_be_read_by_mermaid() -> None:
    """It takes no node of these names."""
    diagrams = [block for page in PAGES.values() for block in blocks(page, "mermaid")]
    nodes = {name for diagram in diagrams for name in re.findall(r"(?<![\w(\[])(\w+)[\[({]", diagram)}
    assert {"lookup", "ingest", "compute"} <= nodes
    assert nodes & {"graph", "flowchart", "subgraph", "end", "class", "style", "click", "default"} == set()


def test_every_page_of_the_site_is_in_its_navigation() -> None:
    navigation = (ROOT / "mkdocs.yml").read_text().partition("\nnav:")[2]
    below = {name.removeprefix("docs/") for name in PAGES if name.startswith("docs/")}
    assert set(re.findall(r"[\w/-]+\.md", navigation)) == below


def test_every_attribute_is_described() -> None:
    described = re.findall(r"`(\w+)`", "".join(re.findall(r"^\|([^|]*)\|", PAGES["docs/http-api.md"], re.M)))
    assert [attribute.name for attribute in ATTRIBUTES if attribute.name not in described] == []


def test_every_status_is_described() -> None:
    described = {
        int(code) for code in re.findall(r"\b[45]\d\d\b", " ".join(first_column(section("docs/http-api.md", "Errors"))))
    }
    assert {answer.status for answer in STATUSES.values()} <= described


def test_every_operation_of_ingest_is_described() -> None:
    service = Mock(spec=IngestService)
    names = set(Operations(service).names())
    assert len(names) > 5
    assert names - set(first_column(section("docs/http-api.md", "Ingest"))) == set()


def test_bodies_that_are_sent_to_ingest_have_fields_that_it_knows() -> None:
    """Of `curl -d` and `gcloud functions call --data`, in shell blocks."""
    shell = "\n".join(block for page in PAGES.values() for block in blocks(page, "sh"))
    bodies = [json.loads(body) for body in re.findall(r"(?:-d |--data=)'({.*?})'", shell)]
    known = set(re.findall(r"`(\w+)`", section("docs/http-api.md", "Ingest"))) | {"operation", "l2_ids"}
    assert len(bodies) > 3
    assert [body for body in bodies if not body.keys() <= known] == []


def test_datasets_that_are_shown_can_be_read(tmp_path: Path) -> None:
    shown = [block for page in PAGES.values() for block in blocks(page, "yaml")]
    assert len(shown) > 1
    for number, block in enumerate(shown):
        file = tmp_path / f"{number}.yaml"
        file.write_text(block)
        assert Datasets.from_file(file).by_graph_id


def test_variables_of_terraform_that_are_set_are_there() -> None:
    known = re.findall(r'^variable "(\w+)"', (ROOT / "infra" / "terraform" / "variables.tf").read_text(), re.M)
    shown = "\n".join(block for page in PAGES.values() for block in blocks(page, "hcl"))
    names = set(re.findall(r"^(\w+)\s+=", shown, re.M))
    assert names
    assert names - set(known) == set()


def test_every_route_and_every_parameter_of_the_look_up_is_described() -> None:
    stores = dict.fromkeys(("L2CACHE_STORE", "L2CACHE_BUS", "L2CACHE_QUEUE"), "sqlite:////file.db")
    settings = Settings.from_environment({"L2CACHE_DATASETS": "/datasets.yaml", **stores})
    paths = describe_lookup(settings, ATTRIBUTES)["paths"]
    page = section("docs/http-api.md", "Look-up")
    assert len(paths) >= 8
    assert [path for path in paths if f"{path.replace('{dataset}', '<dataset>')}`" not in page] == []
    routes = [route for methods in paths.values() for route in methods.values()]
    names = {parameter["name"] for route in routes for parameter in route.get("parameters", ())}
    assert {name for name in names if not re.search(rf"[`?<]{name}\b", page)} == set()


def test_every_alert_has_its_place_in_the_runbook() -> None:
    titles = re.findall(r'^ +title += "([^"]+)"$', (ROOT / "infra" / "terraform" / "alerts.tf").read_text(), re.M)
    headings = re.findall(r"^### Alert: (.+)$", PAGES["docs/operating.md"], re.M)
    assert titles == headings


def test_the_words_of_the_trade_are_in_the_glossary() -> None:
    words = re.findall(r"^\| \*\*(.+?)\*\* \|", PAGES["docs/glossary.md"], re.M)
    needed = {
        "dataset",
        "graph id",
        "cache table",
        "chunk",
        "block",
        "leaf",
        "mark",
        "run",
        "generation",
        "miss",
        "edit",
    }
    assert needed | {"row", "graph node", "Bigtable node", "unit"} <= set(words)
    assert words == sorted(words, key=str.lower)


@pytest.mark.parametrize("page", ["docs/operating.md", "README.md"])
def test_it_is_said_that_edits_are_not_followed_by_default(page: str) -> None:
    variables = (ROOT / "infra" / "terraform" / "variables.tf").read_text()
    edits = re.search(r'variable "edits_topic" \{.*?^\}', variables, re.M | re.S)
    assert edits
    assert re.search(r'default\s+= ""', edits[0])
    assert "edits_topic" in PAGES[page]
    assert re.search(r"\*\*.*(empty|only if).*", PAGES[page], re.S)
