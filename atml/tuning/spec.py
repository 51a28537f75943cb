"""The study spec: what to search, how, and when to stop. Read from TOML, stored with the study."""

import difflib
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from atml.ecg.segment import canonical_subject
from atml.errors import ModelError, SpecError
from atml.files import read_file
from atml.models import ARCHITECTURES, get_architecture
from atml.training import TrainingSettings
from atml.tuning.ladder import LearningRateLadder
from atml.tuning.sizes import SIZE_NAMES, SizeOf

MOST_BYTES = 1_000_000  # of a spec
STUDY_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"  # it also names folders
STUDY_NAME_RULE = "must be 1 to 64 letters, digits, . _ or -, and begin with a letter or digit"
DEFAULT_TRIALS = 50
SEARCHED = ("learning_rate", "seed")
Share = Annotated[float, Field(ge=0, le=1)]
# Limits far above sensible values, so that nothing computed from them overflows.
Count = Annotated[int, Field(ge=1, le=10**9)]
CountOrZero = Annotated[int, Field(ge=0, le=10**9)]
LARGEST = 10**12  # bytes of a model
Bytes = Annotated[int, Field(ge=1, le=LARGEST)]
Folds = Annotated[int, Field(ge=2, le=100)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]  # a worker's number is added; NumPy takes 32 bits
Minutes = Annotated[float, Field(gt=0, le=10**7)]
Beta = Annotated[float, Field(ge=0.01, le=100)]  # outside, F-beta is just precision or recall


class Section(BaseModel):
    """A table of the spec: immutable; unknown fields and infinite values are refused.

    The text below each field is its description in the reference.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class DataSpec(Section):
    """Which segments to train on, and how many folds their subjects are split into."""

    train: str | None = None
    """Directory of segments; `--train` overrides it."""
    folds: Folds = 4
    """Folds that the subjects are split into; a model that finishes the race was trained once without
    each."""
    seed: Seed = 0
    """Seed of this split."""
    skip_bad: bool = False
    """Leave broken files out instead of refusing the directory."""
    exclude_subjects: tuple[Annotated[str, AfterValidator(canonical_subject)], ...] = ()
    """Subjects to leave out, such as `"S4"`; `atml run` adds those of `--test`."""


def known_architecture(name: str) -> str:
    """Return `name` if that architecture exists; a pydantic validator."""
    try:
        return get_architecture(name).name
    except ModelError as error:
        raise ValueError(str(error)) from None


def all_different(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return `values` if none is repeated; a pydantic validator."""
    twice = sorted({str(value) for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"values must differ ({', '.join(twice)} is repeated)")
    return values


Architectures = Annotated[
    tuple[Annotated[str, AfterValidator(known_architecture)], ...],
    Field(min_length=1),
    AfterValidator(all_different),
]


Sizes = Annotated[tuple[Bytes, ...], Field(min_length=1, max_length=100), AfterValidator(all_different)]
Shapes = Annotated[
    tuple[Annotated[float, Field(ge=0.1, le=10)], ...],
    Field(min_length=1, max_length=100),
    AfterValidator(all_different),
]


class SearchSpec(Section):
    """The points of the search. A point is an architecture, scaled to a size, with a learning rate."""

    architectures: Architectures = Field(default_factory=lambda: tuple(ARCHITECTURES))
    """Names of the architectures; all of them by default. Phase 2 takes those of its base instead."""
    sizes: Sizes = (2_000, 3_000, 4_000, 6_000, 8_000, 12_000, 16_000, 26_000, 43_000)
    """Bytes; each architecture is scaled to the largest network that fits into each size."""
    shapes: Shapes = (1.0,)
    """Factors by which the first width is stretched relative to the others, at the same size; 1 scales all
    equally."""
    learning_rate: LearningRateLadder = LearningRateLadder()
    """The ladder of learning rates; only its rungs are tried."""


class NeighbourhoodSpec(Section):
    """When a learning rate is bad, and which neighbours that rules out."""

    threshold: Share = 0.6
    """A trial whose metric is lower marks its learning rate bad for its architecture at about its size."""
    radius: CountOrZero = 2
    """Number of rungs on each side that a bad learning rate rules out."""
    metric: Literal["worst", "fbeta", "f1", "accuracy", "precision", "recall"] = "worst"
    """The metric that is compared; `"worst"` is the smallest of F1, accuracy, precision and recall, at the
    best threshold."""


class PruningSpec(Section):
    """Rules that keep a trial from starting or continuing."""

    neighbourhood: NeighbourhoodSpec = NeighbourhoodSpec()
    """Learning rates near a bad one are not tried."""
    startup_trials: Count = 8
    """Number of no larger trials that must have reached the epoch before a trial may be ended in its first
    fold."""
    warmup_epochs: CountOrZero = 3
    """Epochs before a trial may be ended."""
    keep: Annotated[float, Field(gt=0, le=1)] = 0.7
    """Fraction of the no larger trials at the same epoch that continues."""
    race_chance: Annotated[float, Field(ge=0, lt=1)] = 0.02
    """A candidate is trained on another fold if its probability of being the best of its size is at least
    this."""


class TargetsSpec(Section):
    """What a model must achieve, and whether that ends the study.

    In the search, targets are met by a model that has finished the race, so its F-beta is the mean over all
    folds of the search. If the budget ends first, ATML reports which target was missed, which model is
    nearest and what to relax. Models that are shipped are judged again, with the new folds of
    `atml finalize`.
    """

    fbeta: Share | None = None
    """Smallest F-beta."""
    onnx_bytes: Bytes | None = None
    """Largest size in bytes, of what `size_of` names."""
    size_of: SizeOf = "onnx"
    """Whose bytes count in all sizes of the spec, `search.sizes` and `finalize.sizes` too: `"onnx"` is
    `model.onnx`, `"int8"` the file with INT8 weights, `model.int8.onnx`, and `"flash"` the code and constants
    of the C code that is made of it, compiled for a Cortex-M4F. All are known before training; flash needs
    the compiler where the study is created."""
    max_ram_bytes: Bytes | None = None
    """Most RAM that the C code may need: the segment, all tensors, and the stack. This and the limits
    below leave networks out before the search begins, so each model that is found keeps to them."""
    max_flash_bytes: Bytes | None = None
    """Most flash that the C code may take. It is measured with the compiler where the study is created."""
    max_instructions: Count | None = None
    """Most instructions that the C code may execute for one segment. They are counted on an emulated
    Cortex-M4F where the study is created."""
    robust_fbeta: Share | None = None
    """Floor for shipped models: the smallest F-beta under any disturbance that is not severe (noise, motion,
    spikes and the like). It is measured on unseen subjects in `atml finalize`, and does not end a search."""
    stop: bool = True
    """Stop all workers at the first model that meets the targets, if one of them is F-beta; false spends the
    rest of the budget on the front."""

    def in_words(self) -> str:
        """Return F-beta and size as a text such as "F-beta ≥ 0.94, ONNX ≤ 8.0 KB"; empty without targets."""
        wanted = [f"F-beta ≥ {self.fbeta:g}"] if self.fbeta is not None else []
        if self.onnx_bytes is not None:
            wanted.append(f"{SIZE_NAMES[self.size_of]} ≤ {self.onnx_bytes / 1000:.1f} KB")
        return ", ".join(wanted)

    @property
    def counts_int8(self) -> bool:
        """Whether a size or a limit is that of the INT8 model, so that it has to be shipped."""
        limits = (self.max_ram_bytes, self.max_flash_bytes, self.max_instructions)
        return self.size_of != "onnx" or any(limit is not None for limit in limits)

    def missed(self, fbeta: float, onnx_bytes: int) -> tuple[str, ...]:
        """Return the names of the targets that a model of this F-beta and size misses."""
        failed = []
        if self.fbeta is not None and fbeta < self.fbeta:
            failed.append("fbeta")
        if self.onnx_bytes is not None and onnx_bytes > self.onnx_bytes:
            failed.append("onnx_bytes")
        return tuple(failed)


class BudgetSpec(Section):
    """When to end if the targets are not met."""

    trials: Count | None = None
    """Trained trials, 50 if neither limit is given; those pruned before their first epoch do not count."""
    minutes: Minutes | None = None
    """Wall-clock time during which at least one trial ran, so pauses do not count."""

    @model_validator(mode="before")
    @classmethod
    def _some_limit(cls, values: Any) -> Any:
        unlimited = isinstance(values, dict) and "trials" not in values and values.get("minutes") is None
        return {**values, "trials": DEFAULT_TRIALS} if unlimited else values


class FinalizeSpec(Section):
    """How the shipped models are made: leaders are evaluated again, the chosen ones train on all subjects."""

    sizes: Sizes = (2_000, 4_000, 8_000, 16_000)
    """Bytes; the best model within each and within `targets.onnx_bytes` is shipped, and the one that meets
    the targets best."""
    candidates: Count = 3
    """Best trials of each size that are trained again on different folds."""
    seeds: Count = 3
    """Number of trainings of each shipped model on all subjects."""
    epochs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Epochs of these trainings; by default those of `training`. A search has to try many networks, but the
    few that are shipped may be trained for longer."""
    simulated: Annotated[float, Field(ge=0, le=0.5)] | None = None
    """Share of simulated segments in the batches of these trainings; by default that of `training`."""
    soft_labels: Share = 0.5
    """Share of each label that is replaced, when a chosen model is trained, by the mean score that the
    leaders gave the segment without having seen its subject. 0 trains on the labels alone."""
    coverage: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of segments that get an answer, such as 0.9. `atml predict` calls the rest, whose scores are
    nearest to the threshold, "no answer". The confidence that this takes is chosen on out-of-fold scores. By
    default every segment gets an answer."""


class StudySpec(Section):
    """What all phases have in common."""

    phase: str
    """`"joint"`, `"architecture"` (phase 1) or `"width"` (phase 2)."""
    name: Annotated[str, Field(pattern=STUDY_NAME)]
    """Name of the study; `atml run` uses the name of the run instead."""
    beta: Beta = 2.0
    """β of F-beta; with 2, a missed AFIB segment counts more than a false alarm."""
    seed: Seed = 0
    """Seeds weights, segment order and sampler; worker i samples with `seed + i`."""
    data: DataSpec = DataSpec()
    """Which segments to train on, and how many folds their subjects are split into."""
    training: TrainingSettings = TrainingSettings()
    """How every network is trained, in the search and when it is shipped."""
    pruning: PruningSpec = PruningSpec()
    """Rules that keep a trial from starting or continuing."""
    targets: TargetsSpec = TargetsSpec()
    """What a model must achieve, and whether that ends the study."""
    budget: BudgetSpec = BudgetSpec()
    """When to end if the targets are not met."""
    finalize: FinalizeSpec = FinalizeSpec()
    """How `atml finalize` turns the best trials into models."""

    @field_validator("training", mode="before")
    @classmethod
    def _searched_fields_are_not_fixed(cls, value: Any) -> Any:
        for name in SEARCHED:
            if isinstance(value, dict) and name in value:
                where = "[search.learning_rate]" if name == "learning_rate" else "the top level"
                raise ValueError(f"`{name}` is not a training field; set it under {where}")
        return value

    @property
    def final_training(self) -> TrainingSettings:
        """How the models that are shipped are trained."""
        training, final = self.training, self.finalize
        return replace(
            training,
            epochs=final.epochs or training.epochs,
            simulated=training.simulated if final.simulated is None else final.simulated,
        )

    def stored(self) -> dict[str, Any]:
        """Return the spec as plain JSON, as stored with the study."""
        document = self.model_dump(mode="json")
        for name in SEARCHED:
            document["training"].pop(name)
        return document


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises:
        SpecError: there is no such file, or it is not TOML; names the line.
    """
    try:
        return tomllib.loads(read_file(path, most_bytes=MOST_BYTES).decode("utf-8-sig"))
    except FileNotFoundError:
        raise SpecError(f"{path}: no such spec; `atml specs list` shows those that ship with ATML") from None
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: is not a text file in UTF-8 ({error})") from None
    except (ValueError, RecursionError) as error:
        raise SpecError(f"{path}: not valid TOML: {error}") from None


def explain(error: ValidationError, source: str, fields_at: dict[str, list[str]]) -> SpecError:
    """Turn pydantic's errors into one message that names each field and what to do.

    Args:
        error: Pydantic's error.
        source: File or study that the spec came from.
        fields_at: Valid field names of each table (`""` is the top level).
    """
    found_errors = error.errors()
    deeper = {found["loc"][:-1] for found in found_errors}
    # A list whose only item is wrong should not be reported as too short as well.
    telling = [f for f in found_errors if f["type"] != "too_short" or f["loc"] not in deeper]
    lines = [_explain_one(found, fields_at) for found in telling]
    return SpecError("\n".join(f"{source}: {line}" for line in lines))


def _explain_one(found: Any, fields_at: dict[str, list[str]]) -> str:
    location = [str(part) for part in found["loc"]]
    field = ".".join(location)
    if found["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        valid = fields_at.get(".".join(location[:-1]), [])
        near = difflib.get_close_matches(location[-1], valid, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"valid here: {', '.join(valid)}"
        return f"unknown field `{field}`; {hint}"
    if found["type"] == "missing":
        return f"field `{field}` is missing"
    # ATML's own sentences name what they got.
    is_told = found["type"] == "value_error" or isinstance(found["input"], dict)
    shown = "" if is_told else f" but got {_short(found['input'])}"
    return f"field `{field}`: {_requirement(found)}{shown}"


# What pydantic's kinds of errors say in the words of a spec; its own texts speak of inputs and instances.
_REQUIREMENTS = {
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "finite_number": "must be a finite number",
    "literal_error": "must be {expected}",
    "string_pattern_mismatch": STUDY_NAME_RULE,
    "too_short": "must hold at least {min_length} value",
    "too_long": "must hold at most {max_length} values",
}
_KINDS = {
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be true or false",
    "string": "must be a text in quotes",
    "tuple": "must be a list",
    "model": "must be a table",
    "dict": "must be a table",
    "dataclass": "must be a table",
}


def _requirement(found: Any) -> str:
    """Return what pydantic expected."""
    known = _REQUIREMENTS.get(found["type"]) or _KINDS.get(found["type"].partition("_")[0])
    if known is not None:
        limits = found.get("ctx", {}).items()
        return known.format(**{name: f"{x:g}" if isinstance(x, float) else x for name, x in limits})
    message = found["msg"].removeprefix("Value error, ")
    return f"{message[:1].lower()}{message[1:]}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:79]}…"


def differences(stored: dict[str, Any], given: dict[str, Any], prefix: str = "") -> list[str]:
    """List the fields in which two stored specs differ, as `field: old → new`."""
    found: list[str] = []
    for name in sorted({*stored, *given}):
        old, new = stored.get(name), given.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, f"{prefix}{name}.")
        elif old != new:
            found.append(f"{prefix}{name}: {old!r} → {new!r}")
    return found
