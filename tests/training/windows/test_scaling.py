"""Scalings beyond the standard one, their inverse, and weights."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gridtide.errors import TrainingError
from gridtide.evaluation.evaluation_set import open_evaluation
from gridtide.training.spec import ScalingMethod, load_spec
from gridtide.training.stored.scales import find_scale
from gridtide.training.windows.scaling import fit_scale
from tests.support.sets import training_set, write_demand_set

METHODS: tuple[ScalingMethod, ...] = ("standard", "robust", "log1p", "quantile", "per_window")
FUTURE = ["eia/ISNE/demand_forecast_day_ahead"]


def skewed_columns() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Columns with a long tail, with negative values, with many equal ones and a constant; 5 % is not observed."""
    noise = np.random.default_rng(0)
    values = np.stack(
        [
            np.exp(noise.normal(3, 1.5, 5000)),
            noise.standard_t(2, 5000) * 40,
            np.maximum(noise.normal(0, 100, 5000), 0),
            np.full(5000, 7.0),
            noise.normal(1e5, 3, 5000),
        ],
        axis=1,
    )
    return values, noise.random(values.shape) > 0.05


@pytest.mark.parametrize("method", METHODS)
def test_what_is_scaled_can_be_inverted(method: ScalingMethod) -> None:
    """Values within and beyond the train values come back from their scaled form, and scaling keeps their order."""
    values, observed = skewed_columns()
    scale = fit_scale(values, observed, method)
    probes = np.concatenate([values, values.max(axis=0) * [[1.5]] + 10, values.min(axis=0) * [[1.5]] - 10])
    scaled = scale.apply(probes)
    np.testing.assert_allclose(scale.invert(scaled), probes, rtol=1e-9, atol=1e-9)
    for column in range(values.shape[1]):
        order = np.argsort(probes[:, column], kind="stable")
        assert (np.diff(scaled[order, column]) >= 0).all()
    assert (scale.spread > 0).tolist() == [True, True, True, False, True]


def test_each_method_has_the_numbers_of_its_definition() -> None:
    """Robust: the median is 0 and the quartiles of a normal column at ± 0.674. log1p: what is transformed has mean 0
    and deviation 1. Quantile: the share of train values below is that of a normal distribution."""
    values, observed = skewed_columns()
    column = values[observed[:, 0], 0]
    robust = fit_scale(values, observed, "robust").apply(values)
    assert np.median(robust[observed[:, 1], 1]) == pytest.approx(0, abs=1e-6)
    low, high = np.quantile(robust[observed[:, 4], 4], [0.25, 0.75])
    assert high - low == pytest.approx(2 * 0.67449, abs=1e-3)
    logged = fit_scale(values, observed, "log1p")
    assert logged.mean[0] == pytest.approx(np.log1p(column).mean(), rel=1e-6)
    assert logged.deviation[0] == pytest.approx(np.log1p(column).std(), rel=1e-6)
    scores = np.sort(fit_scale(values, observed, "quantile").apply(values)[observed[:, 0], 0])
    for share, score in ((0.1587, -1), (0.5, 0), (0.8413, 1)):
        assert scores[int(share * len(scores))] == pytest.approx(score, abs=0.05)


def test_nothing_after_training_changes_a_scale() -> None:
    """Values that are not in the train steps, or not observed, have no part in any scale."""
    values, observed = skewed_columns()
    for method in METHODS:
        altered = np.where(observed, values, 1e9)
        first, second = (fit_scale(part, observed, method) for part in (values, altered))
        np.testing.assert_array_equal(first.apply(values), second.apply(values))


@pytest.mark.parametrize("method", ["none", *METHODS])
def test_the_reader_undoes_the_scaling_of_a_set(tmp_path: Path, method: ScalingMethod) -> None:
    """Inputs, targets and covariates of the future that are read in their units are the same in every scaling, to
    float32; calendar columns are never transformed."""
    plain, other = (
        open_evaluation(write_demand_set(tmp_path / place, 60, scaling=name, future=FUTURE, future_calendar=True))
        for place, name in (("plain", "none"), ("other", method))
    )
    np.testing.assert_allclose(other.series, plain.series, rtol=2e-5)
    for number in range(plain.arrays["values"].shape[2]):
        np.testing.assert_allclose(other.column(0, number), plain.column(0, number), rtol=2e-5, atol=1e-5)
    windows = np.arange(len(plain.t0))
    np.testing.assert_allclose(other.future(0, windows)[1], plain.future(0, windows)[1], rtol=2e-5, atol=1e-5)


def test_targets_can_be_scaled_in_another_way(tmp_path: Path) -> None:
    """With a scaling of their own, targets have it, and inputs do not."""
    mixed, plain = (
        open_evaluation(write_demand_set(tmp_path / str(number), 60, **keys))
        for number, keys in enumerate([{"target_scaling": "log1p"}, {}])
    )
    np.testing.assert_array_equal(mixed.arrays["values"], plain.arrays["values"])
    assert not np.array_equal(mixed.arrays["targets"], plain.arrays["targets"])
    np.testing.assert_allclose(mixed.series, plain.series, rtol=2e-5)
    scale = find_scale(mixed.manifest, mixed.arrays, "targets")
    assert scale.is_log is not None


def test_windows_are_scaled_by_themselves(tmp_path: Path) -> None:
    """With per_window, each column of a batch has mean 0 and deviation 1 over what its window observed, by brute force
    from the set in its units, and the targets come back in theirs."""
    mlx_store = pytest.importorskip("gridtide.mlx_store", reason="MLX is an extra")
    folder = write_demand_set(tmp_path / "set", 60, scaling="per_window")
    store, evaluation = mlx_store.open_store(folder), open_evaluation(folder)
    columns = store.manifest["locations"][0]["columns"]
    for batch in mlx_store.iterate_batches(store, "test", batch_size=4):
        x, mask = np.array(batch["x"]), np.array(batch["mask"])
        for row, start in enumerate(batch["start"].tolist()):
            if start < 0:
                continue
            context = slice(start, start + 48)
            for number, column in enumerate(columns):
                values = evaluation.column(0, number)[context]
                if column["key"].startswith("calendar/"):
                    continue
                known = mask[row, :, number]
                expected = (values[known] - values[known].mean()) / values[known].std()
                np.testing.assert_allclose(x[row, known, number], expected, rtol=1e-3, atol=1e-3)
            truth = evaluation.series[0, start + 48 : start + 72]
            np.testing.assert_allclose(store.invert(batch, batch["y"])[row, :, 0], truth, rtol=1e-4)
            own = evaluation.own_history(0)
            seen = evaluation.column(0, 0)[context]
            scaled = (truth - seen.mean()) / seen.std()
            np.testing.assert_allclose(np.array(batch["y"])[row, :, 0], scaled, rtol=1e-3, atol=1e-3)
            assert own.delay == 3


def test_a_context_in_service_is_scaled_as_a_window(tmp_path: Path) -> None:
    """The last hours of the set, as input of a model, are scaled as the window that ends there."""
    mlx_store = pytest.importorskip("gridtide.mlx_store", reason="MLX is an extra")
    store = mlx_store.open_store(write_demand_set(tmp_path / "set", 60, scaling="per_window"))
    x = np.array(mlx_store.get_real_time_context(store, 48)["x"])[0, :, 0]
    assert x.mean() == pytest.approx(0, abs=1e-4)
    assert x.std() == pytest.approx(1, abs=1e-3)


def test_weights_follow_their_rule(tmp_path: Path) -> None:
    """A train step weighs half as much per half-life before the end of training, and four times as much if its target
    is among the largest tenth; the mean is 1, later steps weigh 1, and batches have the weights of their steps."""
    mlx_store = pytest.importorskip("gridtide.mlx_store", reason="MLX is an extra")
    rules = {"half_life": "P10D", "peaks": 4, "peak_share": 0.1}
    folder = write_demand_set(tmp_path / "set", 60, weights=rules)
    store, evaluation = mlx_store.open_store(folder), open_evaluation(folder)
    train_end = store.manifest["bounds"]["train_end"]
    series = evaluation.series[0, :train_end]
    expected = np.array(
        [
            0.5 ** ((train_end - 1 - step) / 240) * (4 if series[step] >= np.nanquantile(series, 0.9) else 1)
            for step in range(train_end)
        ]
    )
    weights = store.mapped["weights"][0]
    np.testing.assert_allclose(weights[:train_end], expected / expected.mean(), rtol=1e-5)
    assert set(weights[train_end:].tolist()) == {1.0}
    for batch in mlx_store.iterate_batches(store, "train", batch_size=3):
        for row, start in enumerate(batch["start"].tolist()):
            np.testing.assert_array_equal(np.array(batch["weight"])[row], weights[start + 48 : start + 72])


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"scaling": "quantile", "unscaled_inputs": "pool"}, "unscaled_inputs: scales of quantile cannot be pooled"),
        ({"target_scaling": "per_window"}, "target_scaling: per_window"),
        ({"scaling": "per_window", "ring": {"ranks": 2}}, "per_window needs whole windows"),
        ({"weights": {"half_life": "PT0S"}}, "weights.half_life"),
        ({"scaling": "minmax"}, "scaling.*standard.*robust"),
    ],
    ids=["pooled", "targets per window", "ring", "half-life", "unknown"],
)
def test_scalings_that_do_not_fit_are_refused(keys: dict[str, Any], message: str) -> None:
    """The error names the key and why."""
    place = {"name": "ISNE", "targets": ["eia/ISNE/demand"], "inputs": ["eia/ISNE/*"]}
    with pytest.raises(TrainingError, match=message):
        load_spec({"name": "refused", "locations": [place]} | keys)


def test_windows_cannot_scale_a_target_that_is_no_input() -> None:
    """With per_window and a target whose past is not an input, the set is refused with its name."""
    place = {"name": "NYIS", "targets": ["eia/NYIS/demand"], "inputs": ["eia/ISNE/demand"]}
    with pytest.raises(TrainingError, match=r"eia/NYIS/demand is not among the inputs of NYIS"):
        training_set(20, locations=[place], seq_len=48, scaling="per_window")


def test_a_spec_is_written_without_keys_that_it_does_not_set() -> None:
    """A spec that sets no later key is written as it was before there were any; one that does is read back equal."""
    place = {"name": "ISNE", "targets": ["eia/ISNE/demand"], "inputs": ["eia/ISNE/*"]}
    plain = load_spec({"name": "plain", "locations": [place]})
    assert {"weights", "target_scaling"} & plain.model_dump(mode="json").keys() == set()
    weighted = load_spec({"name": "plain", "locations": [place], "weights": {"half_life": "P365D"}})
    assert weighted.weights is not None
    assert weighted.weights.half_life == timedelta(days=365)
    assert load_spec(weighted.model_dump(mode="json")) == weighted
