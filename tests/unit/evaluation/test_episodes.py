"""Episodes, and how well they are found."""

from dataclasses import asdict

import numpy as np
import pytest

from atml.evaluation.episodes import EpisodeMetrics, evaluate_episodes, find_episodes


def episodes(scores, starts=None, **options):
    starts = np.arange(len(scores)) * 5.0 if starts is None else np.array(starts)
    found = find_episodes(starts, starts + 5, scores, threshold=0.5, **options)
    return [(one.start_seconds, one.end_seconds, one.segments, one.mean_probability) for one in found]


def test_an_episode_is_a_longest_sequence_of_called_segments():
    scores = [0.6, 0.1, 0.5, 0.7, 0.9, 0.2, 0.8]
    assert episodes(scores) == [(0, 5, 1, 0.6), (10, 25, 3, pytest.approx(0.7)), (30, 35, 1, 0.8)]


def test_a_part_without_a_score_ends_an_episode():
    assert [one[:3] for one in episodes([0.9] * 4, [0, 5, 10.2, 15.2])] == [(0, 10, 2), (10.2, 20.2, 2)]


def test_short_episodes_are_left_out():
    assert [one[:2] for one in episodes([0.9, 0.1, 0.9, 0.9], minimum_seconds=10)] == [(10, 20)]


def test_nothing_called_is_no_episode():
    assert episodes([0.1, 0.2]) == episodes([]) == []


def evaluated(*records):
    """Evaluate records given as (subject, labels, answers), strings of 0 and 1, or with a name before."""
    named = [one if len(one) == 4 else (f"r{number}", *one) for number, one in enumerate(records)]
    rows = [
        (subject, record, at * 5.0, 0, int(label), int(call))
        for record, subject, labels, calls in named
        for at, (label, call) in enumerate(zip(labels, calls, strict=True))
    ]
    rows.reverse()  # in any order
    subjects, names, starts, parts, labels, calls = zip(*rows, strict=True)
    return evaluate_episodes(subjects, names, starts, parts, labels, calls, segment_seconds=5.0)


def test_statistics_count_overlaps_and_durations():
    found = evaluated(("S1", "0111001100", "0010000011"))
    one = found.pooled
    assert (one.annotated_episodes, one.detected_episodes) == (2, 1)
    assert (one.called_episodes, one.right_episodes) == (2, 1)
    assert (one.annotated_seconds, one.called_seconds, one.right_seconds) == (25, 15, 5)
    assert (one.sensitivity, one.positive_predictivity) == (0.5, 0.5)
    assert one.duration_sensitivity == pytest.approx(1 / 5)
    assert one.duration_positive_predictivity == pytest.approx(1 / 3)


def test_records_of_different_people_may_have_the_same_name():
    people = [("visit 1", subject, "0110", "0110") for subject in ("S1", "S2")]
    found = evaluated(*people)
    assert (found.pooled.annotated_episodes, found.pooled.annotated_seconds) == (2, 20)


def test_thousands_of_records_take_no_longer_than_their_segments():
    count = 20_000  # took minutes when each record looked through all segments
    answers = [1, 0] * (count // 2)
    names, zeros = [f"r{number // 2}" for number in range(count)], [0] * count
    found = evaluate_episodes(
        names, names, [0.0, 5.0] * (count // 2), zeros, answers, answers, segment_seconds=5.0
    )
    assert found.pooled.annotated_episodes == found.pooled.right_episodes == count // 2


def test_records_are_pooled_and_episodes_end_with_a_record():
    one = evaluated(("S1", "11", "11"), ("S1", "11", "00"), ("S2", "00", "01")).pooled
    assert (one.annotated_episodes, one.detected_episodes, one.sensitivity) == (2, 1, 0.5)
    assert (one.called_episodes, one.right_episodes, one.positive_predictivity) == (2, 1, 0.5)


def test_a_rate_of_nothing_is_unknown():
    without = evaluated(("S1", "00", "01")).pooled
    assert (without.sensitivity, without.positive_predictivity) == (None, 0.0)


@pytest.mark.parametrize(
    ("left_out", "parts", "count"),
    [
        (4.9, (0, 0), 1),  # at a change of rhythm
        (5.0, (0, 0), 2),  # a whole segment is missing
        (1.0, (0, 1), 2),  # a gap
        (0.0, (None, None), 1),
        (1.0, (None, None), 2),  # a gap or a change
    ],
)
def test_only_signal_shorter_than_a_segment_may_be_left_out_within_an_episode(left_out, parts, count):
    starts = [0.0, 5.0 + left_out]
    found = evaluate_episodes(["S"] * 2, ["r"] * 2, starts, parts, [1, 1], [1, 1], segment_seconds=5.0).pooled
    assert (found.annotated_episodes, found.called_episodes) == (count, count)
    assert found.annotated_seconds == found.called_seconds == 10


def test_metrics_survive_json():
    found = evaluated(("S1", "0110", "0100"))
    assert EpisodeMetrics.from_dict(asdict(found)) == found
    older = {"pooled": {"subject": "", **asdict(found.pooled)}, "per_subject": []}
    assert EpisodeMetrics.from_dict(older) == found
