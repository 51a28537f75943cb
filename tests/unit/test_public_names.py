"""What `import atml` offers: complete, documented, and imported only when it is used."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import atml
from atml.defaults import default_spec
from atml.ecg import check_directory

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


def test_public_functions_take_paths_as_text():
    functions = [getattr(atml, name) for name in atml.__all__ if inspect.isfunction(getattr(atml, name))]
    only_paths = [
        (function.__name__, one.name)
        for function in functions
        for one in inspect.signature(function).parameters.values()
        if "Path" in str(one.annotation) and "str" not in str(one.annotation)
    ]
    assert len(functions) > 10
    assert only_paths == []


def test_texts_are_taken_for_paths(simulated, tmp_path):
    text = str(simulated)
    data = atml.load_dataset(text, cache_dir=str(tmp_path / "cache"), workers=1)
    assert len(data) == check_directory(text, cache_dir=str(tmp_path / "cache")).segments
    assert "\n" not in repr(data.select(data.labels == 1))
    assert atml.load_spec(str(default_spec("joint.toml"))).phase == "joint"
