"""One function for each kind of input: it writes a bad one and returns the command that reads it."""

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np

from atml.ecg import load_dataset
from atml.export import OnnxClassifier
from atml.reports.bundle import checksum
from atml.service.storage import open_storage
from atml.service.studies import load_all
from tests.databases import close
from tests.fuzz.models import changed_model
from tests.fuzz.mutation import changed_bytes, changed_json, evil
from tests.fuzz.workplace import SPEC

SECRET = "hunter2"  # must never be shown
NO_SERVER = "http://127.0.0.1:1"


def _is_right(_shown: str) -> str | None:
    return None


@dataclass(frozen=True, kw_only=True)
class Case:
    """A command with bad input."""

    arguments: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    # Returns what is wrong with an answer, given standard output; only called if the command succeeded.
    wrong: Callable[[str], str | None] = _is_right
    out: Path | None = None  # must not exist after a refusal


Make = Callable[[Random, Path, Path], Case]  # (random, good input, empty working directory)


def segment(random: Random, good: Path, here: Path) -> Case:
    """A segment file, read by `predict` or, in a directory, by `data check`."""
    source = random.choice(sorted((good / "train").glob("S*.txt")))
    content = changed_bytes(random, source.read_bytes())
    if random.random() < 0.3:
        folder = here / "segments"
        folder.mkdir()
        for path in sorted((good / "train").glob("S1-*.txt")):
            shutil.copy(path, folder)
        (folder / random.choice(("S1-N-77.txt", "S01-AFIB-0.txt", "S1-N-7"))).write_bytes(content)
        return Case(arguments=["data", "check", "segments", "--json"], wrong=_json_is_strict)
    path = here / "segment.txt"
    path.write_bytes(content)
    numbers = _numbers(content)

    def wrong(shown: str) -> str | None:
        (answer,) = json.loads(shown)
        if numbers is None:
            return None  # written in another way, such as UTF-16
        with np.errstate(over="ignore"):
            samples = np.array(numbers, dtype=np.float32)
        expected = OnnxClassifier(good / "bundle" / "model.onnx").probabilities(samples[None])[0]
        return None if abs(answer["probability"] - expected) < 1e-5 else f"{answer} but expected {expected}"

    return Case(arguments=["predict", str(good / "bundle"), "segment.txt", "--json"], wrong=wrong)


def _numbers(content: bytes) -> list[float] | None:
    try:
        return [float(line) for line in content.rstrip().split(b"\n")]
    except ValueError:
        return None


def recording(random: Random, good: Path, here: Path) -> Case:
    """A WFDB record, or a file in EDF, CSV, NPZ or Parquet, read by `data import`."""
    name = random.choice(("wfdb", "wfdb", "wfdb", "one.edf", "one.csv", "one.npz", "one.parquet"))
    if name == "wfdb":
        shutil.copytree(good / "recordings/wfdb", here / "in")
        changed = here / "in" / random.choice(("data_1.hea", "data_1.hea", "data_1.dat", "data_1.atr"))
        source = changed
    else:
        (here / "in").mkdir()
        source, changed = good / "recordings" / name, here / "in" / name
    changed.write_bytes(changed_bytes(random, source.read_bytes()))
    out = here / "out"

    def wrong(shown: str) -> str | None:
        answer = json.loads(shown)
        dataset = load_dataset(out, workers=1)
        if len(dataset) != answer["segments"] or not np.isfinite(dataset.samples()).all():
            return f"{len(dataset)} segments were written, of which {answer['segments']} were reported"
        return None

    tables = (
        ["--columns", "signal=ecg,rhythm=rhythm", "--rate", "250"]
        if name[-3:] in ("csv", "npz", "uet")
        else []
    )
    options = ["--skip-bad"] if random.random() < 0.3 else []
    return Case(
        arguments=["data", "import", "in", "--out", "out", "--json", *tables, *options], wrong=wrong, out=out
    )


def spec(random: Random, good: Path, here: Path) -> Case:
    """A TOML file, read by `submit`."""
    text = SPEC.encode()
    if random.random() < 0.6:
        lines = SPEC.splitlines()
        at = random.choice([number for number, line in enumerate(lines) if " = " in line])
        field_, _, value = lines[at].partition(" = ")
        new = random.choice(
            (evil(random), json.dumps(evil(random)), f"[{value}, {value}]", f"{{ x = {value} }}")
        )
        if random.random() < 0.2:
            field_ = evil(random)
        lines[at] = f"{field_} = {new}"
        text = "\n".join(lines).encode("utf-8", "surrogateescape")
    else:
        text = changed_bytes(random, text)
    (here / "spec.toml").write_bytes(text)

    def wrong(_shown: str) -> str | None:
        storage = open_storage(f"sqlite:///{here / 'atml.db'}", must_exist=True)
        stored = load_all(storage, lambda name, error: None)
        close(storage)
        return None if len(stored) == 1 and stored[0].grid.points else "the study has no points to try"

    return Case(arguments=["submit", "spec.toml", "--train", str(good / "train")], wrong=wrong)


_STORAGES = (
    "sqlite:///atml.db",
    f"postgresql://me:{SECRET}@127.0.0.1:1/db",
    f"postgresql+psycopg://me:{SECRET}@127.0.0.1:1/db?sslmode=disable",
    f"postgres://me:{SECRET}@localhost:1/db?password={SECRET}",
    "postgresql:///db?host=/nowhere",
    f"mysql://me:{SECRET}@127.0.0.1/db",
)


def storage_url(random: Random, good: Path, here: Path) -> Case:
    """The URL of a storage."""
    shutil.copy(good / "atml.db", here)
    url = _changed_url(random, random.choice(_STORAGES))
    command = random.choice((["status", "--json"], ["stop", "heart"], ["report", "heart"], ["resume", "x"]))
    return Case(arguments=[*command, f"--storage={url}"])


def artifacts_url(random: Random, good: Path, here: Path) -> Case:
    """The place of artifacts."""
    shutil.copy(good / "atml.db", here)
    places = (
        "artifacts",
        "s3://bucket/prefix",
        f"s3://KEY:{SECRET}@bucket/x",
        f"gs://me:{SECRET}@bucket",
        "S3://b",
    )
    place = _changed_url(random, random.choice(places))
    environment = {
        "AWS_ENDPOINT_URL_S3": random.choice(
            (NO_SERVER, NO_SERVER, f"http://u:{SECRET}@127.0.0.1:1", evil(random))
        ),
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
    command = random.choice(
        (["report", "heart"], ["search", str(good / "spec.toml"), "--train", str(good / "none")])
    )
    return Case(arguments=[*command, f"--artifacts={place}"], environment=_possible(environment))


def _changed_url(random: Random, url: str) -> str:
    """Change a URL, but for its secret: a changed one would be shown rightly."""
    head, secret, tail = url.partition(f":{SECRET}")
    part = random.randrange(3)
    if part == 0:
        at = random.randrange(len(tail) + 1)
        tail = tail[:at] + evil(random) + tail[at:]
    elif part == 1:
        at = random.randrange(len(head) + 1)
        head = head[:at] + evil(random) + head[at + random.randrange(3) :]
    else:
        tail = tail[: random.randrange(len(tail) + 1)]
    return f"{head}{secret}{tail}".replace("\0", "")


def option(random: Random, good: Path, here: Path) -> Case:
    """Options and arguments of commands; those that would run for long have no spec or data to run on."""
    shutil.copy(good / "atml.db", here)
    bundle, test = str(good / "bundle"), str(good / "test")
    commands: tuple[tuple[list[str], tuple[str, ...]], ...] = (
        (["evaluate", bundle, "--data", test, "--json"], ("--beta", "--threshold", "--storage")),
        (["evaluate", bundle], ("--data",)),
        (["predict", bundle, "--json"], ("",)),
        (["predict"], ("",)),
        (["verify", "--no-build", "--json"], ("", "--data")),
        (["export-c", bundle], ("--out",)),
        (["status", "--json"], ("", "--storage")),
        (["stop"], ("",)),
        (["resume"], ("",)),
        (["report"], ("", "--train", "--results")),
        (["report", "heart"], ("--out", "--results", "--train")),
        (["specs", "show"], ("",)),
        (["specs", "copy", "joint"], ("",)),
        (["data", "check", "--json"], ("",)),
        (["data", "show", test], ("--html",)),
        (["data", "simulate", "sim", "--subjects", "1", "--segments", "1"], ("--seed", "--first-subject")),
        (["data", "simulate", test], ("--subjects", "--segments")),
        (
            ["data", "import", str(good / "recordings/wfdb"), "--out", "out", "--json"],
            ("--lead", "--positive", "--subject", "--rate", "--annotator", "--step", "--format", "--origin"),
        ),
        (
            ["data", "import", str(good / "recordings/one.csv"), "--out", "out", "--json"],
            ("--columns", "--rate", "--lead", "--format"),
        ),
        (["search", "none.toml"], ("--workers", "--device", "--train", "--storage", "--artifacts", "")),
        (["run", "--train", "none"], ("--workers", "--sizes", "--name", "--spec", "--phase1", "--test")),
        (["finalize", "none"], ("--sizes", "--workers", "--device", "--out", "--test", "")),
        (["worker", "none"], ("--index", "--threads", "--device", "--train", "--supervised-by")),
        (["dashboard", "--read-only", "--storage", "sqlite:///none.db"], ("--port", "--host")),
        (["data", "audit", "none"], ("--confidence", "--folds", "--workers", "--device", "--out")),
        (["data", "fetch", "--out", "out"], ("", "--from")),
    )
    command, options = random.choice(commands)
    arguments = list(command)
    for name in random.sample(options, k=min(len(options), random.choice((1, 1, 2)))):
        arguments.append(f"{name}={evil(random)}" if name else evil(random))
    arguments = [argument.replace("\0", "") for argument in arguments]
    prints_json = "--json" in command and "--help" not in arguments
    return Case(arguments=arguments, wrong=_json_is_strict if prints_json else _is_right)


def environment(random: Random, good: Path, here: Path) -> Case:
    """Environment variables."""
    shutil.copy(good / "atml.db", here)
    values = {
        "ATML_STORAGE": evil(random),
        "ATML_ARTIFACTS": evil(random),
        "ATML_CACHE": evil(random),
        "ATML_DASHBOARD_AUTH": evil(random),
        "ATML_PHYSIONET": evil(random),
        "PGPASSWORD": SECRET,
        "PGPORT": evil(random),
        "AWS_ENDPOINT_URL_S3": evil(random),
        "COLUMNS": evil(random),
        "TERM": evil(random),
        "LANG": evil(random),
        "NO_COLOR": evil(random),
    }
    chosen = random.sample(sorted(values), k=random.choice((1, 1, 2, 3)))
    command = random.choice(
        (
            ["status", "--json"],
            ["status"],
            ["report", "heart"],
            ["evaluate", str(good / "bundle"), "--data", str(good / "test"), "--json"],
            ["dashboard", "--read-only", "--host", "0.0.0.0", "--storage", "sqlite:///none.db"],
            ["data", "fetch", "none", "--out", "out"],
            ["search", str(good / "spec.toml"), "--train", str(good / "none")],
        )
    )
    return Case(arguments=command, environment=_possible({name: values[name] for name in chosen}))


def bundle(random: Random, good: Path, here: Path) -> Case:
    """A damaged bundle; `verify` has to find all damage."""
    folder = shutil.copytree(good / "bundle", here / "bundle")
    name = random.choice(
        ("manifest.json", "manifest.json", "metrics.json", "model.pt", "vectors.npz", "model.onnx")
    )
    before, path = (folder / name).read_bytes(), folder / name
    if name.endswith(".json") and random.random() < 0.7:
        path.write_text(
            json.dumps(changed_json(random, json.loads(before))), encoding="utf-8", errors="replace"
        )
    else:
        path.write_bytes(changed_bytes(random, before))
    is_same = path.read_bytes() == before
    if random.random() < 0.5:
        _list_again(folder, name)  # as someone would who wants to hide the change
    command = random.choice(
        (
            ["verify", "bundle", "--no-build", "--json"],
            ["verify", "bundle", "--no-build", "--data", str(good / "test"), "--json"],
            ["evaluate", "bundle", "--data", str(good / "test"), "--json"],
            ["report", "bundle", "--out", "page.html"],
        )
    )
    was_listed_again = (folder / "manifest.json").read_bytes() != (good / "bundle/manifest.json").read_bytes()

    def wrong(_shown: str) -> str | None:
        if command[0] == "verify" and not is_same and not was_listed_again:
            return f"verify has not found the damage of {name}"
        return None

    return Case(arguments=command, wrong=wrong)


def _list_again(folder: Path, name: str) -> None:
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
        content = (folder / name).read_bytes()
        for file in manifest["files"]:
            if file["name"] == name:
                file.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        manifest["checksum"] = checksum(manifest)
        (folder / "manifest.json").write_text(json.dumps(manifest))
    except (ValueError, KeyError, TypeError, AttributeError):
        pass  # damaged too much to be listed again


def onnx_file(random: Random, good: Path, here: Path) -> Case:
    """A damaged or strange ONNX file."""
    content = (good / "bundle/model.onnx").read_bytes()
    content = changed_bytes(random, content) if random.random() < 0.5 else changed_model(random, content)
    (here / "model.onnx").write_bytes(content)
    some = sorted((good / "test").glob("S*.txt"))[:2]
    command = random.choice(
        (
            ["predict", "model.onnx", *map(str, some), "--json"],
            ["evaluate", "model.onnx", "--data", str(good / "test"), "--json"],
            ["export-c", "model.onnx", "--out", "c"],
        )
    )
    return Case(arguments=command, wrong=_json_is_strict if "--json" in command else _is_right)


def _possible(environment: dict[str, str]) -> dict[str, str]:
    """Leave out what no process can be given."""
    return {name: value.replace("\0", "") for name, value in environment.items()}


def _json_is_strict(shown: str) -> str | None:
    def refuse(text: str) -> None:
        raise ValueError(text)

    try:
        json.loads(shown, parse_constant=refuse)
    except ValueError as error:
        return f"not JSON: {error}"
    return None


KINDS: Mapping[str, Make] = {
    "segment": segment,
    "recording": recording,
    "spec": spec,
    "storage URL": storage_url,
    "artifacts URL": artifacts_url,
    "option": option,
    "environment": environment,
    "bundle": bundle,
    "ONNX file": onnx_file,
}
