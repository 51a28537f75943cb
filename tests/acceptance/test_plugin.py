"""A distribution that adds an architecture, built from the page that explains it, in a real search."""

import json
import os
import subprocess
import sys
import tomllib
import zipfile

import pytest

from tests.acceptance.pages import DOCS, blocks

SPEC = """
data = { folds = 2 }
training = { epochs = 2, segments_per_epoch = 64, batch_size = 32 }
pruning = { neighbourhood = { threshold = 0.0 } }
budget = { trials = 2 }
"""


@pytest.fixture(scope="module")
def page():
    return blocks(DOCS / "howto" / "architecture.md")


@pytest.fixture(scope="module")
def installed(tmp_path_factory, page):
    """Install the page's distribution, as a wheel, into a folder of its own."""
    project = tomllib.loads(next(one.text for one in page if "[project]" in one.text))["project"]
    module = next(one.text for one in page if one.language == "python")
    folder = tmp_path_factory.mktemp("plugin")
    name = project["name"].replace("-", "_")
    info = f"{name}-{project['version']}.dist-info"
    points = "\n".join(
        f"{key} = {value}" for key, value in project["entry-points"]["atml.architectures"].items()
    )
    contents = {
        f"{name}.py": module,
        f"{info}/METADATA": "\n".join(
            ["Metadata-Version: 2.1", f"Name: {project['name']}", "Version: 1.0", ""]
        ),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[atml.architectures]\n{points}\n",
    }
    contents[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*contents, f"{info}/RECORD"])
    wheel = folder / f"{name}-{project['version']}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, text in contents.items():
            archive.writestr(path, text)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target"]
    subprocess.run([*pip, folder / "site", wheel], check=True, capture_output=True)
    return folder / "site"


def test_a_search_in_worker_processes_uses_the_architecture_of_a_plugin(tmp_path, page, installed, simulated):
    spec = next(one.text for one in page if 'name = "tiny"' in one.text)
    head, search = spec.split("[search]")
    (tmp_path / "tiny.toml").write_text(f"{head}{SPEC}[search]\n{search}")
    path = os.pathsep.join([str(installed), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = ["search", "tiny.toml", "--train", simulated, "--workers", "2", "--device", "cpu", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "atml", *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["spent"]["trained"] == 2
    assert {trial["architecture"] for trial in outcome["ranking"]} == {"tiny_pool"}
    assert all(trial["onnx_bytes"] <= 4_000 for trial in outcome["ranking"])
