"""From a signal of any rate to segments of 250 Hz."""

import itertools
import re

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from atml.ecg.cutting import band_pass, cut, resample
from atml.ecg.gaps import gaps
from atml.ecg.import_writing import Writing
from atml.ecg.sources.recording import Item, Recording, Span
from atml.errors import BadRecording
from tests.recordings import sine


def recording(signal, rate_hz, *spans):
    return Recording(
        record="r",
        signal=signal,
        rate_hz=rate_hz,
        spans=tuple(Span(rhythm=r, start_seconds=a, end_seconds=b) for r, a, b in spans),
    )


def cuts(signal, rate_hz, *spans, step_seconds=5.0):
    one = recording(signal, rate_hz, *spans)
    return list(cut(one, gaps(one), step_seconds=step_seconds))


def strongest(samples):
    """The frequency of the largest peak, its amplitude and its phase at the first sample."""
    spectrum = np.fft.rfft(samples) / len(samples)
    place = int(np.argmax(np.abs(spectrum)))
    return place * 250 / len(samples), 2 * np.abs(spectrum[place]), np.angle(spectrum[place])


@pytest.mark.parametrize("rate_hz", [100.0, 128.0, 200.0, 250.0, 257.3, 360.0, 500.0, 1000.0])
def test_a_sine_keeps_frequency_amplitude_and_time(rate_hz):
    for one in cuts(sine(rate_hz, 30), rate_hz, ("N", 0, 30)):
        frequency, amplitude, phase = strongest(one.samples)
        assert len(one.samples) == 1250
        assert frequency == pytest.approx(10.0)
        assert amplitude == pytest.approx(1.0, abs=0.01)
        assert phase == pytest.approx(-np.pi / 2, abs=0.02)  # of a sine; each begins at a multiple of 5 s
        assert abs(one.samples.mean()) < 0.05  # the offset of 0.3 is gone, even at the ends


@pytest.mark.parametrize(
    ("hz", "low", "high"),
    [(0.1, 0, 0.02), (1.0, 0.85, 1.01), (40, 0.85, 1.01), (60, 0, 0.15), (100, 0, 0.01)],
)
def test_the_filter_passes_half_to_fifty_hertz(hz, low, high):
    filtered = band_pass(sine(250, 60, hz))[5000:10000]
    assert low <= np.ptp(filtered) / 2 <= high


@pytest.mark.parametrize(("rate_hz", "parts_per_million"), [(1999, 1e-6), (997, 1e-6), (333.3337, 100)])
def test_the_rate_is_met(rate_hz, parts_per_million):
    samples, met = resample(sine(rate_hz, 10), rate_hz)
    assert met == pytest.approx(250, rel=parts_per_million * 1e-6)
    assert len(samples) == pytest.approx(2500, abs=1)


def test_what_lies_above_the_new_rate_does_not_fold_back():
    samples, _ = resample(sine(1000, 20, 240), 1000)
    assert np.ptp(samples[500:-500]) < 0.02


@settings(deadline=None, max_examples=40)
@given(
    rate_hz=st.sampled_from([128.0, 200.0, 250.0, 360.0]),
    changes=st.lists(st.floats(0, 60), min_size=1, max_size=5, unique=True).map(sorted),
    gap=st.tuples(st.floats(0, 55), st.floats(0.1, 5)),
    step_seconds=st.sampled_from([1.0, 5.0, 7.5]),
)
@example(rate_hz=128.0, changes=[1.75], gap=(6.75, 1.0), step_seconds=1.0)  # ends half a sample before it
def test_no_segment_crosses_a_change_of_rhythm_or_a_gap(rate_hz, changes, gap, step_seconds):
    signal = sine(rate_hz, 60)
    start, end = round(gap[0] * rate_hz), round((gap[0] + gap[1]) * rate_hz)
    signal[start:end] = np.nan
    bounds = [*changes, 60.0]
    spans = [(f"R{n}", a, b) for n, (a, b) in enumerate(itertools.pairwise(bounds))]
    for one in cuts(signal, rate_hz, *spans, step_seconds=step_seconds):
        (_, first, last) = next(span for span in spans if span[0] == one.rhythm)
        assert first - 1e-6 <= one.start_seconds
        assert one.start_seconds + 5 <= last + 1e-6
        last_sample = one.start_seconds + 5 - 1 / 250
        assert one.start_seconds >= end / rate_hz - 1e-6 or last_sample < start / rate_hz
        assert np.isfinite(one.samples).all()


def test_segments_begin_with_the_rhythm_and_follow_each_other():
    found = cuts(sine(250, 40), 250, ("N", 0, 18.3), ("AFIB", 18.3, 40))
    assert [(one.rhythm, round(one.start_seconds, 3)) for one in found] == [
        *(("N", start) for start in (0, 5, 10)),
        *(("AFIB", start) for start in (18.3, 23.3, 28.3, 33.3)),
    ]


def test_gaps_do_not_bring_segments_closer_together_than_the_step():
    signal = sine(250, 200)
    signal[::2500] = np.nan  # one lost sample every 10 s
    found = cuts(signal, 250, ("N", 0, 90), ("AFIB", 90, 200), step_seconds=60)
    assert [(one.rhythm, round(one.start_seconds, 3)) for one in found] == [
        ("N", 0.004),
        ("N", 60.004),
        ("AFIB", 90.004),
        ("AFIB", 150.004),
    ]


def test_a_segment_that_just_fits_is_kept():
    assert len(cuts(sine(128, 10), 128, ("N", 0, 5), ("B", 5, 10))) == 2
    assert len(cuts(sine(360, 5), 360, ("N", 0, 5))) == 1
    assert cuts(sine(360, 4.99), 360, ("N", 0, 5)) == []


def test_a_flat_line_is_a_gap_but_a_pause_is_not():
    signal = sine(250, 30)
    signal[2500:4000] = 0.7  # 6 s
    assert [one.start_seconds for one in cuts(signal, 250, ("N", 0, 30))] == [0, 5, 16, 21]
    pause = sine(250, 30)
    pause[2500:2750] = 0.7  # 1 s
    assert len(cuts(pause, 250, ("N", 0, 30))) == 6


@pytest.mark.parametrize("rate_hz", [0.0, 10.0, 1e6])
def test_a_senseless_rate_is_refused(rate_hz):
    with pytest.raises(BadRecording, match=re.escape(f"sampling rate is {rate_hz:g} Hz")):
        cuts(sine(250, 30), rate_hz, ("N", 0, 30))


def test_a_recording_without_signal_is_refused():
    with pytest.raises(BadRecording, match="has no signal, only gaps"):
        cuts(np.full(5000, np.nan), 250, ("N", 0, 20))


@pytest.mark.parametrize("value", [1e13, -1e300])
def test_a_sample_that_no_converter_gives_is_refused(value):
    signal = sine(250, 20)
    signal[700] = value
    with pytest.raises(BadRecording, match=r"holds a sample of 1e\+.*, which is no ECG"):
        cuts(signal, 250, ("N", 0, 20))


class Counted:
    """A signal that counts how many samples are read of it."""

    def __init__(self, samples):
        self.samples, self.read = samples, 0

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, part):
        found = self.samples[part]
        self.read += len(found)
        return found


def test_an_import_reads_a_signal_once_for_its_gaps_and_once_for_its_segments(tmp_path):
    signal = Counted(sine(250, 20))
    item = Item(name="r", read=lambda: [recording(signal, 250, ("N", 0, 20))])
    Writing(directory=tmp_path, positive=("AFIB",), step_seconds=5, pattern=None).add(item)
    assert len([*tmp_path.iterdir()]) == 4
    assert signal.read == 2 * len(signal)
