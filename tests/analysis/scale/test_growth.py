"""Growth over sizes: known laws, published tables, damaged data."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqprof.analysis.scale.growth import find_saturation, fit_growth

LENGTHS = [64, 128, 256, 512, 1024, 2048]
DEEPBENCH = Path(__file__).parents[4] / "shared" / "deepbench_rnn_p100_titanx.csv"
PARTS = ("forward_ms", "backward_inputs_ms", "backward_weights_ms")


def test_through_two_sizes_every_fit_goes_so_there_is_no_misfit() -> None:
    growth = fit_growth([64, 128], [1.0, 1.5])
    assert growth.line_misfit is None
    assert growth.power_misfit is None
    assert not growth.is_line


@given(
    fixed=st.floats(0.0, 1.0),
    slope=st.floats(1e-7, 1e-2),
    lengths=st.lists(st.integers(2, 10_000), min_size=3, max_size=8, unique=True),
)
@settings(max_examples=30, deadline=None)
def test_a_line_is_found_exactly(fixed: float, slope: float, lengths: list[int]) -> None:
    growth = fit_growth(lengths, [fixed + slope * length for length in lengths])
    assert growth.marginal.value == pytest.approx(slope, rel=1e-6, abs=1e-12)
    assert growth.fixed.value == pytest.approx(fixed, rel=1e-6, abs=1e-6)
    assert growth.line_misfit == pytest.approx(0.0, abs=1e-6)


@given(power=st.floats(-1.0, 3.0), factor=st.floats(1e-6, 1.0))
@settings(max_examples=30, deadline=None)
def test_a_power_law_is_found_exactly(power: float, factor: float) -> None:
    growth = fit_growth(LENGTHS, [factor * length**power for length in LENGTHS])
    assert growth.exponent.value == pytest.approx(power, abs=1e-6)
    assert growth.power_misfit == pytest.approx(0.0, abs=1e-6)
    assert [local.exponent.value for local in growth.local_exponents] == pytest.approx(
        [power] * 5, abs=1e-6
    )


@given(
    lengths=st.lists(st.sampled_from(LENGTHS), min_size=6, max_size=40),
    seed=st.integers(0, 2**16),
    scale=st.floats(0.01, 100.0),
)
@settings(max_examples=20, deadline=None)
def test_order_of_measurement_and_unit_change_nothing(
    lengths: list[int], seed: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    times = [1e-3 * length * float(rng.lognormal(0.0, 0.1)) for length in lengths]
    order = rng.permutation(len(lengths))
    growth = fit_growth(lengths, times)
    other = fit_growth([lengths[i] for i in order], [scale * times[i] for i in order])
    if len(set(lengths)) < 2:
        assert growth.marginal.value is None
        assert growth.marginal.reason
        return
    assert other.marginal.value == pytest.approx(scale * (growth.marginal.value or 0.0), rel=1e-9)
    assert other.exponent.value == pytest.approx(growth.exponent.value, abs=1e-9)


def test_constant_data_grow_not_at_all() -> None:
    growth = fit_growth(LENGTHS * 6, [0.25] * 36)
    assert growth.marginal.value == 0.0
    assert (growth.marginal.low, growth.marginal.high) == (0.0, 0.0)
    assert growth.exponent.value == 0.0
    assert growth.fixed.value == pytest.approx(0.25)


def test_two_points_have_a_slope_and_no_interval() -> None:
    growth = fit_growth([100, 200], [1.0, 3.0])
    assert growth.marginal.value == pytest.approx(0.02)
    assert growth.marginal.low is None
    assert growth.exponent.low is None
    assert len(growth.local_exponents) == 1


def test_one_length_gives_null_and_says_why() -> None:
    growth = fit_growth([100, 100, 100], [1.0, 1.1, 0.9])
    assert growth.marginal.value is None
    assert "1 size" in (growth.marginal.reason or "")
    assert growth.medians_s == (1.0,)


@given(
    where=st.integers(0, len(LENGTHS) * 3 - 1),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=20, deadline=None)
def test_one_time_twenty_times_too_large_is_no_matter(where: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = LENGTHS * 3
    times = [(1e-3 + 1e-4 * n) * float(rng.lognormal(0.0, 0.01)) for n in lengths]
    times[where] *= 20
    growth = fit_growth(lengths, times)
    assert growth.marginal.value == pytest.approx(1e-4, rel=0.05)


def test_one_wild_median_among_six_is_no_matter() -> None:
    times = [1e-3 + 1e-4 * length for length in LENGTHS]
    times[2] *= 20
    assert fit_growth(LENGTHS, times).marginal.value == pytest.approx(1e-4, rel=0.05)


def test_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for _ in range(60):
        lengths = LENGTHS * 7
        times = [(2e-3 + 1e-4 * n) * float(rng.lognormal(0.0, 0.03)) for n in lengths]
        marginal = fit_growth(lengths, times).marginal
        assert marginal.low is not None
        assert marginal.high is not None
        covered += marginal.low <= 1e-4 <= marginal.high
    assert covered >= 53  # 95 % nominal; fewer than 53 of 60 has a probability of 0.3 %


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_times_that_cannot_be_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="positive and finite"):
        fit_growth([1, 2, 3], [1.0, bad, 3.0])


def test_saturation_is_where_doubling_stops_to_pay() -> None:
    seconds = {1: 1.0, 2: 1.0, 4: 1.05, 8: 1.6, 16: 3.1, 32: 6.2}
    found = find_saturation(list(seconds), list(seconds.values()))
    assert found.batch == 8
    assert found.agreement is None
    assert found.last_lift.value == pytest.approx(0.0)


def test_saturation_that_was_not_reached_is_null() -> None:
    found = find_saturation([1, 2, 4], [1.0, 1.0, 1.0])
    assert found.batch is None
    assert "still pays" in (found.reason or "")
    assert found.last_lift.value == pytest.approx(1.0)


def test_one_batch_size_saturates_nothing() -> None:
    found = find_saturation([8] * 6, [1.0] * 6)
    assert found.batch is None
    assert found.last_lift.value is None


@pytest.mark.parametrize(("noise", "least", "most"), [(0.001, 1.0, 1.0), (0.2, 0.1, 0.95)])
def test_rounds_tell_how_sure_a_saturation_is(noise: float, least: float, most: float) -> None:
    rng = np.random.default_rng(1)
    truth = {8: 1.0, 16: 1.1, 32: 2.1, 64: 4.2}  # doublings that add 82 %, 5 % and 0 %
    batches = [batch for batch in truth for _ in range(7)]
    found = find_saturation(batches, [truth[b] * float(rng.lognormal(0, noise)) for b in batches])
    assert found.agreement is not None
    assert least <= found.agreement <= most
    assert found.last_lift.low is not None
    assert found.last_lift.high is not None
    assert found.last_lift.low <= 0.0 <= found.last_lift.high


def test_sizes_that_are_no_doublings_are_judged_as_if_they_were() -> None:
    # 4 times the batch for 2.5 times the time: 1.6, a factor of 1.265 per doubling.
    assert find_saturation([4, 16], [1.0, 2.5]).last_lift.value == pytest.approx(1.6**0.5 - 1)


def test_between_two_sizes_the_price_is_their_difference() -> None:
    growth = fit_growth([100, 200, 400] * 6, [1.0, 3.0, 13.0] * 6)
    assert [part.marginal.value for part in growth.local_exponents] == [0.02, 0.05]
    assert growth.local_exponents[0].marginal.low == 0.02


@given(power=st.floats(1.5, 3.0))
@settings(max_examples=10, deadline=None)
def test_a_curve_is_not_taken_for_a_line(power: float) -> None:
    growth = fit_growth(LENGTHS, [1e-6 * length**power for length in LENGTHS])
    assert growth.is_power
    assert not growth.is_line


def test_a_line_with_a_large_fixed_cost_is_not_taken_for_a_power_law() -> None:
    growth = fit_growth(LENGTHS, [0.1 + 1e-4 * length for length in LENGTHS])
    assert growth.is_line
    assert not growth.is_power


def _deepbench() -> dict[tuple[str, str], list[dict[str, str]]]:
    if not DEEPBENCH.is_file():
        pytest.skip(f"the published table is not here: {DEEPBENCH.name}")
    series: dict[tuple[str, str], list[dict[str, str]]] = {}
    with DEEPBENCH.open(newline="") as file:
        for row in csv.DictReader(file):
            if (row["cell"], row["batch"]) == ("gru", "32") and int(row["timesteps"]) >= 187:
                series.setdefault((row["device"], row["hidden"]), []).append(row)
    return {key: rows for key, rows in series.items() if len(rows) == 4}


@pytest.mark.parametrize("part", [*PARTS, "all"])
def test_published_gpu_times_are_fitted(part: str) -> None:
    series = _deepbench()
    assert len(series) == 8
    for key, rows in series.items():
        lengths = [int(row["timesteps"]) for row in rows]
        parts = PARTS if part == "all" else (part,)
        times = {
            n: sum(float(row[p]) for p in parts) / 1e3 for n, row in zip(lengths, rows, strict=True)
        }
        growth = fit_growth(lengths, list(times.values()))
        assert growth.exponent.value is not None
        assert growth.marginal.value is not None
        assert 0.93 <= growth.exponent.value <= 1.03, key
        assert growth.marginal.value == pytest.approx((times[1500] - times[750]) / 750, rel=0.05)
