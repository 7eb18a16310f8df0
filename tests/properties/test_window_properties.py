"""Windows, splits, masks, filling and scaling, compared with plain loops."""

import math
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gridtide.periods import Period
from gridtide.training.series.cleaning import fill_forward
from gridtide.training.windows import scaling, splits
from gridtide.training.windows import windows as windows_module
from gridtide.training.windows.windows import batch_windows, select_observed

lengths = st.integers(1, 12)
randoms = st.integers(0, 2**32 - 1).map(np.random.default_rng)  # faster than arrays drawn cell by cell


@given(steps=st.integers(0, 60), seq_len=lengths, horizon=lengths, stride=lengths, gap=st.integers(0, 5))
def test_windows_are_all_that_fit(steps: int, seq_len: int, horizon: int, stride: int, gap: int) -> None:
    """The starts are all multiples of the stride whose window ends within the data; targets follow the gap."""
    expected = [s for s in range(0, steps, stride) if s + seq_len + gap + horizon <= steps]
    placed = windows_module.place_windows(steps, seq_len=seq_len, horizon=horizon, stride=stride, gap=gap)
    assert placed.start.tolist() == expected
    assert placed.first_target.tolist() == [start + seq_len + gap for start in expected]
    assert placed.target_end.tolist() == [start + seq_len + gap + horizon for start in expected]


@given(
    first=st.integers(0, 366 * 24),
    steps=st.integers(1, 24 * 12),
    seq_len=st.integers(1, 40),
    gate=st.integers(0, 23),
    zone=st.sampled_from(["America/New_York", "Europe/London", "UTC", "Asia/Tokyo"]),
)
def test_a_gate_predicts_the_whole_next_local_day(first: int, steps: int, seq_len: int, gate: int, zone: str) -> None:
    """Windows with a gate end at that hour of a local day; their targets are all hours of the next local date, checked
    hour by hour."""
    start = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(hours=first)
    local = [(start + timedelta(hours=step)).astimezone(ZoneInfo(zone)) for step in range(steps + 30)]
    placed = windows_module.place_gate_windows(
        Period(start, start + timedelta(hours=steps)), zone, gate, seq_len=seq_len
    )
    found = {}
    for begin, first_target, end in zip(*(column.tolist() for column in placed), strict=True):
        assert begin >= 0
        assert end <= steps
        found[begin + seq_len] = (first_target, end)
    for step in range(seq_len, steps):
        at_gate = local[step].hour == gate and local[step].fold == 0
        hours = [n for n in range(steps + 30) if local[n].date() == local[step].date() + timedelta(days=1)]
        if at_gate and hours[-1] < steps:
            assert found.pop(step) == (hours[0], hours[-1] + 1)
    skipped = {step for step in found if local[step].hour == gate + 1 and local[step - 1].hour == gate - 1}
    assert set(found) == skipped


@given(seq_len=lengths, horizon=lengths, stride=lengths)
def test_a_window_as_long_as_the_data_is_kept(seq_len: int, horizon: int, stride: int) -> None:
    """A window as long as the data is the only one."""
    placed = windows_module.place_windows(seq_len + horizon, seq_len=seq_len, horizon=horizon, stride=stride)
    assert placed.start.tolist() == [0]


@given(
    random=randoms,
    seq_len=lengths,
    horizon=lengths,
    inputs=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    targets=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_valid_starts_are_those_with_enough_observed(
    random: np.random.Generator, seq_len: int, horizon: int, inputs: float, targets: float
) -> None:
    """Valid windows have enough observed cells, counted one by one."""
    mask, target_mask = random.random((30, 3)) < random.random(), random.random((30, 2)) < random.random()
    candidates = windows_module.place_windows(30, seq_len=seq_len, horizon=horizon, stride=1)
    expected = []
    for s in candidates.start.tolist():
        x = [bool(mask[t, f]) for t in range(s, s + seq_len) for f in range(3)]
        y = [bool(target_mask[t, k]) for t in range(s + seq_len, s + seq_len + horizon) for k in range(2)]
        if sum(x) / len(x) >= inputs and sum(y) / len(y) >= targets:
            expected.append(s)
    found = select_observed(candidates, mask, target_mask, seq_len=seq_len, min_inputs=inputs, min_targets=targets)
    assert found.start.tolist() == expected


@given(
    steps=st.integers(10, 60),
    train=st.floats(0.1, 0.8),
    rest=st.floats(0.1, 0.9),
    gap=st.integers(0, 6),
    seq_len=lengths,
    horizon=lengths,
    strict=st.booleans(),
)
def test_splits_hold_the_windows_whose_targets_they_hold(
    steps: int, train: float, rest: float, gap: int, seq_len: int, horizon: int, strict: bool
) -> None:
    """A split has the windows whose targets (and contexts, if strict) lie in it; no window is in two splits."""
    train_end = round(steps * train)
    validation_end = train_end + round((steps - train_end) * rest)
    bounds = splits.Bounds(train_end, validation_end, steps, gap)
    windows = windows_module.place_windows(steps, seq_len=seq_len, horizon=horizon, stride=1)
    found = splits.divide_windows(windows, bounds, strict=strict)
    within = {
        "train": lambda t: t < train_end,
        "validation": lambda t: train_end + gap <= t < validation_end,
        "test": lambda t: validation_end + gap <= t < steps,
    }
    for name, holds in within.items():
        expected = [
            s
            for s in windows.start.tolist()
            if all(holds(t) for t in range(s if strict else s + seq_len, s + seq_len + horizon))
        ]
        assert found[name].start.tolist() == expected


@given(random=randoms, limit=st.integers(0, 30), cut=st.integers(1, 25))
def test_filling_copies_the_last_value_within_the_limit(random: np.random.Generator, limit: int, cut: int) -> None:
    """Filling copies the last value within the limit, and later values change nothing before them."""
    values = np.where(random.random((3, 25)) < random.random(), random.normal(size=(3, 25)), math.nan)
    filled = fill_forward(values, limit)
    for row in range(3):
        for t in range(25):
            earlier = [s for s in range(t, max(t - limit, 0) - 1, -1) if not math.isnan(values[row, s])]
            np.testing.assert_equal(filled[row, t], values[row, earlier[0]] if earlier else math.nan)
    np.testing.assert_array_equal(fill_forward(values[:, :cut], limit), filled[:, :cut])


@given(random=randoms, size=st.sampled_from([0.0, 1e-3, 1.0, 1e6]), train=st.integers(1, 20))
def test_scaling_is_inverted_and_fitted_on_observed_train_steps(
    random: np.random.Generator, size: float, train: int
) -> None:
    """Mean and deviation are those of observed train cells; scaling can be inverted, and nothing is divided by zero."""
    values, observed = random.normal(size, size, (20, 2)), random.random((20, 2)) < random.random()
    scale = scaling.fit_scale(values[:train], observed[:train])
    np.testing.assert_allclose(scale.invert(scale.apply(values)), values, rtol=1e-9, atol=1e-6)
    for column in range(2):
        cells = values[:train, column][observed[:train, column]]
        if not cells.size:
            assert (scale.mean[column], scale.deviation[column]) == (0, 1)
            continue
        np.testing.assert_allclose(scale.mean[column], cells.mean(), rtol=1e-6, atol=1e-6)
        if cells.std() > 1e-6:
            np.testing.assert_allclose(scale.deviation[column], cells.std(), rtol=1e-5)
        else:
            assert scale.deviation[column] > 0


@given(count=st.integers(0, 40), size=st.integers(1, 12), seed=st.integers(0, 5), epoch=st.integers(0, 5))
def test_batches_hold_each_window_at_most_once(count: int, size: int, seed: int, epoch: int) -> None:
    """Shuffled batches are complete and have different windows; ordered batches have every window, then −1."""
    shuffled = [b.tolist() for b in batch_windows(count, size, shuffle=True, seed=seed, epoch=epoch)]
    assert [len(b) for b in shuffled] == [size] * (count // size)
    together = [index for batch in shuffled for index in batch]
    assert len(set(together)) == len(together)
    ordered = [index for b in batch_windows(count, size, shuffle=False) for index in b.tolist()]
    assert ordered == [*range(count), *[-1] * (-count % size)]
