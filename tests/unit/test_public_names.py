"""What `import atml` offers: complete, documented, and imported only when it is used."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import atml

SOURCE = ast.parse(Path(atml.__file__).read_text())


def typed_names():
    """Return the names that type checkers see."""
    (block,) = [node for node in SOURCE.body if isinstance(node, ast.If)]
    return {alias.name for node in block.body for alias in node.names}


def test_what_is_offered_is_what_type_checkers_see():
    assert sorted(atml.__all__) == atml.__all__
    assert typed_names() == set(atml.__all__) == set(atml._MODULES)


@pytest.mark.parametrize("name", atml.__all__)
def test_a_public_name_is_there_and_explained(name):
    what = getattr(atml, name)
    assert len(inspect.getdoc(what)) > 20
    assert name in dir(atml)
    if inspect.isfunction(what):
        said = inspect.getdoc(what)
        parameters = list(inspect.signature(what).parameters)
        assert [one for one in parameters if one not in said] == []


def test_another_name_is_no_attribute():
    with pytest.raises(AttributeError, match="'atml' has no attribute 'serach'"):
        atml.serach  # noqa: B018


def test_importing_atml_imports_neither_pytorch_nor_optuna():
    code = "import atml, sys; print([name for name in ('torch', 'optuna', 'onnx') if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
