"""The benchmarks are run by hand, but what they import must be there."""

import json
from importlib import import_module
from pathlib import Path

import pytest

from atml.models import count_parameters, get_architecture

ROOT = Path(__file__).parents[2]
CANDIDATES = ROOT / "tests" / "benchmarks" / "search" / "candidates.json"
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "tests" / "benchmarks").rglob("*.py")
    if path.name != "__init__.py"
)


@pytest.mark.parametrize("name", MODULES)
def test_a_benchmark_imports_what_there_is(name):
    import_module(name)


def test_the_networks_of_the_search_benchmark_are_todays():
    """Whoever changes an architecture needs a new table, or the searches are compared on other networks."""
    for one in json.loads(CANDIDATES.read_text()):
        architecture = get_architecture(one["architecture"])
        network = architecture.build(architecture.config_from_dict(one["config"]), 1250)
        assert count_parameters(network) == one["parameters"], one
