"""`atml verify` on an intact bundle and on twenty kinds of damage, each of which it must name."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

import atml
from atml.ecg import load_dataset
from atml.errors import ModelError
from atml.export.c import tools
from atml.reports.bundle import checksum
from atml.reports.finalize import finalize
from atml.reports.vectors import load_vectors
from atml.service.launcher import WorkerPlan
from atml.version import __version__
from tests.disks import small_disk


@pytest.fixture(scope="module")
def shipped(stored, simulated_test, tmp_path_factory):
    """A bundle whose models were tested, and give an answer to most segments only."""
    with pytest.MonkeyPatch.context() as patch:
        from atml.reports import fits
        from tests.integration.conftest import InThisProcess

        patch.setattr(fits, "ProcessPoolExecutor", InThisProcess)
        finalizing = stored.phase.finalize.model_copy(update={"coverage": 0.8})
        final = finalize(
            replace(stored, phase=stored.phase.model_copy(update={"finalize": finalizing})),
            WorkerPlan(storage="", artifacts=tmp_path_factory.mktemp("artifacts"), workers=1, device="cpu"),
            test=load_dataset(simulated_test, workers=1),
            out=tmp_path_factory.mktemp("bundles"),
        )
    return next(model.bundle for model in final.models if model.architecture == "optimized_afnet")


@pytest.fixture
def bundle(shipped, tmp_path):
    return shutil.copytree(shipped, tmp_path / "bundle")


def results(checks):
    return {check.name: check.result for check in checks}


def failures(bundle, data=None):
    """Return what fails apart from building the C code, which takes long."""
    checks = atml.verify(bundle, data, build=False)
    return {check.name: check.detail for check in checks if check.result == "failed"}


def edit(path, change):
    """Change a JSON file; `change` receives its content and changes it in place."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def relist(bundle, name):
    """Make the manifest agree with a changed file, as someone would who wants to hide the change."""

    def change(manifest):
        (entry,) = (file for file in manifest["files"] if file["name"] == name)
        content = (bundle / name).read_bytes()
        entry.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        manifest["checksum"] = checksum(manifest)

    edit(bundle / "manifest.json", change)


def test_an_intact_bundle_passes_and_so_do_its_metrics(bundle, simulated_test):
    assert failures(bundle) == {}
    assert results(atml.verify(bundle, build=False))["metrics"] == "skipped"
    found = results(atml.verify(bundle, simulated_test, build=False))
    assert {result for name, result in found.items() if " on " not in name} == {"passed"}


def test_verifying_leaves_the_global_random_state_alone(bundle):
    before = torch.get_rng_state()
    assert failures(bundle) == {}
    assert torch.equal(torch.get_rng_state(), before)


def test_the_c_code_is_run_as_far_as_there_are_tools(bundle):
    found = {check.name: check for check in atml.verify(bundle)}
    assert found["C code"].result == "passed"
    for name, missing in (
        ("C on this machine", tools.missing_for_host()),
        ("C on a Cortex-M4F", tools.missing_for_target()),
    ):
        assert found[name].result == ("skipped" if missing else "passed"), found[name]
        assert all(package in found[name].detail for package in missing)


@pytest.mark.parametrize("trouble", ["noexec", "full"])
def test_where_nothing_can_be_built_the_c_code_is_not_run(bundle, tmp_path, monkeypatch, trouble):
    with small_disk(tmp_path / "disk", mebibytes=1) as disk:
        monkeypatch.setattr("tempfile.tempdir", str(disk.folder))
        with disk.full() if trouble == "full" else disk.without_programs():
            found = {check.name: check for check in atml.verify(bundle)}
    assert {check.result for check in found.values()} == {"passed", "skipped"}
    assert found["C on this machine"].result == "skipped"
    if not tools.missing_for_host():
        assert str(disk.folder) in found["C on this machine"].detail


@pytest.mark.skipif(bool(tools.missing_for_target()), reason="the tools for a Cortex-M4F are missing")
def test_a_broken_emulator_is_no_failure_of_this_machine(bundle, tmp_path, monkeypatch):
    broken = tmp_path / "bin" / "qemu-system-arm"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\necho broken\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{broken.parent}{os.pathsep}{os.environ['PATH']}")
    found = {check.name: check for check in atml.verify(bundle)}
    assert found["C on this machine"].result == "passed"
    assert found["C on a Cortex-M4F"].result == "failed"
    assert "broken" in found["C on a Cortex-M4F"].detail


def test_c_code_of_another_version_is_not_compared(bundle):
    edited_c_code(bundle)
    edit(bundle / "manifest.json", lambda manifest: manifest.update(atml="0.0.1"))
    relist(bundle, "ecm.c")
    found = {check.name: check for check in atml.verify(bundle, build=False)}
    assert found["C code"].result == "skipped"
    assert "ecm.c: written by ATML 0.0.1" in found["C code"].detail
    assert failures(bundle) == {}


@pytest.mark.parametrize(("version", "result"), [("0.2.0", "skipped"), (__version__, "failed")])
def test_a_checkpoint_of_another_version_may_be_of_another_network(bundle, version, result):
    saved = torch.load(bundle / "model.pt", weights_only=True)
    name = next(name for name, values in saved["state_dict"].items() if name.endswith("weight"))
    saved["state_dict"][name] *= 2
    torch.save(saved, bundle / "model.pt")
    edit(bundle / "manifest.json", lambda manifest: manifest.update(atml=version))
    relist(bundle, "model.pt")
    found = {check.name: check for check in atml.verify(bundle, build=False)}
    assert found["PyTorch"].result == result, found["PyTorch"]


@pytest.mark.parametrize("change", [lambda figures: figures.clear(), lambda figures: figures.update(test=5)])
def test_metrics_of_another_shape_fail_their_checks_and_no_other(bundle, simulated_test, change):
    edit(bundle / "metrics.json", change)
    relist(bundle, "metrics.json")
    found = {check.name: check for check in atml.verify(bundle, simulated_test, build=False)}
    assert "metrics.json lacks what ATML writes" in found["metrics"].detail
    assert found["float32 logits"].result == "passed"
    with pytest.raises(ModelError, match=r"metrics\.json"):
        atml.report(bundle, out=bundle / "page.html", storage=f"sqlite:///{bundle}/none.db")
    assert not (bundle / "page.html").exists()


@pytest.mark.parametrize("name", ["manifest.json", "metrics.json"])
def test_a_document_nested_too_deeply_is_damage(bundle, name):
    (bundle / name).write_text("[" * 50_000)
    assert failures(bundle) != {}
    with pytest.raises(ModelError, match=name):
        atml.report(bundle, out=bundle / "page.html", storage=f"sqlite:///{bundle}/none.db")


def test_the_checkpoint_of_an_earlier_version_passes(bundle):
    saved = torch.load(bundle / "model.pt", weights_only=True)
    metadata = {"architecture": saved.pop("architecture"), "threshold": 0.5}
    torch.save({**saved, "format": 1, "metadata": metadata}, bundle / "model.pt")
    relist(bundle, "model.pt")
    assert failures(bundle) == {}


def test_files_that_a_user_put_there_are_no_damage(bundle):
    (bundle / "notes.txt").write_text("mine")
    assert failures(bundle) == {}


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def manifest_field(name, value):
    return lambda bundle: edit(bundle / "manifest.json", lambda manifest: manifest.update({name: value}))


def hidden_manifest_field(name, value):
    def damage(bundle):
        def change(manifest):
            manifest[name] = value
            manifest["checksum"] = checksum(manifest)

        edit(bundle / "manifest.json", change)

    return damage


def hidden_metric(*path, value):
    def damage(bundle):
        def change(metrics):
            for name in path[:-1]:
                metrics = metrics[name]
            metrics[path[-1]] = value

        edit(bundle / "metrics.json", change)
        relist(bundle, "metrics.json")

    return damage


def share_a_subject(bundle):
    def change(manifest):
        manifest["subjects"]["test"].append(manifest["subjects"]["train"][0])
        manifest["checksum"] = checksum(manifest)

    edit(bundle / "manifest.json", change)


def change_onnx(name, change):
    def damage(bundle):
        model = onnx.load(bundle / name)
        change(model)
        (bundle / name).write_bytes(model.SerializeToString())
        relist(bundle, name)

    return damage


def double_a_weight(model):
    tensor = next(one for one in model.graph.initializer if one.data_type == onnx.TensorProto.FLOAT)
    values = 2 * onnx.numpy_helper.to_array(tensor)
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))


def set_threshold(model):
    (entry,) = (one for one in model.metadata_props if one.key == "threshold")
    entry.value = "0.9876"


def drop_a_node(model):
    del model.graph.node[0]


def change_checkpoint(change):
    def damage(bundle):
        saved = torch.load(bundle / "model.pt", weights_only=True)
        torch.save(change(saved), bundle / "model.pt")
        relist(bundle, "model.pt")

    return damage


def double_the_weights(saved):
    return {**saved, "state_dict": {name: 2 * tensor for name, tensor in saved["state_dict"].items()}}


def drop_a_weight(saved):
    return {**saved, "state_dict": dict(list(saved["state_dict"].items())[1:])}


def not_a_checkpoint(content):
    def damage(bundle):
        (bundle / "model.pt").write_bytes(content)
        relist(bundle, "model.pt")

    return damage


class Code:
    """Something whose loading would run code."""

    def __reduce__(self):
        return os.abort, ()


def other_vectors(bundle):
    segments, logits = load_vectors(bundle / "vectors.npz")
    changed = {name: values + 1 for name, values in logits.items()}
    np.savez_compressed(bundle / "vectors.npz", segments=segments, **changed)
    relist(bundle, "vectors.npz")


def short_vectors(bundle):
    segments, logits = load_vectors(bundle / "vectors.npz")
    np.savez_compressed(bundle / "vectors.npz", segments=segments[:, :-10], **logits)
    relist(bundle, "vectors.npz")


def not_vectors(bundle):
    (bundle / "vectors.npz").write_bytes(b"PK\x03\x04")
    relist(bundle, "vectors.npz")


def edited_c_code(bundle):
    text = (bundle / "ecm.c").read_text()
    (bundle / "ecm.c").write_text(text.replace("ECM_MARGIN", "(ECM_MARGIN + 1)"))
    relist(bundle, "ecm.c")


def broken_c_code(bundle):
    (bundle / "ecm.c").write_text((bundle / "ecm.c").read_text() + "}")
    relist(bundle, "ecm.c")


DAMAGE = {
    "no manifest": (lambda b: (b / "manifest.json").unlink(), "manifest", "manifest.json"),
    "a manifest that is not JSON": (
        lambda b: (b / "manifest.json").write_text("{"),
        "manifest",
        "not a bundle's manifest",
    ),
    "a manifest of something else": (
        lambda b: (b / "manifest.json").write_text('{"files": []}'),
        "manifest",
        "lacks study",
    ),
    "an edited manifest": (manifest_field("study", "other"), "manifest", "was changed"),
    "no model": (lambda b: (b / "model.onnx").unlink(), "files", "model.onnx is missing"),
    "no INT8 model": (lambda b: (b / "model.int8.onnx").unlink(), "files", "model.int8.onnx is missing"),
    "no checkpoint": (lambda b: (b / "model.pt").unlink(), "files", "model.pt is missing"),
    "no metrics": (lambda b: (b / "metrics.json").unlink(), "files", "metrics.json is missing"),
    "no vectors": (lambda b: (b / "vectors.npz").unlink(), "files", "vectors.npz is missing"),
    "a truncated model": (
        lambda b: (b / "model.onnx").write_bytes((b / "model.onnx").read_bytes()[:-10]),
        "files",
        "bytes, not",
    ),
    "one bit of the model": (lambda b: flip(b / "model.onnx"), "files", "another checksum"),
    "one bit of the checkpoint": (lambda b: flip(b / "model.pt"), "files", "model.pt has another checksum"),
    "one bit of the metrics": (lambda b: flip(b / "metrics.json"), "files", "metrics.json has another"),
    "the INT8 model in place of the model": (
        lambda b: shutil.copy(b / "model.int8.onnx", b / "model.onnx"),
        "files",
        "model.onnx has",
    ),
    "another weight": (change_onnx("model.onnx", double_a_weight), "float32 logits", "logits differ by"),
    "another INT8 weight": (
        change_onnx("model.int8.onnx", double_a_weight),
        "INT8 logits",
        "logits differ by|not finite",
    ),
    "another threshold": (change_onnx("model.onnx", set_threshold), "description", "threshold 0.9876"),
    "a graph without its first node": (change_onnx("model.onnx", drop_a_node), "ONNX", "model.onnx"),
    "other weights of the checkpoint": (change_checkpoint(double_the_weights), "PyTorch", "differ"),
    "a weight less in the checkpoint": (change_checkpoint(drop_a_weight), "PyTorch", "loading state_dict"),
    "another architecture of the checkpoint": (
        change_checkpoint(lambda saved: {**saved, "architecture": "linear"}),
        "description",
        "model.pt has another architecture",
    ),
    "a checkpoint of something else": (
        change_checkpoint(lambda saved: {"config": 3}),
        "PyTorch",
        "model.pt is not what ATML writes",
    ),
    "a checkpoint that would run code": (
        change_checkpoint(lambda saved: {**saved, "config": Code()}),
        "PyTorch",
        "model.pt is not what ATML writes",
    ),
    "a checkpoint that is text": (not_a_checkpoint(b"text"), "PyTorch", "model.pt is not what ATML writes"),
    "an empty checkpoint": (not_a_checkpoint(b""), "PyTorch", "model.pt is not what ATML writes"),
    "other widths": (hidden_manifest_field("config", {}), "description", "another config"),
    "other logits": (other_vectors, "float32 logits", "logits differ by 1"),
    "vectors that are none": (not_vectors, "float32 logits", "does not hold test vectors"),
    "vectors of another length": (short_vectors, "PyTorch", "holds segments of"),
    "a subject in training and test": (share_a_subject, "subjects", "1 subjects are in training and test"),
    "edited C code": (edited_c_code, "C code", "ecm.c is not the code that is generated"),
    "C code that does not compile": (broken_c_code, "C code", "ecm.c is not the code"),
    "other bytes in the metrics": (hidden_metric("onnx_bytes", value=1), "description", "states 1 bytes"),
    "other bytes of the INT8 model": (
        hidden_metric("int8", "onnx_bytes", value=1),
        "description",
        r"states 1 bytes for model\.int8\.onnx",
    ),
    "another threshold in the metrics": (
        hidden_metric("threshold", value=0.9876),
        "description",
        "metrics.json has another threshold",
    ),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named(bundle, kind):
    damage, check, words = DAMAGE[kind]
    damage(bundle)
    found = failures(bundle)
    assert check in found, found
    assert re.search(words, found[check]), found


@pytest.mark.parametrize(("path", "name"), [((), "model.onnx"), (("int8",), "model.int8.onnx")])
def test_a_better_metric_than_measured_is_found_with_the_segments(bundle, simulated_test, path, name):
    hidden_metric(*path, "test", "fbeta", value=0.999)(bundle)
    assert failures(bundle) == {}
    expected = {"metrics": f"metrics.json has other values of fbeta for {name}"}
    assert failures(bundle, simulated_test) == expected


def test_more_answers_than_the_model_gives_are_found_with_the_segments(bundle, simulated_test):
    hidden_metric("abstention", "test", "coverage", value=0.999)(bundle)
    assert failures(bundle) == {}
    expected = "metrics.json has other values of coverage for the test segments that get an answer"
    assert failures(bundle, simulated_test) == {"metrics": expected}


def test_other_segments_are_refused(bundle, simulated):
    assert "does not hold the segments" in failures(bundle, simulated)["metrics"]


def test_a_model_that_was_not_tested_has_no_metrics_to_compute_again(bundle, simulated_test):
    hidden_manifest_field("test_data", None)(bundle)
    checks = atml.verify(bundle, simulated_test, build=False)
    assert results(checks)["metrics"] == "skipped"


def test_every_file_with_a_byte_changed_anywhere_is_found(bundle):
    rng = np.random.default_rng(0)
    for name in [file["name"] for file in json.loads((bundle / "manifest.json").read_text())["files"]]:
        path = bundle / name
        content = path.read_bytes()
        for at in rng.integers(0, len(content), 5):
            changed = bytearray(content)
            changed[at] ^= 1 << int(rng.integers(8))
            path.write_bytes(changed)
            assert name in failures(bundle)["files"]
        path.write_bytes(content)
    assert failures(bundle) == {}


def test_the_command_ends_with_1_if_a_check_fails(bundle):
    def atml_verify(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "atml", "verify", str(bundle), "--no-build", *arguments],
            capture_output=True,
            text=True,
        )

    assert atml_verify().returncode == 0
    (bundle / "model.pt").unlink()
    done = atml_verify("--json")
    assert done.returncode == 1
    checks = {check["name"]: check for check in json.loads(done.stdout)["checks"]}
    assert "model.pt is missing" in checks["files"]["detail"]
    assert checks["PyTorch"]["result"] == "failed"
    assert "model.pt is missing" in atml_verify().stdout
