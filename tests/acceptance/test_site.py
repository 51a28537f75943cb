"""The site that `make docs` builds, and that nothing is missing from its reference."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

import atml
from atml.cli.main import INTERRUPTED, MISTAKE
from atml.cli.targets import MISSED, NOT_OVER
from atml.service.launcher import CANNOT_WRITE, ERROR_PIPE
from atml.tuning.phases import PHASES
from tests.acceptance.pages import DOCS, ROOT

sys.path.insert(0, str(DOCS))
import generate
import json_schemas as schemas
from environment_variables import ENVIRONMENT, EXIT_CODES

CHROMIUM = shutil.which("chromium")
INTERNAL = {ERROR_PIPE}  # between a supervisor and its workers


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Build the site as `make docs` does."""
    (line,) = [line for line in ROOT.joinpath("Makefile").read_text().splitlines() if "sphinx-build" in line]
    options = line.split("sphinx-build ")[1].removesuffix(" docs site").split()
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "sphinx",
        *options,
        "--doctree-dir",
        folder / "trees",
        DOCS,
        folder / "html",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "html"


def test_the_reference_shows_every_public_name(site):
    page = (site / "reference" / "python.html").read_text()
    assert [name for name in atml.__all__ if f'id="atml.{name}"' not in page] == []


def test_the_reference_shows_every_command_with_its_options(site):
    page = (site / "reference" / "commands.html").read_text()
    for name, command in generate.commands():
        assert f"<h2>atml {name}<" in page
        assert [
            one.opts[-1] for one in generate.parameters(command) if one.opts[-1].lower() not in page.lower()
        ] == []


def test_no_page_loads_anything_from_the_network(site):
    loaded = re.compile(r'<(?:script|img|iframe)[^>]*\ssrc="(?:https?:)?//|<link[^>]*\shref="(?:https?:)?//')
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 20
    assert [path.name for path in pages if loaded.search(path.read_text())] == []
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert not re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", styles)


@pytest.mark.skipif(CHROMIUM is None, reason="apt-get install chromium")
@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_is_wider_than_the_window_and_every_picture_is_there(site, width):
    faults = """() => ({
        wide: document.documentElement.scrollWidth > document.documentElement.clientWidth,
        missing: [...document.images].filter(one => !one.naturalWidth).map(one => one.src),
    })"""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": 900})
        for path in sorted(site.rglob("*.html")):
            page.goto(path.as_uri())
            assert page.evaluate(faults) == {"wide": False, "missing": []}, path.name
        browser.close()


@pytest.mark.parametrize(("name", "command"), [*generate.commands()], ids=lambda one: str(one)[:20])
def test_every_command_option_and_argument_has_a_help_text(name, command):
    assert command.help
    assert [one.name for one in generate.parameters(command) if not one.help] == []


@pytest.mark.parametrize("phase", PHASES)
def test_every_field_of_a_spec_has_a_description(phase):
    rows = generate.every_row(phase)
    assert {"`name`", "`search.sizes`", "`training.augmentation.noise`"} <= {row[0] for row in rows}
    assert [name for name, _, _, meaning in rows if not meaning] == []


def test_every_command_that_prints_json_has_a_schema():
    printing = {name for name, one in generate.commands() if any("--json" in p.opts for p in one.params)}
    assert printing == {*schemas.COMMANDS}


def test_every_field_of_a_document_has_a_description_and_is_always_there():
    for name, schema in generate.documents().items():
        assert schema["description"], name
        assert [field for field, one in schema["properties"].items() if not one.get("description")] == [], (
            name
        )
        assert {*schema["required"]} == {*schema["properties"]}, name


def test_every_environment_variable_of_atml_is_described():
    source = "".join(path.read_text() for path in sorted(Path(atml.__file__).parent.rglob("*.py")))
    assert {*re.findall(r"\bATML_[A-Z_]+\b", source)} - INTERNAL == {
        name for name in ENVIRONMENT if name.startswith("ATML_")
    }


def test_every_exit_code_is_described():
    assert {*EXIT_CODES} == {0, MISTAKE, 2, MISSED, NOT_OVER, INTERRUPTED, CANNOT_WRITE}
