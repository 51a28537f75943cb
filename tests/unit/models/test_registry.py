"""Architectures that installed distributions add, with real ones on `sys.path`."""

import sys

import pytest

from atml.errors import PluginError
from atml.models.linear import LINEAR
from atml.models.registry import Registry

MODULE = """
from atml.models import Architecture
from atml.models.linear import LinearConfig, build

ADDED = Architecture(name="{name}", config=LinearConfig, network=build, minimum_length=2)
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Write a distribution with its metadata, as pip does."""
    monkeypatch.syspath_prepend(tmp_path)

    def install(distribution, source, value="ADDED"):
        module = f"registry_test_{distribution}"
        monkeypatch.delitem(sys.modules, module, raising=False)  # another test's
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{distribution}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[atml.architectures]\nadded = {module}:{value}\n")

    return install


def test_architectures_of_distributions_come_after_those_of_atml(install):
    install("second", MODULE.format(name="of_second"))
    install("first", MODULE.format(name="of_first"))
    registry = Registry([LINEAR])
    assert list(registry) == ["linear", "of_first", "of_second"]
    assert registry["of_second"].name == "of_second"


def test_they_are_looked_up_on_first_use_since_a_plugin_imports_atml_itself(install):
    registry = Registry([LINEAR])
    install("late", MODULE.format(name="of_late"))
    assert "of_late" in registry


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "import nowhere_to_be_found",
            "cannot be imported .ModuleNotFoundError: No module named 'nowhere_to",
        ),
        (
            "raise RuntimeError('no luck')",
            "cannot be imported .RuntimeError: no luck.; repair or uninstall it",
        ),
        ("", "cannot be imported .AttributeError: "),
        ("ADDED = 3", "is not an atml.models.Architecture but int"),
        (
            MODULE.format(name="odd").replace("=LinearConfig", "=LinearConfig()"),
            "cannot be imported .ModelError: odd: its config must be a subclass of atml.models.Config",
        ),
        (MODULE.format(name="linear"), "is named 'linear', like one of ATML; rename it or uninstall broken"),
        (MODULE.format(name="../up"), "is named '../up', which is not in snake_case"),
    ],
)
def test_a_plugin_that_cannot_be_used_is_told_with_its_distribution(install, source, message):
    install("broken", source)
    with pytest.raises(PluginError, match=message) as told:
        list(Registry([LINEAR]))
    assert "of the distribution broken" in str(told.value)
    assert "\n" not in str(told.value)


def test_two_distributions_must_not_add_the_same_name(install):
    install("one", MODULE.format(name="same"))
    install("two", MODULE.format(name="same"))
    with pytest.raises(PluginError, match="of the distribution two is named 'same', like one of one"):
        len(Registry([LINEAR]))
