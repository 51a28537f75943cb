import numpy as np
import pytest

from atml.evaluation import DISTURBANCES

BY_NAME = {one.name: one for one in DISTURBANCES}
LENGTH = 1250
TIMES = np.arange(LENGTH) / 250


def beats(segments=40, offset=0.0, seed=3):
    """Return segments of sharp peaks in a little noise, each of another rate and height."""
    rng = np.random.default_rng(seed)
    interval = rng.uniform(0.5, 1.2, (segments, 1))
    shape = np.exp(-(((TIMES % interval - interval / 2) / 0.02) ** 2))
    height = rng.uniform(0.3, 3, (segments, 1))
    return (height * shape + rng.normal(0, 0.01, shape.shape) + offset).astype(np.float32)


def disturbed(name, samples, seed=0):
    return BY_NAME[name].apply(samples, np.random.default_rng(seed))


def added(name, samples):
    return disturbed(name, samples).astype(float) - samples


def share_of_power(noise, low, high):
    """Return the share [n] of the noise's power from `low` to `high` Hz."""
    power = np.abs(np.fft.rfft(noise - noise.mean(axis=1, keepdims=True))) ** 2
    hz = np.fft.rfftfreq(LENGTH, 1 / 250)
    return power[:, (hz >= low) & (hz <= high)].sum(axis=1) / power.sum(axis=1)


def test_the_list_is_fixed_and_names_are_distinct():
    assert len(BY_NAME) == len(DISTURBANCES) == 18
    assert [one.name for one in DISTURBANCES if one.severe] == ["white_noise_0db", "electrode_motion_0db"]


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("length", [1250, 1251, 250])
def test_shape_and_type_stay_and_the_input_too(name, length):
    before = beats(7)[:, :length] if length <= LENGTH else np.pad(beats(7), ((0, 0), (0, 1)))
    given = before.copy()
    found = disturbed(name, given)
    assert found.shape == before.shape
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert np.array_equal(given, before)
    assert not np.array_equal(found, before)


@pytest.mark.parametrize("name", BY_NAME)
def test_the_generator_alone_decides(name):
    samples = beats(5)
    assert np.array_equal(disturbed(name, samples, seed=4), disturbed(name, samples, seed=4))
    drawn = ("noise" in name) or name.startswith(("electrode", "baseline", "mains", "dropped", "spike"))
    assert drawn != np.array_equal(disturbed(name, samples, seed=4), disturbed(name, samples, seed=5))


@pytest.mark.parametrize("name", BY_NAME)
def test_a_flat_line_stays_finite(name):
    for level in (0.0, 1e6):
        assert np.isfinite(disturbed(name, np.full((3, LENGTH), level, np.float32))).all()


@pytest.mark.parametrize("name", [name for name in BY_NAME if name.endswith("db")])
@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_noise_has_its_ratio_to_the_variance_in_every_segment(name, offset):
    samples = beats(offset=offset)
    wanted = float(name.removesuffix("db").rpartition("_")[2])
    found = 10 * np.log10(samples.astype(float).var(axis=1) / added(name, samples).var(axis=1))
    assert found == pytest.approx(wanted, abs=0.01)


@pytest.mark.parametrize("factor", [0.25, 0.5, 2.0, 4.0])
def test_gain_multiplies(factor):
    samples = beats(offset=1.0)
    assert disturbed(f"gain_x{factor:g}", samples) == pytest.approx(factor * samples)


def test_a_reversed_electrode_changes_the_sign():
    samples = beats()
    assert np.array_equal(disturbed("reversed_electrode", samples), -samples)


def test_white_noise_is_equally_strong_at_all_frequencies():
    noise = added("white_noise_6db", beats())
    for low in (0, 25, 50, 75, 100):
        assert share_of_power(noise, low, low + 25).mean() == pytest.approx(0.2, abs=0.02)


def test_muscle_noise_comes_in_bursts_of_its_band():
    noise = added("muscle_noise_6db", beats())
    assert share_of_power(noise, 19, 46).min() > 0.98
    # Power of each half second: most of it in few of the ten.
    power = np.sort((noise.reshape(len(noise), 10, -1) ** 2).sum(axis=2), axis=1)
    assert np.median(power[:, -4:].sum(axis=1) / power.sum(axis=1)) > 0.85


def test_electrode_motion_is_slow_and_as_large_as_beats():
    noise = added("electrode_motion_0db", beats())
    assert np.median(share_of_power(noise, 0, 5)) > 0.9
    height = np.ptp(noise, axis=1) / beats().std(axis=1)
    assert height.min() > 2
    # Its steepest 50 ms are far above what a wander of the same power does in that time.
    step = np.abs(noise[:, 12:] - noise[:, :-12]).max(axis=1)
    wander = added("baseline_wander_0db", beats())
    assert np.median(step) > 3 * np.median(np.abs(wander[:, 12:] - wander[:, :-12]).max(axis=1))


def test_baseline_wander_is_below_half_a_hertz():
    # The window keeps a wave that 5 s cut off from spreading to all frequencies.
    noise = added("baseline_wander_0db", beats()) * np.hanning(LENGTH)
    assert share_of_power(noise, 0, 1).min() > 0.99


def test_mains_hum_is_at_50_hz_with_a_phase_of_its_own():
    noise = added("mains_hum_6db", beats())
    assert share_of_power(noise, 49.9, 50.1).min() > 0.999
    at_50 = np.fft.rfft(noise)[:, 250]
    assert np.std(np.angle(at_50)) > 1


def test_clipping_is_at_sixty_per_cent_of_the_peak_about_the_mean():
    samples = beats(offset=5.0)
    centred = samples - samples.mean(axis=1, keepdims=True)
    limit = 0.6 * np.abs(centred).max(axis=1, keepdims=True)
    found = disturbed("clipped", samples) - samples.mean(axis=1, keepdims=True)
    assert np.abs(found).max(axis=1) == pytest.approx(limit[:, 0], rel=1e-4)
    inside = np.abs(centred) < limit
    assert found[inside] == pytest.approx(centred[inside], abs=1e-5)


def test_five_gaps_of_five_per_cent_in_all_hold_the_last_value():
    samples = np.random.default_rng(0).normal(size=(50, LENGTH)).astype(np.float32)
    found = disturbed("dropped_samples", samples)
    lost = found != samples
    assert lost.mean(axis=1) == pytest.approx(0.05, abs=0.003)
    assert np.array_equal(found[:, 1:][lost[:, 1:]], found[:, :-1][lost[:, 1:]])
    starts = (lost[:, 1:] & ~lost[:, :-1]).sum(axis=1) + lost[:, 0]
    assert (starts <= 5).all()
    assert np.median(starts) == 5


@pytest.mark.parametrize(("name", "rate"), [("fast", 1.05), ("slow", 0.95)])
def test_a_wrong_sampling_rate_moves_the_zero_crossings(name, rate):
    hertz = np.linspace(5, 20, 16)[:, None]
    samples = np.sin(2 * np.pi * hertz * TIMES + 0.5).astype(np.float32)
    found = disturbed(f"sampled_5_percent_{name}", samples)[:, :1180]  # not the mirrored end
    crossings = (np.diff(np.signbit(found), axis=1)).sum(axis=1)
    # Two a period. More samples a second: fewer crossings in as many samples.
    assert crossings == pytest.approx(2 * hertz[:, 0] / rate * 1180 / 250, abs=1.5)


def test_resampling_keeps_the_height_and_mirrors_the_end():
    samples = np.sin(2 * np.pi * 10 * TIMES + 0.5).astype(np.float32)[None]
    found = disturbed("sampled_5_percent_slow", samples)[0]
    assert np.abs(found[100:1100]).max() == pytest.approx(1, abs=0.01)
    assert found[1188:] == pytest.approx(found[1187 - 62 : 1187][::-1])


def test_a_spike_of_ten_peaks_hits_four_samples():
    samples = beats(60, offset=2.0)
    found = added("spike", samples)
    peak = np.abs(samples - samples.mean(axis=1, keepdims=True)).max(axis=1)
    hit = found != 0
    assert (hit.sum(axis=1) == 4).all()
    assert (np.ptp(np.nonzero(hit)[1].reshape(-1, 4), axis=1) == 3).all()
    assert np.abs(found).max(axis=1) == pytest.approx(10 * peak, rel=1e-3)
    assert {-1.0, 1.0} == set(np.sign(found.sum(axis=1)))
