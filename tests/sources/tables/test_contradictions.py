"""Keys that contradict each other are refused before anything is asked."""

from __future__ import annotations

from typing import Any

import pytest

from gridtide.config.loading import parse
from gridtide.errors import ConfigurationError

HOURS = {"hours": {"columns": "HE{hour}"}}
MELT = {"melt": {"columns": ["Zone *"], "into": "location"}}


@pytest.mark.parametrize(
    ("keys", "says", "fix"),
    [
        ({"label": "end"}, 'label: .*"interval", such as "PT1H"', {"interval": "PT1H"}),
        ({"label": "instant", "interval": "PT1H"}, "label: .*leave out one", {"interval": None}),
        (HOURS | {"time_format": "%m/%d/%Y %H:%M"}, r'time_format: .*"%m/%d/%Y\*"', {"time_format": "%m/%d/%Y*"}),
        (HOURS | {"label": "start"}, "label: .*leave this one out", {"label": None}),
        (HOURS | {"value": ["load", "price"]}, "value: .*name one", {"value": "load"}),
        (HOURS | {"melt": "*"}, "melt: .*leave out one", {"melt": None}),
        ({"value": "load", "melt": "*"}, "melt: .*leave out one", {"melt": None}),
        (MELT | {"location": "area"}, "location: .*leave it out", {"location": None}),
        ({"time": "load", "value": "load"}, "time: load is named", {"time": "at"}),
        ({"location": ["a", "load"], "value": "load"}, "location: load is named", {"location": "a"}),
        ({"ambiguous": "order"}, 'ambiguous: .*"timezone"', {"timezone": "Europe/Berlin"}),
        ({"per": "month"}, r'per: .*"\{start:%Y-%m\}"', {"url": "https://grid.example/{start:%Y-%m}.csv"}),
    ],
)
def test_keys_that_contradict_each_other_are_refused(keys: dict[str, Any], says: str, fix: dict[str, Any]) -> None:
    """The message names the key and a fix, with which the entry is accepted."""
    base = {"name": "table", "url": "https://grid.example/table", "output_folder": "table"}
    with pytest.raises(ConfigurationError, match=f"table: {says}"):
        parse({"apis": [base | keys]})
    mended = {key: value for key, value in (base | keys | fix).items() if value is not None}
    assert parse({"apis": [mended]}).apis[0].name == "table"
