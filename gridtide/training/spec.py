"""The training spec: what to predict from which series, as one strict model stored as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    TypeAdapter,
    ValidationError,
    model_serializer,
    model_validator,
)

from gridtide.config.readings import read_once
from gridtide.entries.field_types import check_zone
from gridtide.errors import TrainingError
from gridtide.periods import floor
from gridtide.training.ring import Layout
from gridtide.variables import SeriesName, matches_any

FIRST_YEAR, LAST_YEAR = 1900, 2200
"""The years between which moments must lie; the hours read around them are then valid dates too."""


T = TypeVar("T")


class StrictModel(BaseModel):
    """Refuses unknown keys and numbers that are not finite, and is immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _check_zone(name: str) -> str:
    check_zone(name)
    return name


def _check_pattern(pattern: str) -> str:
    SeriesName.parse(pattern)
    return pattern


def _on_the_hour(moment: datetime) -> datetime:
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"{moment.isoformat()} is not between {FIRST_YEAR} and {LAST_YEAR}")
    utc_moment = moment.astimezone(UTC)
    if utc_moment.minute or utc_moment.second or utc_moment.microsecond:
        raise ValueError(f"{moment.isoformat()} is not on the hour in UTC")
    return utc_moment


def _once_each(items: tuple[T, ...]) -> tuple[T, ...]:
    repeated = sorted({str(item) for item in items if items.count(item) > 1})
    if repeated:
        raise ValueError(f"{', '.join(repeated)} comes more than once; give each once")
    return items


def _check_region(region: str) -> str:
    import holidays

    country, _, subdivision = region.partition("-")
    try:
        holidays.country_holidays(country, subdiv=subdivision or None)
    except NotImplementedError as error:
        subdivisions = holidays.list_supported_countries().get(country)
        choice = (
            f"{country} has {', '.join(subdivisions)}"
            if subdivisions
            else "give a country such as US, a part of it, or null"
        )
        raise ValueError(f"{region} is not a region whose holidays are known; {choice}") from error
    return region


KnownZone = Annotated[str, AfterValidator(_check_zone)]


Pattern = Annotated[str, AfterValidator(_check_pattern)]


InputsByRole = dict[
    Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Annotated[tuple[Pattern, ...], Field(min_length=1)]
]


Hour = Annotated[AwareDatetime, AfterValidator(_on_the_hour)]


Region = Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$"), AfterValidator(_check_region)]


Fraction = Annotated[float, Field(ge=0, le=1)]


OnceEach = AfterValidator(_once_each)


LONGEST_DAY = timedelta(hours=25)
"""The length of a local day on which clocks are set back."""


RESOLUTIONS = {
    "PT5M": timedelta(minutes=5),
    "PT15M": timedelta(minutes=15),
    "PT30M": timedelta(minutes=30),
    "PT1H": timedelta(hours=1),
    "P1D": timedelta(days=1),
}
"""The lengths that a step can have; days are days of UTC."""


LONGEST_HISTORY = 336
"""The most hours, or days, by which lags and windows of statistics look back."""


SHORTEST_STEPS = timedelta(hours=1) // min(RESOLUTIONS.values())
"""The steps of an hour at the finest resolution."""


STEP_KEYS = (
    *(("seq_len",), ("horizon",), ("stride",), ("gap",), ("leads",)),
    *(("splits", "gap"), ("features", "lags"), ("features", "rolling")),
)
"""The keys whose numbers of steps can be written as durations."""


def _count_durations(document: dict[str, Any], path: Sequence[str], resolution: timedelta) -> dict[str, Any]:
    """Returns `document` with the durations at `path` as numbers of steps; raises `ValueError` for one that is not a
    multiple of `resolution`."""
    key, *inner = path
    if key not in document:
        return document
    value = document[key]
    if inner:
        return {**document, key: _count_durations(value, inner, resolution)} if isinstance(value, dict) else document

    def count_steps(item: Any) -> Any:
        if not (isinstance(item, str) and item.startswith("P")):
            return item
        duration = DURATIONS.validate_python(item)
        if duration % resolution:
            raise ValueError(f"{'.'.join(path)}: {item} is not a multiple of the resolution, {resolution}")
        return duration // resolution

    is_list = isinstance(value, list | tuple)
    return {**document, key: [count_steps(item) for item in value] if is_list else count_steps(value)}


DURATIONS = TypeAdapter(timedelta)


ALL_INPUTS = ("*/*/*",)
"""The pattern that selects all inputs, also those of locations with slashes in their names."""


class Location(StrictModel):
    """One region of the training set, with its own base: what to predict there, and from what."""

    name: str = Field(
        max_length=100, pattern=r"^[A-Za-z0-9_.-]+$", description="How reports and tensors call it, such as ISNE"
    )
    timezone: KnownZone = Field("UTC", description="Whose local time its calendar features use")
    targets: tuple[Pattern, ...] = Field(min_length=1, description="Series to predict, source/location/variable")
    inputs: Annotated[tuple[Pattern, ...], Field(min_length=1)] | Annotated[InputsByRole, Field(min_length=1)] = Field(
        description="Series to predict from, with * and ? for anything but slashes, such as eia/ISNE/generation_*; "
        "or several such lists by role, such as own and neighbour: a role has the same columns in all locations",
    )
    holidays: Region | None = Field(
        "US",
        description="Whose public holidays count: a country, or with its part, such as US-MA; empty for none",
    )

    future: Annotated[tuple[Pattern, ...], OnceEach] = Field(
        (),
        description="Forecasts whose values for the steps to predict stand in x_future as they had been issued by t0",
    )
    static: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], float] = Field(
        {}, description="Numbers that describe the location, such as its latitude; the same names in all locations"
    )

    @property
    def patterns_by_role(self) -> Mapping[str, tuple[str, ...]]:
        """The patterns of the inputs by role; the role of inputs without one is empty."""
        return self.inputs if isinstance(self.inputs, dict) else {"": self.inputs}

    @property
    def patterns(self) -> tuple[str, ...]:
        """The patterns of all inputs, targets and forecasts of the future."""
        inputs = (pattern for patterns in self.patterns_by_role.values() for pattern in patterns)
        return (*inputs, *self.targets, *self.future)


class Splits(StrictModel):
    """Splits by target time: train, then validation, then test. Moments override shares; a share of 0 means no such
    split."""

    train_end: Hour | None = Field(None, description="First hour that is not for training")
    validation_end: Hour | None = Field(None, description="First hour that is for testing")
    validation: float = Field(
        0.15, ge=0, lt=1, description="Share of the period, where no moments are given; 0 for no validation"
    )
    test: float = Field(0.15, ge=0, lt=1, description="Share of the period, where no moments are given; 0 for no test")
    gap: int = Field(0, ge=0, le=8784, description="Steps left out between two splits")
    strict: bool = Field(False, description="Keep contexts within their split too")

    @model_validator(mode="after")
    def _are_in_order(self) -> Splits:
        if (self.train_end is None) != (self.validation_end is None):
            raise ValueError("give both train_end and validation_end, or neither")
        length = self.validation_end - self.train_end if self.train_end and self.validation_end else None
        if length is not None and (length < timedelta(0) or (length > timedelta(0)) != (self.validation > 0)):
            raise ValueError("validation_end must be after train_end, or the same where validation is 0")
        if self.validation + self.test >= 1:
            raise ValueError("validation and test leave nothing to train on; together they must stay below 1")
        return self


class Features(StrictModel):
    """Which features are derived from the inputs, group by group."""

    calendar: bool = Field(True, description="Hour, weekday, month, season and holidays in the location's local time")
    power: bool = Field(
        False,
        description="Renewable share, net load, balance of supply and demand, ramps, and errors of load forecasts",
    )
    prices: bool = Field(False, description="Spreads of real-time to day-ahead prices, and between places")
    weather: bool = Field(False, description="Degree days, cube of the wind speed, temperature by hour of the day")
    lags: Annotated[tuple[Annotated[int, Field(ge=1, le=LONGEST_HISTORY * SHORTEST_STEPS)], ...], OnceEach] = Field(
        (),
        max_length=24,
        description="Steps before the freshest value at which an input is looked up again, or durations such as P1D",
    )
    rolling: Annotated[tuple[Annotated[int, Field(ge=2, le=LONGEST_HISTORY * SHORTEST_STEPS)], ...], OnceEach] = Field(
        (),
        max_length=24,
        description="Steps over which statistics of an input are taken, such as 3, 24 and 168, or durations",
    )
    statistics: Annotated[tuple[Literal["mean", "std", "min", "max"], ...], OnceEach] = Field(
        ("mean", "std", "min", "max"), min_length=1, description="Which statistics are taken over them"
    )
    known_share: Fraction = Field(0.1, description="Share of its hours that a statistic must know; below it is missing")
    of: tuple[Pattern, ...] = Field(
        ALL_INPUTS,
        min_length=1,
        description="Of which inputs lags and statistics are made; never of what is known ahead",
    )

    @property
    def makes_history(self) -> bool:
        """Whether any lag or rolling statistic is derived."""
        return bool(self.lags or self.rolling)

    def concerns(self, series: str) -> bool:
        """Whether lags and statistics are derived from the input `series`."""
        return self.of == ALL_INPUTS or matches_any(series, self.of)


THRESHOLD_KEYS = frozenset({"impossible", "stale", "zeros", "repeat", "spike"})
"""The keys of cleaning that screening takes the place of."""


class Cleaning(StrictModel):
    """How impossible and missing values are treated.

    Only two options use more than the past, and their names say so: they read the future, or are fitted on train hours.
    The limits of `absurd` are fitted on train hours too. `screening` takes the place of the keys in `THRESHOLD_KEYS`;
    a spec that sets one of these and not `screening` has no screening, as before there was one.
    """

    screening: Literal["causal", "off"] = Field(
        "causal",
        description="Reject what the screening flags by what was known by then; off: by the thresholds of impossible, "
        "stale, zeros, repeat and spike",
    )
    impossible: bool = Field(True, description="Reject values that their variable and unit cannot have")
    stale: int = Field(
        24,
        ge=0,
        le=8784,
        description="Reject a value that changes by nature from this many equal hours in a row on; 0 rejects none",
    )
    zeros: bool = Field(True, description="Reject zeros of demand and load, which upstreams fill gaps with")
    repeat: int = Field(
        12,
        ge=0,
        le=8784,
        description="Reject demand and load that equals 1 to 7 days before, from so many hours in a row on; 0 for none",
    )
    spike: float = Field(
        5.0,
        ge=0,
        le=1000,
        description="Reject jumps of smooth variables by more than this many largest steps of a usual day; 0 for none",
    )
    absurd: float = Field(
        100.0,
        ge=0,
        le=1e6,
        description="Reject values further from the median of the train hours than this many times the width of 98 % "
        "of them, such as sentinels; 0 rejects none",
    )
    outliers: Literal["keep", "isolation_forest_fitted_on_train"] = Field(
        "keep", description="Reject what an isolation forest isolates; needs gridtide[learn]"
    )
    outlier_share: float = Field(0.001, gt=0, le=0.5, description="Share of train hours the forest takes for outliers")
    fill_limit: int = Field(6, ge=0, le=168, description="How many hours a value may fill a gap after it")
    gaps: Literal["forward", "interpolate_from_the_future"] = Field(
        "forward",
        description="Fill forward; or read the future: in time where less than 5 % is missing, else from the other "
        "inputs by a model fitted on train hours; needs gridtide[learn]",
    )

    @model_validator(mode="before")
    @classmethod
    def _keep_thresholds(cls, keys: Any) -> Any:
        if isinstance(keys, Mapping) and "screening" not in keys and THRESHOLD_KEYS & keys.keys():
            return {"screening": "off", **keys}
        return keys

    @model_validator(mode="after")
    def _has_rules_of_one_kind(self) -> Cleaning:
        unused = [key for key in THRESHOLD_KEYS if getattr(self, key) != type(self).model_fields[key].default]
        if self.is_screened and unused:
            raise ValueError(
                f'{", ".join(sorted(unused))}: not used by the screening; leave out, or add "screening": "off"'
            )
        return self

    @property
    def is_screened(self) -> bool:
        """Whether the causal screening decides what is rejected."""
        return self.screening == "causal"

    @property
    def is_fitted(self) -> bool:
        """Whether cleaning depends on which hours are train hours."""
        return self.outliers != "keep" or self.gaps != "forward"


class Quality(StrictModel):
    """Which verdicts of the causal screening a value needs, to be used in the set.

    The verdicts in the table of the flow `quality` also look at later values of a series, so they are not used here.
    """

    minimum: Literal["good", "not_evaluated", "suspect"] = Field(
        "not_evaluated",
        description="The lowest flag of values that are used: good leaves out what no check could judge too; suspect "
        "only what is impossible",
    )


class Ring(StrictModel):
    """How the steps of a window are distributed to the devices of a ring; a single device holds all of them."""

    layout: Layout = Field("contiguous", description="Which steps each device holds; zigzag and striped even the work")
    ranks: int = Field(1, ge=1, le=1024, description="Devices of the ring")


ScalingMethod = Literal["standard", "robust", "log1p", "quantile", "per_window", "none"]


class Weights(StrictModel):
    """How much each step to predict counts in training; the batches have the weights."""

    half_life: Annotated[timedelta, Field(gt=timedelta(0))] | None = Field(
        None, description="A step weighs half as much for each of these durations before the end of training"
    )
    peaks: float = Field(
        1.0, ge=1, le=1000, description="How many times as much the steps with the largest targets weigh"
    )
    peak_share: float = Field(0.1, gt=0, lt=1, description="The share of train steps that are such")


LATER_KEYS = ("quality", "target_scaling", "weights")
"""Keys that came after sets had been written with their spec; they are written only if they are not the default, so
that an older spec still gives the same bytes."""


class TrainingSpec(StrictModel):
    """A training set: windows of `seq_len` steps of inputs that predict `horizon` steps of targets."""

    name: str = Field(
        max_length=100, pattern=r"^[a-z0-9][a-z0-9_-]*$", description="Its folder under features/ in the lake"
    )
    description: str = Field("", max_length=1000, description="What it is for, for people")
    locations: tuple[Location, ...] = Field(
        min_length=1, max_length=1000, description="Regions, each with a base of its own; of the same targets"
    )
    start: Hour | None = Field(None, description="First hour; without it the first that has a target")
    end: Hour | None = Field(
        None, description="First hour no longer in it; without it after the last that has a target"
    )
    as_of: AwareDatetime | None = Field(None, description="Use only what the lake had stored by then")
    resolution: timedelta = Field(
        timedelta(hours=1),
        description="The length of a step: PT5M, PT15M, PT30M, PT1H, or P1D for days of UTC; numbers of steps can be "
        "durations too, such as P7D",
    )
    seq_len: int = Field(8760, ge=1, le=1_000_000, description="Steps of context (lookback)")
    horizon: int = Field(24, ge=1, le=8784, description="Steps to predict")
    stride: int = Field(24, ge=1, le=8784, description="Steps between the starts of two windows")
    gap: int = Field(
        0, ge=0, le=8784, description="Steps between t0, when a prediction is made, and the first step to predict"
    )
    gate: str | None = Field(
        None,
        pattern=r"^([01][0-9]|2[0-3]):00$",
        description="The local hour, such as 10:00, at which predictions of the 23, 24 or 25 hours of the next local "
        "day are made; without it t0 is at every stride",
    )
    future_calendar: bool = Field(
        False, description="Whether x_future has the calendar columns of the steps to predict"
    )
    leads: Annotated[tuple[Annotated[int, Field(ge=1, le=384)], ...], OnceEach] = Field(
        (1, 6, 12, 24),
        description="How many steps ahead series that are known ahead (forecasts, day-ahead) are looked up",
    )
    features: Features = Field(Features(), description="What is made of the inputs, group by group")
    cleaning: Cleaning = Field(Cleaning(), description="What is done about wrong and missing values")
    quality: Quality = Field(Quality(), description="Which flags of the screening values need to be used")
    min_inputs: Fraction = Field(
        0.1, description="Share of the inputs in its context that a window must have observed, calendar apart"
    )
    min_targets: Fraction = Field(0.5, description="Share of its targets that a window must have observed")
    scaling: ScalingMethod = Field(
        "standard",
        description="How columns are scaled, fitted on observed train steps: standard, robust, log1p, quantile, "
        "per_window or none",
    )
    target_scaling: ScalingMethod | None = Field(None, description="The same of targets; without it, as scaling")
    weights: Weights | None = Field(None, description="How much each step to predict counts in training")
    unscaled_inputs: Literal["drop", "pool", "refuse"] = Field(
        "drop",
        description="What to do about an input column that a location never observes in train hours, or that is "
        "constant in them: leave it out there, scale it by all locations together, or refuse the spec",
    )
    unscaled_targets: Literal["refuse", "pool", "drop"] = Field(
        "refuse",
        description="What to do about a location whose target is never observed in train hours, or constant in them: "
        "refuse the spec, scale it by all locations together, or leave out its windows",
    )
    splits: Splits = Field(Splits(), description="Which windows train, validate and test")
    ring: Ring = Field(Ring(), description="How windows are dealt out to the devices of a ring")
    export: tuple[Literal["npz"], ...] = Field((), description="Other formats to write the arrays in, beside the file")
    pictures: bool = Field(True, description="Write a page of pictures beside the file")

    @model_serializer(mode="wrap")
    def _leave_out_unset(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document: dict[str, Any] = serialize(self)
        unset = [key for key in LATER_KEYS if getattr(self, key) == type(self).model_fields[key].default]
        return {key: value for key, value in document.items() if key not in unset}

    @property
    def target_method(self) -> ScalingMethod:
        """How targets are scaled."""
        return self.target_scaling or self.scaling

    @property
    def has_future(self) -> bool:
        """Whether windows have covariates of the steps to predict."""
        return self.future_calendar or any(location.future for location in self.locations)

    @property
    def window_length(self) -> int:
        """The steps from the first of the context to the last to predict; with a gate, at most."""
        longest_gap = self.longest_day if self.gate else self.gap
        return self.seq_len + longest_gap + self.horizon

    @property
    def longest_day(self) -> int:
        """The steps of the longest local day."""
        return LONGEST_DAY // self.resolution

    @model_validator(mode="before")
    @classmethod
    def _count_steps(cls, document: Any) -> Any:
        if not isinstance(document, dict):
            return document
        resolution = document.get("resolution", timedelta(hours=1))
        try:
            step = DURATIONS.validate_python(resolution)
        except ValidationError:
            return document  # the key is refused by its own check
        if step not in RESOLUTIONS.values():
            raise ValueError(f"resolution: {resolution} is not one of {', '.join(RESOLUTIONS)}")
        for path in STEP_KEYS:
            document = _count_durations(document, path, step)
        return document

    @model_validator(mode="after")
    def _is_possible(self) -> TrainingSpec:
        if self.start and self.end and self.end <= self.start:
            raise ValueError("end must be after start")
        if not self.cleaning.is_screened and self.quality != Quality():
            raise ValueError(
                "quality: its flags are those of the screening, which cleaning turns off; leave out quality, or "
                f'"screening": "off" and {", ".join(sorted(THRESHOLD_KEYS))}'
            )
        self._check_resolution()
        self._check_scaling()
        if len({frozenset(location.static) for location in self.locations}) > 1:
            raise ValueError("locations: they have different names in static; give each the same")
        names = [location.name for location in self.locations]
        if len(set(names)) < len(names):
            raise ValueError(f"locations: two have the same name ({', '.join(names)})")
        return self

    def _check_scaling(self) -> None:
        """Raises `ValueError` if scalings do not fit together, or do not fit other keys."""
        for key, method, option in (
            ("unscaled_inputs", self.scaling, self.unscaled_inputs),
            ("unscaled_targets", self.target_method, self.unscaled_targets),
        ):
            if option == "pool" and method in ("robust", "quantile"):
                raise ValueError(
                    f"{key}: scales of {method} cannot be pooled; use standard or log1p, or another option"
                )
        if "per_window" in (self.scaling, self.target_method) and self.scaling != self.target_method:
            raise ValueError("target_scaling: per_window scales targets by the inputs; give it as scaling alone")
        if self.scaling == "per_window" and self.ring.ranks > 1:
            raise ValueError("scaling: per_window needs whole windows, so it cannot be used in a ring of several ranks")

    def _check_resolution(self) -> None:
        """Raises `ValueError` if a key does not fit the resolution."""
        moments = {"start": self.start, "end": self.end, "splits.train_end": self.splits.train_end}
        for key, moment in (moments | {"splits.validation_end": self.splits.validation_end}).items():
            if moment and moment != floor(moment, self.resolution):
                raise ValueError(f"{key}: {moment.isoformat()} is not the start of a step; with P1D, give midnight UTC")
        if self.quality != Quality() and self.resolution == timedelta(days=1):
            raise ValueError("quality: the screening flags hours; leave it out, or use a resolution of an hour or less")
        longest = LONGEST_HISTORY * max(timedelta(hours=1), self.resolution)
        if any(rows * self.resolution > longest for rows in (*self.features.lags, *self.features.rolling)):
            raise ValueError(f"features: lags and rolling look back by {longest.days} days at most")
        if self.gate and self.resolution == timedelta(days=1):
            raise ValueError("gate: it predicts the steps of a local day; use a resolution of an hour or less")
        steps_per_day = timedelta(days=1) // self.resolution
        if self.gate and (self.horizon, self.gap, self.stride) != (self.longest_day, 0, steps_per_day):
            stride = "" if steps_per_day == 24 else f", stride {steps_per_day}"
            raise ValueError(
                f"gate: it predicts local days, of up to {self.longest_day} steps, once a day; give horizon "
                f"{self.longest_day}{stride}, and neither gap nor {'stride' if not stride else 'any other stride'}"
            )


def load_spec(spec: TrainingSpec | Mapping[str, Any] | str | Path) -> TrainingSpec:
    """Returns the spec itself, or reads it from a mapping (as in JSON) or from a JSON file; once per file
    inside `reading_once`.

    Raises `TrainingError` with all problems of the spec.
    """
    if isinstance(spec, TrainingSpec):
        return spec
    return _check_document("training spec", spec) if isinstance(spec, Mapping) else read_once(spec, _read_spec)


def _read_spec(path: Path) -> TrainingSpec:
    return _check_document(str(path), _read_document(path))


def _check_document(origin: str, document: Any) -> TrainingSpec:
    try:
        return TrainingSpec.model_validate(document)
    except ValidationError as error:
        problems = error.errors()
        parents = {problem["loc"][:depth] for problem in problems for depth in range(len(problem["loc"]))}
        causes = [problem for problem in problems if problem["type"] != "too_short" or problem["loc"] not in parents]
        raise TrainingError(origin, "\n".join(map(_describe_problem, causes))) from error


def _read_document(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise TrainingError(str(path), f"cannot be read: {error.strerror}", "Name a JSON file, or create it") from error
    except ValueError as error:
        raise TrainingError(str(path), f"is not JSON: {error}", "Correct the JSON at that place") from error


def _describe_problem(error: Any) -> str:
    location = ".".join(str(part) for part in error["loc"])
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = f"is not a key; there are {', '.join(_key_path(error['loc']))}"
    return f"{location}: {message}" if location else message


def _key_path(location: tuple[str | int, ...]) -> list[str]:
    """Returns the valid keys beside the key at `location`."""
    models: dict[str, type[StrictModel]] = {
        "locations": Location,
        "splits": Splits,
        "features": Features,
        "cleaning": Cleaning,
        "quality": Quality,
        "ring": Ring,
        "weights": Weights,
    }
    return list((models[str(location[0])] if len(location) > 1 else TrainingSpec).model_fields)
