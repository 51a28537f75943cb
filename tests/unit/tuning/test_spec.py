import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atml.errors import SpecError
from atml.tuning.phases import PHASES, load_spec, parse_spec
from atml.tuning.spec import differences

STUDIES = Path(__file__).parents[3] / "studies"
MINIMAL = {"phase": "architecture", "name": "a"}
WIDTH = {"phase": "width", "name": "a", "base": {"architectures": ["conv_gru"]}}


@pytest.mark.parametrize(
    "path", sorted(STUDIES.rglob("*.toml")), ids=lambda path: str(path.relative_to(STUDIES))
)
def test_every_spec_that_atml_brings_along_loads(path):
    phase = load_spec(path)
    assert phase.phase in PHASES
    assert parse_spec(phase.stored(), source="stored") == phase


def test_the_stored_form_is_json_and_gives_the_same_spec_back(make_phase1, make_phase2):
    for phase in (make_phase1(), make_phase2(), make_phase2(base={"study": "first", "candidates": 2})):
        stored = json.loads(json.dumps(phase.stored()))
        assert parse_spec(stored, source="stored") == phase


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trainig": {}}, "unknown field `trainig`; did you mean `training`?"),
        ({"data": {"skip_badd": 3}}, "unknown field `data.skip_badd`; did you mean `skip_bad`?"),
        ({"budget": {"trails": 3}}, "unknown field `budget.trails`; did you mean `trials`?"),
        ({"budget": {"zzz": 3}}, "unknown field `budget.zzz`; valid here: trials, minutes"),
        ({"training": {"epoch": 3}}, "unknown field `training.epoch`; did you mean `epochs`?"),
        (
            {"training": {"augmentation": {"nois": 1}}},
            "unknown field `training.augmentation.nois`; did you mean `noise`?",
        ),
        (
            {"pruning": {"neighbourhood": {"radios": 1}}},
            "unknown field `pruning.neighbourhood.radios`; did you mean `radius`?",
        ),
        (
            {"search": {"learning_rate": {"low": 0.1, "high": 1, "step": 2}}},
            "unknown field `search.learning_rate.step`; did you mean `steps`?",
        ),
        ({"data": {"fold": 0}}, "unknown field `data.fold`; did you mean `folds`?"),
        ({"search": {"size": [1]}}, "unknown field `search.size`; did you mean `sizes`?"),
        ({"targets": {"stopp": False}}, "unknown field `targets.stopp`; did you mean `stop`?"),
        ({"finalize": {"widths": 3}}, "unknown field `finalize.widths`; valid here: sizes, candidates"),
        ({"base": {}}, "unknown field `base`"),  # another phase's
    ],
)
def test_an_unknown_field_at_any_level_is_refused_with_the_nearest_valid_name(changes, message):
    with pytest.raises(SpecError) as caught:
        parse_spec({**MINIMAL, **changes}, source="my.toml")
    assert f"my.toml: {message}" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"phase": "depth"}, ["`phase`", "joint, architecture, width", "'depth'"]),
        ({"phase": 1}, ["`phase`", "got 1"]),
        ({"name": "no spaces"}, ["`name`", "'no spaces'"]),
        ({"name": "../up"}, ["`name`", "'../up'"]),
        ({"beta": 0}, ["`beta`", "got 0"]),
        ({"beta": 1e200}, ["`beta`", "got 1e+200"]),
        ({"budget": {"trials": 0}}, ["`budget.trials`", "got 0"]),
        ({"budget": {"trials": "many"}}, ["`budget.trials`", "'many'"]),
        ({"budget": {"minutes": -1}}, ["`budget.minutes`", "got -1"]),
        ({"budget": 3}, ["`budget`", "got 3"]),
        ({"data": {"folds": 1}}, ["`data.folds`", "got 1"]),
        ({"targets": {"fbeta": 95}}, ["`targets.fbeta`", "got 95"]),
        ({"targets": {"stop": "no way"}}, ["`targets.stop`", "'no way'"]),
        ({"pruning": {"race_chance": 1}}, ["`pruning.race_chance`", "got 1"]),
        ({"search": {"sizes": []}}, ["`search.sizes`"]),
        ({"search": {"sizes": [0]}}, ["`search.sizes.0`", "got 0"]),
        ({"search": {"sizes": [8000, 4000, 8000]}}, ["`search.sizes`", "8000 is repeated"]),
        ({"search": {"shapes": [0.01]}}, ["`search.shapes.0`", "got 0.01"]),
        ({"search": {"architectures": []}}, ["`search.architectures`"]),
        ({"search": {"architectures": ["liner"]}}, ["no architecture 'liner'", "did you mean 'linear'"]),
        (
            {"search": {"learning_rate": {"low": 0.1, "high": 0.01}}},
            ["`search.learning_rate`", "low <= high"],
        ),
        ({"search": {"learning_rate": {"low": 0.1, "high": 0.1}}}, ["`search.learning_rate`", "`steps`"]),
        ({"training": {"epochs": 0}}, ["`training.epochs`: must be at least 1 but got 0"]),
        ({"training": {"augmentation": {"shift": 0.6}}}, ["`training.augmentation.shift`", "at most 0.5"]),
        ({"training": {"schedule": "cosine"}}, ["training", "one-cycle", "'cosine'"]),
        ({"training": {"learning_rate": 0.1}}, ["`learning_rate`", "[search.learning_rate]"]),
        ({"training": {"seed": 1}}, ["`seed`", "top level"]),
    ],
)
def test_a_wrong_value_is_refused_with_its_field_and_what_was_given(changes, parts):
    with pytest.raises(SpecError) as caught:
        parse_spec({**MINIMAL, **changes}, source="my.toml")
    assert [part for part in ["my.toml: ", *parts] if part not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"base": {}}, "`base`: name a `study`, or `architectures`"),
        ({"base": {"architectures": []}}, "`base.architectures`"),
        ({"base": {"architectures": ["conv_gru"] * 2}}, "conv_gru is repeated"),
        ({"base": {"architectures": ["liner"]}}, "did you mean 'linear'"),
        (
            {"base": {"architecture": "linear"}},
            "unknown field `base.architecture`; did you mean `architectures`?",
        ),
        ({"base": {"study": "a", "candidates": 0}}, "`base.candidates`"),
    ],
)
def test_a_phase_2_without_a_sound_base_is_refused(changes, part):
    with pytest.raises(SpecError) as caught:
        parse_spec({**WIDTH, **changes}, source="my.toml")
    assert part in str(caught.value)


def test_a_search_that_is_given_in_part_keeps_the_rest_of_its_phases_defaults():
    part = {"search": {"architectures": ["conv_gru"]}}
    for phase in PHASES:
        document = {**(WIDTH if phase == "width" else MINIMAL), "phase": phase}
        whole, given_ = (parse_spec({**document, **more}, source="my.toml").search for more in ({}, part))
        assert (given_.sizes, given_.shapes) == (whole.sizes, whole.shapes)
        assert (len(given_.sizes) == 1) is (phase == "architecture")
        assert (len(given_.shapes) > 1) is (phase == "width")


def test_a_study_ends_with_its_targets_unless_it_says_otherwise():
    assert parse_spec(MINIMAL, source="my.toml").targets.stop
    assert not parse_spec({**MINIMAL, "targets": {"stop": False}}, source="my.toml").targets.stop


EVERY_NUMBER = {
    "beta": 2.0,
    "seed": 0,
    "data": {"folds": 5, "seed": 0},
    "training": {
        "epochs": 10,
        "batch_size": 64,
        "segments_per_epoch": 100,
        "simulated": 0.1,
        "weight_decay": 0.01,
        "label_smoothing": 0.0,
        "ema_decay": 0.9,
        "gradient_clip": 5.0,
        "patience": 3,
        "gap": 0.01,
        "augmentation": {
            "probability": 0.8,
            "noise": 0.4,
            "baseline_wander": 0.4,
            "time_stretch": 0.1,
            "shift": 0.1,
            "flat_line": 0.02,
        },
    },
    "pruning": {
        "neighbourhood": {"threshold": 0.6, "radius": 2},
        "startup_trials": 5,
        "warmup_epochs": 1,
        "keep": 0.7,
        "race_chance": 0.2,
    },
    "targets": {"fbeta": 0.9, "onnx_bytes": 10_000},
    "budget": {"trials": 50, "minutes": 10.0},
    "finalize": {"candidates": 3, "seeds": 2, "epochs": 12, "simulated": 0.1, "soft_labels": 0.5},
}
RATES = {"low": 1e-4, "high": 1e-2, "steps": 5}
NUMBERS = {
    "joint": {**EVERY_NUMBER, "search": {"learning_rate": RATES}},
    "width": {
        **EVERY_NUMBER,
        "base": {"study": "first", "candidates": 3},
        "search": {"learning_rate": RATES},
    },
}


def numbers_of(document, kinds, path=()):
    """Return the paths of all numbers of these kinds."""
    found = []
    for name, value in document.items():
        if isinstance(value, dict):
            found += numbers_of(value, kinds, (*path, name))
        elif type(value) in kinds:
            found.append((*path, name))
    return found


def with_number(document, path, value):
    name, *rest = path
    return {**document, name: with_number(document[name], rest, value) if rest else value}


def field_names(model):
    """Return the names of all numeric fields of a spec, however deep."""
    return {path[-1] for path in numbers_of(model.stored(), (int, float))}


@pytest.mark.parametrize(
    ("phase", "path", "value"),
    [
        (phase, path, value)
        for phase, document in NUMBERS.items()
        for kinds, values in (((float,), (math.inf, math.nan, -1.0)), ((int,), (-1, 10**400)))
        for path in numbers_of(document, kinds)
        for value in values
    ],
    ids=lambda value: ".".join(value) if isinstance(value, tuple) else None if isinstance(value, str) else "",
)
def test_no_number_may_be_infinite_or_undefined_or_negative(phase, path, value):
    document = {"phase": phase, "name": "a", **NUMBERS[phase]}
    assert field_names(parse_spec(document, source="whole")) == {
        path[-1] for path in numbers_of(document, (int, float))
    }
    with pytest.raises(SpecError) as caught:
        parse_spec(with_number(document, path, value), source="my.toml")
    first, *_ = str(caught.value).splitlines()
    assert first.startswith(f"my.toml: field `{path[0]}")
    assert path[-1] in first


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"beta": 1e200}, "field `beta`: must be at most 100 but got 1e+200"),
        ({"beta": float("inf")}, "field `beta`: must be a finite number but got inf"),
        ({"beta": "x"}, "field `beta`: must be a number but got 'x'"),
        ({"data": {"seed": -1}}, "field `data.seed`: must be at least 0 but got -1"),
        ({"data": {"skip_bad": "maybe"}}, "field `data.skip_bad`: must be true or false but got 'maybe'"),
        ({"data": 5}, "field `data`: must be a table but got 5"),
        ({"seed": 1.5}, "field `seed`: must be a whole number but got 1.5"),
        ({"search": {"sizes": []}}, "field `search.sizes`: must hold at least 1 value but got []"),
        ({"search": {"sizes": 5}}, "field `search.sizes`: must be a list but got 5"),
        (
            {"targets": {"size_of": "x"}},
            "field `targets.size_of`: must be 'onnx', 'int8' or 'flash' but got 'x'",
        ),
        ({"name": "a b"}, "field `name`: must be 1 to 64 letters, digits, . _ or -, and begin with a letter"),
        ({"name": "a" * 300}, f"but got '{'a' * 78}…"),
        ({"data": {"exclude_subjects": ["x"]}}, "a subject's name must read S<number>, as S47, but got 'x'"),
    ],
)
def test_a_wrong_value_is_told_in_the_words_of_a_spec(change, words):
    with pytest.raises(SpecError) as caught:
        parse_spec({**MINIMAL, **change}, source="my.toml")
    (line,) = str(caught.value).splitlines()
    assert words in line
    assert line.count("but got") == 1


def test_every_mistake_is_named_at_once():
    with pytest.raises(SpecError) as caught:
        parse_spec({**MINIMAL, "beta": -1, "budgets": {}, "targets": {"fbeta": 2}}, source="my.toml")
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"a = " + b"[" * 5000 + b"]" * 5000, "not valid TOML: maximum recursion depth"),
        (b"a = " + b"9" * 5000, r"not valid TOML: .*\(4300 digits\) for integer"),
        (b"a = 1\n" * 400_000, "has 2,400,000 bytes, more than 1,000,000"),
        ("name = 'é'".encode("latin-1"), "is not a text file in UTF-8"),
    ],
)
def test_a_hostile_file_is_refused_in_a_sentence(tmp_path, content, text):
    path = tmp_path / "hostile.toml"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=text):
        load_spec(path)


@pytest.mark.parametrize("path", ["/dev/zero", "/tmp", "/dev/null/none"])
def test_what_is_no_file_is_refused_in_a_sentence(path):
    with pytest.raises(SpecError, match=r"not a regular file|cannot be read"):
        load_spec(Path(path))


def test_broken_toml_names_the_line(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text('phase = "architecture"\nname = \n')
    with pytest.raises(SpecError, match=r"broken\.toml: not valid TOML: .*line 2"):
        load_spec(path)


@pytest.mark.parametrize(("content", "part"), [(None, "no such spec"), (b"\xff\xfe\x00", "not a text file")])
def test_missing_and_binary_files_are_one_message(tmp_path, content, part):
    path = tmp_path / "spec.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SpecError, match=part) as caught:
        load_spec(path)
    assert str(path) in str(caught.value)


def test_a_directory_is_no_spec(tmp_path):
    with pytest.raises(SpecError, match="cannot be read"):
        load_spec(tmp_path)


def test_differences_name_the_field_with_its_old_and_new_value(make_phase1):
    old = make_phase1().stored()
    new = make_phase1(training={"epochs": 7}, search={"architectures": ["linear"]}).stored()
    assert differences(old, old) == []
    assert differences(old, new) == [
        "search.architectures: ['linear', 'optimized_afnet'] → ['linear']",
        "training.epochs: 2 → 7",
    ]
    assert differences({"a": 1}, {"b": {"c": 2}}) == ["a: 1 → None", "b: None → {'c': 2}"]


NAMES = st.text("abé_-. 1", max_size=5)
TOML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)
TABLES = sorted({*PHASES["architecture"].model_fields, *PHASES["width"].model_fields} - {"phase"})


@given(
    phase=st.sampled_from(sorted(PHASES)),
    document=st.dictionaries(st.sampled_from(TABLES) | NAMES, TOML_VALUES, max_size=4),
)
def test_whatever_a_spec_holds_it_is_accepted_or_refused_in_words(phase, document):
    message = "accepted"
    try:
        parse_spec({**WIDTH, **document, "phase": phase}, source="wild.toml")
    except SpecError as error:
        message = str(error)
    assert all(line.startswith(("accepted", "wild.toml: ")) for line in message.splitlines())


def test_an_architecture_named_twice_is_refused():
    document = {"phase": "architecture", "name": "x", "search": {"architectures": ["linear", "linear"]}}
    with pytest.raises(SpecError, match="linear is repeated"):
        parse_spec(document, source="spec")


def test_a_misspelt_architecture_is_the_only_complaint():
    document = {"phase": "architecture", "name": "x", "search": {"architectures": ["afnett"]}}
    with pytest.raises(SpecError, match="did you mean 'afnet'") as caught:
        parse_spec(document, source="spec")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("budget", "trials"), [({}, 50), ({"minutes": 5}, None), ({"trials": 7, "minutes": 5}, 7)]
)
def test_fifty_trials_are_the_limit_only_if_there_is_no_other(budget, trials):
    phase = parse_spec({**MINIMAL, "budget": budget}, source="my.toml")
    assert phase.budget.trials == trials
    assert parse_spec(phase.stored(), source="stored").budget == phase.budget


def test_targets_in_words_are_those_that_are_set_with_the_size_that_they_count():
    words = [
        parse_spec({**MINIMAL, "targets": one}, source="my.toml").targets.in_words()
        for one in ({}, {"fbeta": 0.94}, {"onnx_bytes": 8000, "size_of": "int8"})
    ]
    assert words == ["", "F-beta ≥ 0.94", "INT8 ≤ 8.0 KB"]
