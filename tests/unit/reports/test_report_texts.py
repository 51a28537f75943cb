"""What a report is made of: TOML, charts, words, targets and the checklist."""

import tomllib
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import pytest

from atml.defaults import default_spec
from atml.reports.html.answer import targets
from atml.reports.html.svg import Chart, Scale
from atml.reports.html.toml import spec_as_toml
from atml.reports.html.words import disturbance, duration, f3, interval, sizes
from atml.tuning.phases import load_spec, parse_spec


@pytest.mark.parametrize("name", ["joint.toml", "phase1.toml", "phase2.toml"])
def test_a_spec_as_toml_is_the_same_spec_without_its_folder(name):
    phase = load_spec(default_spec(name))
    placed = phase.model_copy(update={"data": phase.data.model_copy(update={"train": "/home/anna/ecg"})})
    text = spec_as_toml(placed.stored())
    assert "anna" not in text
    bare = phase.model_copy(update={"data": phase.data.model_copy(update={"train": None})})
    assert parse_spec(tomllib.loads(text), source="test") == bare


def test_a_field_that_toml_cannot_hold_is_named():
    text = spec_as_toml({"name": "x", "data": {"train": "a"}, "budget": {"minutes": None}})
    assert "# minutes is not set" in text


def chart():
    return Chart(x=Scale(low=1, high=3), y=Scale.around([0.2, 0.8]), label="a <b> & c")


def test_a_chart_is_well_formed_and_escapes_what_it_writes():
    made = chart()
    made.axes("x < y", "F&", x_ticks=[(1, "1")], y_ticks=made.y.ticks())
    made.line([(1, 0.2), (2, float("nan")), (3, 0.8)], "series", title="<script>")
    made.dot(2, 0.5, 3, "front", title="trial <1>", link="trial-1")
    made.error_bar(2, 0.4, 0.6, "error")
    root = ET.fromstring(made.render())
    assert root.get("aria-label") == "a <b> & c"
    assert root.get("role") == "group"  # its links can be reached
    link = root.find("a")
    assert (link.get("href"), link.get("aria-label")) == ("#trial-1", "trial <1>")
    assert "nan" not in made.render()


def test_a_chart_without_links_is_one_picture():
    assert ET.fromstring(chart().render()).get("role") == "img"


@pytest.mark.parametrize(
    ("scale", "shares"),
    [(Scale(low=0, high=4), (0.25, 0.5)), (Scale(low=0.25, high=4, log=True), (0.5, 0.75))],
)
def test_a_scale_is_linear_or_logarithmic(scale, shares):
    assert (scale.share(1), scale.share(2)) == pytest.approx(shares)


def test_ticks_are_round_and_inside():
    assert Scale(low=0.8812, high=0.9611).ticks() == [
        (0.9, ".9"),
        (0.92, ".92"),
        (0.94, ".94"),
        (0.96, ".96"),
    ]
    assert Scale(low=0, high=1).ticks()[0] == (0, "0")
    assert Scale(low=0, high=1).ticks()[-1] == (1, "1")
    assert Scale(low=-0.1, high=30).ticks()[:2] == [(0, "0"), (10, "10")]


def test_words():
    assert [f3(None), f3(float("nan")), f3(-0.0001), f3(0.12345)] == ["–", "–", "0.000", "0.123"]
    assert [interval(None), interval((0.1, 0.25))] == ["–", "0.100 to 0.250"]
    assert [sizes(()), sizes((2000, 4500))] == ["the targets", "2 KB, 4.5 KB"]
    assert [duration(90), duration(3 * 3600)] == ["1.5 min", "3.0 h"]
    assert disturbance("electrode_motion_0db") == "electrode motion 0 dB"
    assert disturbance("sampled_5_percent_fast") == "sampled 5 % fast"
    assert disturbance("gain_x0.25") == "gain x0.25"


def test_each_target_is_met_missed_or_not_measured():
    study = SimpleNamespace(best=SimpleNamespace(fbeta=0.95, onnx_bytes=9000, is_finished=True), beta=2.0)

    def found(**wanted):
        return targets(
            SimpleNamespace(study=study, model=None, spec={"targets": {"size_of": "onnx", **wanted}})
        )

    some = found(fbeta=0.95, onnx_bytes=8000, robust_fbeta=0.9)
    assert [one.met for one in some] == [True, False, None]
    assert some[1].text == "ONNX file at most 8,000 bytes"
    assert found(fbeta=None, onnx_bytes=None) == ()


def test_targets_are_those_of_the_shipped_model_and_before_that_of_the_search():
    study = SimpleNamespace(best=SimpleNamespace(fbeta=0.8584, onnx_bytes=9000, is_finished=True), beta=2.0)
    robustness = SimpleNamespace(robust_fbeta=0.8)
    model = SimpleNamespace(folds_fbeta=0.857, counted_bytes=7000, robustness=robustness, beta=2.0)
    for shipped, met in ((None, [True, False]), (model, [False, True])):
        spec = {"targets": {"size_of": "onnx", "fbeta": 0.858, "onnx_bytes": 8000}}
        for about_model in (False, shipped is not None):
            shown = SimpleNamespace(study=study, model=shipped, about_model=about_model, spec=spec)
            assert [one.met for one in targets(shown)] == met
