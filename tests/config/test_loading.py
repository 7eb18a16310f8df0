"""`api_config.json`: what its keys mean, and the messages for what is refused."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gridtide.config import raw_entry
from gridtide.config.loading import load, parse
from gridtide.config.readings import reading_once
from gridtide.entries.auth import BasicAuth, KeyAuth, NoAuth
from gridtide.entries.entry import Entry, RateLimit, Schedule
from gridtide.entries.expect.rules import SumRule
from gridtide.entries.field_types import Rate
from gridtide.errors import ConfigurationError
from gridtide.lake.names import SIDECAR, file_name, superseded_name
from gridtide.periods import Period
from gridtide.sources.registry import list_sources

AT = datetime(2024, 3, 10, 7, 44, tzinfo=UTC)
AUTH_KINDS = '"none", "basic", "api_key", "bearer", "oauth" or "database_url"'
BASE = {"name": "grid", "url": "https://grid.example/load", "output_folder": "grid"}


def entry(**keys: Any) -> Entry:
    """The complete entry with `keys`, for an unknown host."""
    return parse({"apis": [BASE | keys]}).apis[0]


def refused(*entries: Any, **keys: Any) -> list[str]:
    """The problems of a configuration with `entries`, one per line."""
    with pytest.raises(ConfigurationError) as raised:
        parse({"apis": list(entries), **keys}, "api_config.json")
    first, *problems = str(raised.value).splitlines()
    assert first == f"api_config.json: {len(problems)} problem{'s' if len(problems) > 1 else ''}:"
    return [problem.removeprefix("  - ") for problem in problems]


LEGACY = {
    "name": "ISO-NE Fuel Mix",
    "url": "https://webservices.iso-ne.com/api/v1.1/genfuelmix/current",
    "output_folder": "iso_ne_fuel_mix",
    "csv_prefix": "fuel_mix",
    "method": "GET",
    "auth_type": "basic",
    "username": "someone@example.org",
    "timeout": 45,
    "description": "Current fuel mix",
}


def test_a_legacy_entry_keeps_working_as_it_is() -> None:
    """In an entry of the old form, the host gives the source, `csv_prefix` selects CSV, and the password comes from
    the environment."""
    made = parse({"apis": [LEGACY]}).apis[0]
    assert made.source == "iso_ne"
    assert (made.format, made.file_prefix, made.output_folder) == ("csv", "fuel_mix", "iso_ne_fuel_mix")
    assert isinstance(made.auth, BasicAuth)
    assert (made.auth.username, made.auth.password_env) == ("someone@example.org", "ISO_NE_PASSWORD")
    assert made.timeout == 45
    assert made.description == "Current fuel mix"


def test_the_least_entry_is_a_name_a_url_and_a_folder() -> None:
    """All other keys have defaults: Parquet, the name in snake case, no credentials, no schedule."""
    made = parse({"apis": [BASE | {"name": "Grid Load 2"}]}).apis[0]
    assert (made.source, made.format, made.file_prefix) == ("generic", "parquet", "grid_load_2")
    assert made.auth.kind == "none"
    assert (made.schedule, made.rate_limit, made.params) == (None, None, {})
    assert made.tabular
    assert made.raw


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://webservices.iso-ne.com/api/v1.1/hourlysysload/current", "iso_ne"),
        ("https://api.eia.gov/v2/electricity/rto/region-data/data/", "eia"),
        ("https://API.EIA.GOV/v2/electricity/rto/region-data/data/", "eia"),
        ("http://oasis.caiso.com/oasisapi/SingleZip", "caiso"),
        ("https://api.open-meteo.com/v1/forecast", "open_meteo"),
        ("https://archive-api.open-meteo.com/v1/archive", "open_meteo"),
        ("https://grid.example/load", "generic"),
        ("https://api.eia.gov.example/load", "generic"),
    ],
)
def test_the_host_tells_the_source(url: str, source: str) -> None:
    """The whole host determines the source; an unknown host gets the generic source."""
    assert entry(url=url).source == source


def test_a_named_source_goes_before_the_host() -> None:
    """`source` takes precedence over the host."""
    made = entry(url="http://127.0.0.1:8900/oasisapi/SingleZip", source="caiso")
    assert made.source == "caiso"
    assert made.rate_limit == RateLimit(name="caiso", rates=("1/5second",))


def test_synthetic_alone_has_no_url() -> None:
    """Without a source, an entry needs a URL; the synthetic source needs none."""
    assert parse({"apis": [{"name": "s", "source": "synthetic", "output_folder": "s"}]}).apis[0].url == ""
    assert refused({"name": "s", "output_folder": "s"}) == [
        "s: url: is missing; only entries of the sources synthetic and sql have none"
    ]


def test_what_an_entry_says_goes_before_the_defaults_of_its_source() -> None:
    """Each key of an entry takes precedence over the default of its source."""
    made = entry(
        url="http://oasis.caiso.com/oasisapi/SingleZip",
        params={"queryname": "SLD_FCST", "market_run_id": "DAM"},
        available={"lag": "PT6H"},
        chunk="P7D",
    )
    assert made.available.lag == timedelta(hours=6)
    assert made.chunk == timedelta(days=7)
    assert made.rate_limit is not None
    assert entry(url="http://oasis.caiso.com/oasisapi/SingleZip", rate_limit=None).rate_limit is None


@pytest.mark.parametrize(
    ("keys", "format", "prefix"),
    [
        ({}, "parquet", "grid"),
        ({"csv_prefix": "load"}, "csv", "load"),
        ({"csv_prefix": "load", "format": "parquet"}, "parquet", "load"),
        ({"file_prefix": "load"}, "parquet", "load"),
        ({"file_prefix": "load", "csv_prefix": "load"}, "parquet", "load"),
        ({"csv_prefix": None, "file_prefix": None}, "parquet", "grid"),
    ],
)
def test_a_csv_prefix_alone_asks_for_csv(keys: dict[str, Any], format: str, prefix: str) -> None:  # noqa: A002  # its name
    """`csv_prefix` sets `file_prefix` and selects CSV."""
    made = entry(**keys)
    assert (made.format, made.file_prefix) == (format, prefix)


@pytest.mark.parametrize("format", ["json", "raw"])
def test_bodies_alone_are_no_observations(format: str) -> None:  # noqa: A002  # its name
    """Entries that keep only bodies are not tabular."""
    assert not entry(format=format).tabular


@pytest.mark.parametrize(
    ("auth", "made"),
    [
        ({"kind": "none"}, NoAuth()),
        ({"kind": "basic"}, BasicAuth(kind="basic", username_env="ISO_NE_USERNAME", password_env="ISO_NE_PASSWORD")),
        ({"kind": "basic", "username_env": "U", "password_env": "P"}, None),
        ({"kind": "basic", "secret": "iso-ne-login"}, None),
        ({"kind": "bearer", "env": "TOKEN"}, KeyAuth(kind="bearer", env="TOKEN")),
        ({"kind": "api_key", "secret": "eia-key"}, KeyAuth(kind="api_key", secret="eia-key")),
        (
            {"kind": "api_key", "env": "K", "in": "query", "name": "securityToken"},
            KeyAuth(kind="api_key", env="K", place="query", name="securityToken"),
        ),
    ],
)
def test_auth_names_where_the_secret_is(auth: dict[str, str], made: Any) -> None:
    """`auth` names environment variables or a Secret block; keys such as `password_env` do not count as secrets."""
    assert entry(auth=auth).auth == (made or BasicAuth(**auth))  # type: ignore[arg-type]  # kind is given


@pytest.mark.parametrize(
    ("text", "count", "seconds"),
    [
        ("5/second", 5, 1),
        ("9000/hour", 9000, 3600),
        ("1/5second", 1, 5),
        ("1/5seconds", 1, 5),
        ("600/minute", 600, 60),
        ("10000/day", 10000, 86400),
        ("3/0.5 second", 3, 0.5),
    ],
)
def test_rates_are_counts_in_a_time(text: str, count: int, seconds: float) -> None:
    """Rates are read in the forms `N/unit` and `N/M unit`."""
    assert Rate.parse(text) == Rate(count=count, seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "5/week", "0/second", "-1/second", "5/0second", "five/second", "1.5/second"])
def test_other_rates_are_refused(text: str) -> None:
    """Any other rate is refused with the right form."""
    with pytest.raises(ValueError, match="is not a rate; use N/second"):
        Rate.parse(text)


def test_a_rate_limit_may_be_one_text() -> None:
    """A rate as text is a limit that the entries of a host share."""
    assert entry(rate_limit="2/second").rate_limit == RateLimit(name="grid.example", rates=("2/second",))


def test_one_value_column_may_be_one_text() -> None:
    """`"value": "mw"` is `"value": ["mw"]`."""
    assert list(entry(value="mw").value) == ["mw"] == list(entry(value=["mw"]).value)


@pytest.mark.parametrize("rule", [{"day_before": "13:00", "timezone": "America/New_York"}, {"lag": "-PT1H"}])
@pytest.mark.parametrize(
    "keys",
    [
        {"url": "https://api.open-meteo.com/v1/forecast"},
        {"url": "https://archive-api.open-meteo.com/v1/archive"},
        {"url": "https://weather.example/v1/forecast", "source": "open_meteo"},
    ],
)
def test_nothing_of_open_meteo_counts_as_known_before_its_hour(keys: dict[str, str], rule: dict[str, str]) -> None:
    """An Open-Meteo entry is refused if `available` lies before the hour, because later forecasts replace earlier
    ones."""
    raw = {"name": "weather", "output_folder": "weather", "available": rule} | keys
    with pytest.raises(
        ConfigurationError, match=r'weather: available: .* replaces a forecast until its hour; give "lag", of "PT0S"'
    ):
        parse({"apis": [raw]})
    at_once = {"lag": "PT0S", "day_before": None}
    for usable in ({"lag": "PT0S"}, at_once):
        assert parse({"apis": [raw | {"available": usable}]}).apis[0].available.lag == timedelta(0)


@pytest.mark.parametrize(
    "keys",
    [
        {"url": "https://grid.example/other"},
        {"params": {"zone": "A"}},
        {"output_folder": "other"},
        {"file_prefix": "other"},
        {"format": "csv"},
        {"location": "NO2"},
        {"records": "data"},
        {"time": "at"},
        {"timezone": "America/New_York"},
        {"value": ["mw"]},
        {"unit": "MW"},
        {"interval": "PT1H"},
        {"method": "POST"},
        {"method": "POST", "body": {"from": "{start}"}},
        {"headers": {"Accept": "text/csv"}},
        {"absent": [404]},
    ],
)
def test_the_fingerprint_changes_with_what_is_asked_read_or_written(keys: dict[str, Any]) -> None:
    """The fingerprint changes with every key that affects requests, parsing or files."""
    assert entry(**keys).fingerprint != entry().fingerprint


def test_the_fingerprint_stays_with_how_it_is_asked() -> None:
    """Schedule, retries, rate limits, descriptions and the order of parameters do not change the fingerprint."""
    other = parse(
        {
            "schedules": {"hourly": {"cron": "12 * * * *"}},
            "apis": [
                BASE
                | {
                    "schedule": "hourly",
                    "timeout": 5,
                    "retries": 2,
                    "concurrency": 1,
                    "description": "x",
                    "rate_limit": "1/second",
                    "reread": "P9D",
                    "fresh": "PT5M",
                    "raw": False,
                    "deadline": "PT1M",
                }
            ],
        }
    ).apis[0]
    assert other.fingerprint == entry().fingerprint
    assert entry(params={"a": 1, "b": [2, 3]}).fingerprint == entry(params={"b": [2, 3], "a": 1}).fingerprint
    assert len(entry().fingerprint) == 12


def test_entries_are_selected_by_name_in_the_order_of_the_file() -> None:
    """Without names all entries are selected; an unknown name is refused with the existing ones."""
    made = parse({"apis": [BASE | {"name": name, "output_folder": name} for name in ("c", "a", "b")]})
    assert [e.name for e in made.select()] == ["c", "a", "b"]
    assert [e.name for e in made.select(["b", "c"])] == ["c", "b"]
    assert made.entry("a").name == "a"
    with pytest.raises(ConfigurationError, match=r"x, y: no such entry\. The entries are: c, a, b"):
        made.select(["y", "a", "x"])


IN_ENVIRONMENT = 'put it in the environment and name it with "auth": {"kind": …, "env": …}'
IN_QUERY = IN_ENVIRONMENT.replace('"kind": …, "env": …', '"kind": "api_key", "env": …, "in": "query", "name": "%s"')
IN_HEADER = IN_QUERY.replace("query", "header")
NO_DURATION = 'is not a duration; use ISO 8601 in days or less, such as "PT1H" or "P3D"'


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"colour": "red"}, "grid: colour: unknown key; remove it or correct its spelling"),
        (
            {"expect": {"ranges": {"mw": [5, 1]}}},
            "grid: expect: the range of mw ends before it begins; give [lowest, highest]",
        ),
        ({"expect": {"minimum": 1}}, "grid: expect.minimum: unknown key; remove it or correct its spelling"),
        ({"url": "ftp://grid.example/load"}, "grid: url: is not an http or https URL; use such as https://host/path"),
        ({"url": "file:///etc/passwd"}, "grid: url: is not an http or https URL; use such as https://host/path"),
        ({"url": "grid.example/load"}, "grid: url: is not an http or https URL; use such as https://host/path"),
        ({"url": "https:///load"}, "grid: url: is not an http or https URL; use such as https://host/path"),
        ({"url": "https://[bad/"}, "grid: url: is not a URL; use such as https://host/path"),
        ({"url": "https://h:99999/"}, "grid: url: is not a URL; use such as https://host/path"),
        ({"url": ""}, "grid: url: is missing; only entries of the sources synthetic and sql have none"),
        ({"url": 7}, "grid: url: Expected a text, got a whole number"),
        ({"url": "https://u:p@grid.example/"}, f"grid: url: holds a user or password; {IN_ENVIRONMENT}"),
        (
            {"url": "https://grid.example/?api_key=1"},
            f"grid: url.api_key: is a secret in plain text; {IN_QUERY % 'api_key'}",
        ),
        ({"params": {"token": "1"}}, f"grid: params.token: is a secret in plain text; {IN_QUERY % 'token'}"),
        (
            {"params": {"securityToken": "1"}},
            f"grid: params.securityToken: is a secret in plain text; {IN_QUERY % 'securityToken'}",
        ),
        (
            {"headers": {"Ocp-Apim-Subscription-Key": "1"}},
            f"grid: headers.Ocp-Apim-Subscription-Key: is a secret in plain text; "
            f"{IN_HEADER % 'Ocp-Apim-Subscription-Key'}",
        ),
        (
            {"headers": {"Authorization": "Bearer 1"}},
            f'grid: headers.Authorization: is a secret in plain text; {IN_ENVIRONMENT}, of kind "bearer" or "basic"',
        ),
        (
            {"headers": {"X-Zone": "a\nb"}},
            "grid: headers.X-Zone: holds characters that no header can hold; use printable ASCII",
        ),
        (
            {"method": "POST", "body": {"login": {"password": "1"}}},
            f"grid: body.password: is a secret in plain text; {IN_ENVIRONMENT}",
        ),
        ({"body": {"from": "{start}"}}, 'grid: body: is sent by POST alone; add "method": "POST"'),
        (
            {"auth": [{"kind": "api_key", "env": "A"}, {"kind": "api_key", "env": "B"}]},
            'grid: auth[1]: is sent as X-Api-Key, as auth[0] is; give one another "name"',
        ),
        (
            {"auth": {"kind": "api_key", "env": "A", "in": "query"}},
            'grid: auth: has "in": "query" and no "name"; give that of the parameter, such as "securityToken"',
        ),
        (
            {"auth": {"kind": "api_key", "env": "A", "in": "body"}},
            "grid: auth.in: must be 'header' or 'query'",
        ),
        (
            {"auth": [{"kind": "bearer", "env": "A", "in": "query", "name": "token"}]},
            'grid: auth[0]: "bearer" is always in the header Authorization; use "kind": "api_key" for other places',
        ),
        (
            {"auth": {"kind": "oauth", "url": "https://grid.example/token", "client_id": "me"}},
            'grid: auth: needs "client_id" (or "client_id_env") and "client_secret_env", or "secret"',
        ),
        (
            {"auth": {"kind": "oauth", "url": "https://me:pw@grid.example/", "grant": "password", "secret": "login"}},
            'grid: auth: "url" is not an http or https URL of a login; use such as "https://host/token"',
        ),
        ({"tls_ca": "no.pem"}, "grid: tls_ca: there is no file 'no.pem' here; name a PEM file of certificates"),
        ({"absent": [200]}, "grid: absent[0]: Expected a whole number >= 204"),
        ({"password": "1"}, f"grid: password: is a secret in plain text; {IN_ENVIRONMENT}"),
        (
            {"auth": {"kind": "basic", "username": "u", "password": "p"}},
            f"grid: auth.password: is a secret in plain text; {IN_ENVIRONMENT}",
        ),
        (
            {"auth": {"kind": "api_key", "env": "K", "key": "1"}},
            f"grid: auth.key: is a secret in plain text; {IN_ENVIRONMENT}",
        ),
        (
            {"auth": {"kind": "api_key"}},
            'grid: auth: name either "env" (an environment variable) or "secret" (a Prefect Secret block)',
        ),
        (
            {"auth": {"kind": "digest"}},
            f'grid: auth: has an unknown "kind"; use {AUTH_KINDS}',
        ),
        (
            {"auth": {}},
            f'grid: auth: has no "kind"; use {AUTH_KINDS}',
        ),
        ({"auth_type": "digest"}, 'grid: auth_type: is unknown; use "basic" or "none", or "auth" for the other kinds'),
        (
            {"auth": {"kind": "none"}, "username": "u"},
            'grid: auth: stands beside auth_type or username; keep "auth" alone',
        ),
        (
            {"output_folder": "../grid"},
            "grid: output_folder: '../grid' leaves the lake or is not a folder name; "
            "use a folder inside the lake such as 'grid'",
        ),
        (
            {"output_folder": "a/../../b"},
            "grid: output_folder: 'a/../../b' leaves the lake or is not a folder name; "
            "use a folder inside the lake such as 'grid'",
        ),
        (
            {"output_folder": "a\nb"},
            "grid: output_folder: 'a\\nb' leaves the lake or is not a folder name; "
            "use a folder inside the lake such as 'grid'",
        ),
        (
            {"output_folder": "/data/grid"},
            "grid: output_folder: '/data/grid' is absolute; use a folder inside the lake such as 'grid'",
        ),
        (
            {"output_folder": "C:/grid"},
            "grid: output_folder: 'C:/grid' is absolute; use a folder inside the lake such as 'grid'",
        ),
        (
            {"output_folder": "a\\b"},
            "grid: output_folder: 'a\\\\b' is absolute; use a folder inside the lake such as 'grid'",
        ),
        (
            {"output_folder": "Raw/grid"},
            "grid: output_folder: 'Raw/grid' is the lake's own; "
            "use another than raw, processed, features, failed, catalog, rejected",
        ),
        (
            {"output_folder": "failed"},
            "grid: output_folder: 'failed' is the lake's own; "
            "use another than raw, processed, features, failed, catalog, rejected",
        ),
        ({"output_folder": ""}, "grid: output_folder: is empty; give it a text"),
        ({"file_prefix": "a/b"}, "grid: file_prefix: 'a/b' is not a file name; use letters, digits, _ . and -"),
        ({"csv_prefix": "../b"}, "grid: csv_prefix: '../b' is not a file name; use letters, digits, _ . and -"),
        (
            {"csv_prefix": "a", "file_prefix": "b"},
            'grid: csv_prefix: differs from file_prefix; keep "file_prefix" alone',
        ),
        ({"schedule": "hourly"}, 'grid: schedule: "hourly" is not under "schedules" (there are: none)'),
        (
            {"source": "aemo"},
            'grid: source: "aemo" is unknown; use one of caiso, eia, entsoe, ercot, generic, iso_ne, miso, '
            "nyiso, open_meteo, pjm, spp, sql, synthetic, "
            "or the path of a module of your own",
        ),
        (
            {"timezone": "US/Nowhere"},
            'grid: timezone: "US/Nowhere" is not a time zone; use an IANA name such as "America/New_York"',
        ),
        (
            {"available": {"day_before": "13:00", "timezone": "EDT5"}},
            'grid: available.timezone: "EDT5" is not a time zone; use an IANA name such as "America/New_York"',
        ),
        (
            {"available": {"day_before": "1 pm"}},
            'grid: available.day_before: "1 pm" is not a time of day; use such as "13:00"',
        ),
        (
            {"available": {}},
            'grid: available: give either "lag" (such as "PT5H") or "day_before" (such as "13:00") with "timezone"',
        ),
        ({"chunk": "60 days long"}, f"grid: chunk: {NO_DURATION}"),
        ({"resolution": "PT0S"}, 'grid: resolution: must be longer than nothing, such as "PT1H"'),
        ({"interval": "-PT5M"}, 'grid: interval: must be longer than nothing, such as "PT1H"'),
        ({"reread": "P99999999D"}, 'grid: reread: is longer than a hundred years; use such as "P30D"'),
        (
            {"available": {"lag": "-P99999999D"}},
            'grid: available.lag: is longer than a hundred years; use such as "P30D"',
        ),
        ({"fresh": "-PT5M"}, 'grid: fresh: must not be negative; use such as "PT1H"'),
        (
            {"rate_limit": "often"},
            'grid: rate_limit.rates[0]: "often" is not a rate; use N/second|minute|hour|day or such as "1/5second"',
        ),
        ({"timeout": 0}, "grid: timeout: Expected a number > 0.0"),
        ({"timeout": float("inf")}, "grid: timeout: Expected a number <= 86400.0"),
        (
            {"expect": 5},
            "grid: expect: is a whole number, not an object; its keys are minimum_rows, required, locations, zeros, "
            "ranges, otherwise, rules",
        ),
        ({"file_prefix": []}, "grid: file_prefix: is a list, not a text"),
        (
            {"rate_limit": "1/9999999999second"},
            'grid: rate_limit.rates[0]: "1/9999999999second" is not a rate; '
            'use N/second|minute|hour|day or such as "1/5second"',
        ),
        (
            {"url": "https://grid.example/#token=1"},
            f"grid: url.token: is a secret in plain text; {IN_QUERY % 'token'}",
        ),
        (
            {"url": "https://grid.example/load;apikey=1"},
            f"grid: url.apikey: is a secret in plain text; {IN_QUERY % 'apikey'}",
        ),
        ({"name": "é"}, "é: file_prefix: is missing, and the name has no letter or digit to make one of; give it"),
        ({"concurrency": 0}, "grid: concurrency: Expected a whole number >= 1"),
        ({"retries": 0}, "grid: retries: Expected a whole number >= 1"),
        ({"method": "DELETE"}, "grid: method: must be 'GET' or 'POST'"),
        ({"format": "xlsx"}, "grid: format: must be 'parquet', 'csv', 'json' or 'raw'"),
        (
            {"params": {"zone": {"a": 1}}},
            "grid: params.zone: Expected a number or a text or a list, got an object",
        ),
        (
            {"params": {"zone": [1, True]}},
            "grid: params.zone[1]: Expected a number or a text, got true or false",
        ),
        ({"chunk": "P2W"}, f"grid: chunk: {NO_DURATION}"),
        (
            {"auth": None},
            f'grid: auth: is null, not an object; give it "kind": {AUTH_KINDS}',
        ),
        (
            {"auth": {"kind": "api_key", "env": "a-1b2c3d-s3cret"}},
            "grid: auth.env: is not the name of an environment variable; "
            'use such as "EIA_API_KEY", never the secret itself',
        ),
        (
            {"auth": {"kind": "api_key", "secret": "s3CRET"}},
            "grid: auth.secret: is not the name of a Prefect Secret block; "
            'use such as "eia-key", never the secret itself',
        ),
        ({"csv_prefix": 5}, "grid: csv_prefix: is a whole number, not a text"),
        (
            {"url": "https://grid.example\n/"},
            "grid: url: holds a line break, or begins or ends with a space; leave it out",
        ),
        (
            {"url": " https://grid.example/"},
            "grid: url: holds a line break, or begins or ends with a space; leave it out",
        ),
        ({"url": "https://grid .example/"}, "grid: url: is not an http or https URL; use such as https://host/path"),
        ({"name": "grid "}, "grid : name: 'grid ' begins or ends with a space; leave it out"),
        ({"location": ""}, "grid: location: is empty; give it a text"),
        ({"location": ["A", ""]}, "grid: location[1]: is empty; give it a text"),
        ({"value": ""}, "grid: value[0]: is empty; give it a text"),
        ({"unit": "M\nW"}, "grid: unit: 'M\\nW' holds control characters; use letters, digits and _"),
        ({"description": "\ud800"}, "grid: description: contains half of a surrogate pair, '\\ud800'; write it whole"),
        ({"\ud800\n": 1}, "grid: \\ud800\\n: unknown key; remove it or correct its spelling"),
        ({"chunk": "PT1H1S"}, 'grid: chunk: must be whole minutes, as file names say periods; use such as "PT5M"'),
        ({"reread": "PT59M"}, 'grid: reread: is shorter than the "resolution" of the values; use a multiple of that'),
        (
            {"resolution": "P2D", "chunk": "P1D"},
            'grid: chunk: is shorter than the "resolution" of the values; use a multiple of that',
        ),
        (
            {"rate_limit": {"name": "grid", "rates": []}},
            "grid: rate_limit.rates: is empty; give it one or more",
        ),
        (
            {"username": "someone:s3cret"},
            f"grid: username: holds a colon, after which HTTP reads a password; {IN_ENVIRONMENT}",
        ),
        (
            {"auth": {"kind": "basic", "username": "someone:s3cret"}},
            f"grid: auth.username: holds a colon, after which HTTP reads a password; {IN_ENVIRONMENT}",
        ),
        ({"auth_type": "basic", "username": 5}, "grid: username: is a whole number, not a text"),
        (
            {"file_prefix": "a" * 161},
            "grid: file_prefix: has 161 characters; use at most 160, so that names of files fit",
        ),
        (
            {"csv_prefix": "a" * 161},
            "grid: csv_prefix: has 161 characters; use at most 160, so that names of files fit",
        ),
        (
            {"name": "a" * 161},
            f"{'a' * 161}: file_prefix: is missing, and the name is too long to make one of; give it",
        ),
        (
            {"name": "a" * 201, "file_prefix": "a"},
            f"{'a' * 201}: name: is longer than 200 characters; shorten it",
        ),
        (
            {"output_folder": "é" * 128},
            "grid: output_folder: is longer than a lake's names can be; use at most 512 bytes, 255 between two /",
        ),
        (
            {"output_folder": "/".join("a" * 200 for _ in range(3))},
            "grid: output_folder: is longer than a lake's names can be; use at most 512 bytes, 255 between two /",
        ),
        (
            {"rate_limit": {"name": "a/b", "rates": ["1/second"]}},
            "grid: rate_limit.name: 'a/b' is not a name for the Prefect server; use letters, digits, _ . and -",
        ),
        ({"name": ""}, "apis[0]: name: is empty; give it a text"),
        ({"name": "a\nb"}, "apis[0]: name: 'a\\nb' holds control characters; use letters, digits and _"),
    ],
)
def test_each_refusal_says_entry_key_and_what_would_be_right(keys: dict[str, Any], problem: str) -> None:
    """Each wrong entry gives exactly this message, with entry, key and fix."""
    found = refused(BASE | keys)
    assert found == [problem]


@pytest.mark.parametrize(
    ("key", "missing"), [("name", "apis[0]: name: is missing"), ("output_folder", "grid: output_folder: is missing")]
)
def test_what_an_entry_must_have(key: str, missing: str) -> None:
    """An entry needs a name and a folder."""
    assert missing in refused({k: v for k, v in BASE.items() if k != key})


def test_duplicate_names_are_refused() -> None:
    """Two entries of one name are refused, even if one of them has another problem."""
    again = BASE | {"output_folder": "again"}
    assert refused(BASE, again) == ["grid: name: two entries have it; give each its own"]
    assert refused(BASE, again | {"colour": 1}) == [
        "grid: colour: unknown key; remove it or correct its spelling",
        "grid: name: two entries have it; give each its own",
    ]


def test_two_entries_never_write_the_same_files() -> None:
    """Two entries with the same folder and prefix are refused; another prefix is accepted."""
    problem = (
        "other: output_folder: writes the same files as grid (grid/load_…); "
        "give it its own output_folder or file_prefix"
    )
    assert refused(BASE | {"file_prefix": "load"}, BASE | {"name": "other", "csv_prefix": "load"}) == [problem]
    assert len(refused(BASE | {"name": "a"}, BASE | {"name": "A"})) == 1, "nor where a disk tells no case apart"
    assert len(parse({"apis": [BASE, BASE | {"name": "other"}]}).apis) == 2


def test_entries_that_share_a_rate_limit_agree_on_it() -> None:
    """Entries with the same name of a rate limit must have the same rates."""
    limits = [{"name": "grid", "rates": rates} for rates in (["1/second"], ["2/second"])]
    entries = [
        BASE | {"name": n, "output_folder": n, "rate_limit": limit} for n, limit in zip("ab", limits, strict=True)
    ]
    problem = 'b: rate_limit: "grid" has other rates in a; give both the same'
    assert refused(*entries) == [problem]
    assert refused({**entries[0], "colour": "red"}, entries[1], BASE | {"timeout": 0}) == [
        "a: colour: unknown key; remove it or correct its spelling",
        "grid: timeout: Expected a number > 0.0",
        problem,
    ], "also of entries that have other problems"
    short = [BASE | {"rate_limit": "1/second"}, BASE | {"name": "b", "output_folder": "b", "rate_limit": "2/second"}]
    assert refused(*short) == ['b: rate_limit: "grid.example" has other rates in grid; give both the same']


def test_all_problems_are_told_at_once() -> None:
    """The problems of all entries and of the file are reported together, each with its subject."""
    assert refused(
        BASE | {"source": "aemo", "timeout": -1, "colour": "red", "output_folder": ".."},
        "text",
        BASE | {"schedule": "daily"},
        lake="s3://key:secret@bucket",
        schedules={"hourly": {"cron": "99 * * * *", "timezone": "Mars/Base"}},
        colour="red",
    ) == [
        "grid: output_folder: '..' leaves the lake or is not a folder name; "
        "use a folder inside the lake such as 'grid'",
        'grid: source: "aemo" is unknown; use one of caiso, eia, entsoe, ercot, generic, iso_ne, miso, '
        "nyiso, open_meteo, pjm, spp, sql, synthetic, "
        "or the path of a module of your own",
        "grid: timeout: Expected a number > 0.0",
        "grid: colour: unknown key; remove it or correct its spelling",
        "apis[1]: is a text, not an object",
        "api_config.json: lake: holds a user or password; "
        "credentials come from the environment, an AWS profile or a block",
        'api_config.json: schedules.hourly.cron: "99 * * * *" is not a cron; use five fields such as "12 * * * *"',
        'api_config.json: schedules.hourly.timezone: "Mars/Base" is not a time zone; '
        'use an IANA name such as "America/New_York"',
        "api_config.json: colour: unknown key; remove it or correct its spelling",
        "grid: name: two entries have it; give each its own",
        'grid: schedule: "daily" is not under "schedules" (there are: hourly)',
    ]


def test_all_problems_of_one_key_are_told_at_once() -> None:
    """All problems of one key are reported, each with its place."""
    assert refused(
        BASE | {"available": {"lag": 5, "day_before": "1 pm", "zone": 1}, "expect": {"ranges": {"mw": [1]}}}
    ) == [
        f"grid: available.lag: {NO_DURATION}",
        'grid: available.day_before: "1 pm" is not a time of day; use such as "13:00"',
        "grid: available.zone: unknown key; remove it or correct its spelling",
        "grid: expect.ranges.mw: Expected a list of length 2, got 1",
    ]
    assert len(refused(BASE | {"params": {"x:1": None, "x:2": None}})) == 2


@pytest.mark.parametrize(
    "cron", ["12 * * * *", "*/5 0-6,12 1 1-12/3 *", "0 6 * * MON-FRI", "0 0 1 jan,jul 7", "0 9 * * sun"]
)
def test_crons_have_five_fields_of_numbers_or_names(cron: str) -> None:
    """Crons with lists, ranges, steps, and names of months and weekdays are accepted."""
    assert Schedule(cron=cron).cron == cron


@pytest.mark.parametrize(
    "cron",
    [
        *("", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8"),
        *("*/0 * * * *", "5-1 * * * *", "a * * * *", "* * * MON *", "@hourly", "1,,2 * * * *"),
    ],
)
def test_bad_crons_are_refused(cron: str) -> None:
    """A wrong cron is refused with the right form."""
    (problem,) = refused(BASE, schedules={"s": {"cron": cron}})
    assert problem == f'api_config.json: schedules.s.cron: "{cron}" is not a cron; use five fields such as "12 * * * *"'


def test_a_schedule_has_a_name_that_the_server_takes() -> None:
    """The name of a schedule must be a valid name of a deployment."""
    assert refused(BASE, schedules={"six/hourly": {"cron": "0 6 * * *"}}) == [
        "api_config.json: schedules.six/hourly: 'six/hourly' is not a name for the Prefect server; "
        "use letters, digits, _ . and -"
    ]


def test_a_day_that_no_month_has_is_refused() -> None:
    """A cron that never matches is refused; the 29th of February is accepted."""
    (problem,) = refused(BASE, schedules={"s": {"cron": "0 6 30 2 *"}})
    assert (
        problem == 'api_config.json: schedules.s.cron: "0 6 30 2 *" never comes; name a day that one of its months has'
    )


def test_all_wrong_elements_of_a_list_are_told_at_once() -> None:
    """Each wrong element of a list is reported with its place, also in a list of the wrong length."""
    assert refused(
        BASE
        | {
            "params": {"zone": ["A", True, None, {}]},
            "value": ["mw", 1, 2],
            "rate_limit": {"name": "grid", "rates": ["often", "1/second", 5]},
            "expect": {"required": [1, None], "ranges": {"mw": ["low", "high"], "mvar": [1, 2, 3]}},
        }
    ) == [
        "grid: params.zone[1]: Expected a number or a text, got true or false",
        "grid: params.zone[2]: Expected a number or a text, got null",
        "grid: params.zone[3]: Expected a number or a text, got an object",
        'grid: rate_limit.rates[0]: "often" is not a rate; use N/second|minute|hour|day or such as "1/5second"',
        "grid: rate_limit.rates[2]: Expected a text, got a whole number",
        "grid: expect.required[0]: Expected a text, got a whole number",
        "grid: expect.required[1]: Expected a text, got null",
        "grid: expect.ranges.mw[0]: Expected a number, got a text",
        "grid: expect.ranges.mw[1]: Expected a number, got a text",
        "grid: expect.ranges.mvar: Expected a list of length 2, got 3",
        "grid: value[1]: Expected a text, got a whole number",
        "grid: value[2]: Expected a text, got a whole number",
    ]


def test_what_is_no_entry_is_called_as_in_json() -> None:
    """Messages use the names of JSON types, not those of Python."""
    words = ["a text", "a whole number", "a number", "true or false", "null", "a list"]
    assert refused("a", 5, 1.5, True, None, []) == [
        f"apis[{place}]: is {word}, not an object" for place, word in enumerate(words)
    ]


@pytest.mark.parametrize(
    ("file", "what"),
    [
        ({}, "is missing"),
        ({"apis": {}}, "is an object, not a list"),
        ({"apis": None}, "is null, not a list"),
        ({"apis": 5}, "is a whole number, not a list"),
        ({"apis": []}, "is empty"),
    ],
)
def test_a_file_without_entries_is_refused(file: dict[str, Any], what: str) -> None:
    """A file without `apis` is refused together with its other problems."""
    with pytest.raises(ConfigurationError) as raised:
        parse(file | {"colour": "red", "lake": 5, "schedules": []}, "api_config.json")
    assert str(raised.value).splitlines() == [
        "api_config.json: 4 problems:",
        f'  - api_config.json: apis: {what}; give [{{"name": …, "url": …, "output_folder": …}}]',
        "  - api_config.json: lake: Expected a text, got a whole number",
        "  - api_config.json: schedules: Expected an object, got a list",
        "  - api_config.json: colour: unknown key; remove it or correct its spelling",
    ]


@pytest.mark.parametrize(("file", "what"), [(None, "null"), (5, "a whole number"), ([], "a list"), ("a", "a text")])
def test_a_file_that_is_no_object_is_refused(file: Any, what: str) -> None:
    """A file that is not an object is refused with the right form."""
    with pytest.raises(ConfigurationError, match=rf"api_config\.json: is {what}, not an object\. Give {{\"apis\": "):
        parse(file, "api_config.json")


@pytest.mark.parametrize(
    ("lake", "problem"),
    [
        ("s3://", "names no bucket or container"),
        ("s3://bucket/lake?token=s3cret", "has a part after ? or #"),
        ("s3://AKIA:s3cret@bucket", "holds a user or password"),
        ("aws-credentials/keys@s3://bucket#s3cret", "has a part after ? or #"),
        ("aws-credentials/keys@", "is empty"),
        ("s3-bucket/", "is not an address of a block"),
        ("ftp://host/lake", "names an unknown kind of store"),
        ("", "is empty"),
    ],
)
def test_a_lake_that_is_none_is_a_problem_of_the_file(lake: str, problem: str) -> None:
    """An invalid lake is reported with the other problems, without its secrets."""
    found = refused(BASE | {"colour": "red"}, lake=lake)
    assert [line.partition(";")[0] for line in found] == [
        "grid: colour: unknown key",
        f"api_config.json: lake: {problem}",
    ]
    assert "s3cret" not in "".join(found)


@pytest.mark.parametrize("lake", ["lake", "/data/lake", "~/lake", "s3://bucket/a", "s3-bucket/b", "memory://"])
def test_a_lake_may_be_a_folder_a_store_or_a_block(lake: str) -> None:
    """Folders, URIs and blocks are accepted and kept unchanged."""
    assert parse({"apis": [BASE], "lake": lake}).lake == lake


def test_the_longest_file_prefix_fits_file_systems() -> None:
    """A file name with the longest prefix, stamp, period, extension and mark fits the limits of file systems."""
    name = file_name("a" * raw_entry.LONGEST_PREFIX, AT, Period(AT, AT + timedelta(days=1)), "parquet")
    assert len(superseded_name(name, AT)) + len("#99999") <= 255
    assert len(f"{name}{SIDECAR}#99999") <= 255


def test_load_reads_the_file(tmp_path: Path) -> None:
    """The file is UTF-8 with or without a byte order mark, and the default lake is beside it."""
    path = tmp_path / "api_config.json"
    for start in ("", "\ufeff"):
        path.write_text(start + json.dumps({"apis": [BASE | {"description": "Größe"}]}), encoding="utf-8")
        assert load(path).apis[0].description == "Größe"
        assert load(str(path)).lake == "lake"


def test_a_command_reads_the_file_once(tmp_path: Path) -> None:
    """Inside `reading_once`, a changed file keeps its first content under any path; outside, it is read again."""
    path = tmp_path / "api_config.json"
    path.write_text(json.dumps({"apis": [BASE]}))
    with reading_once():
        first = load(path)
        path.write_text(json.dumps({"apis": [BASE | {"name": "other"}]}))
        with reading_once():
            assert load(path) is first
        assert load(os.path.relpath(path)) is first
        assert load(path).apis[0].name == "grid"
    assert load(path).apis[0].name == "other"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"{", r"is not JSON: .* line 1 column 2"),
        (b"[" * 10_000, r"is not JSON: maximum recursion depth"),
        (b"\xff\xfe", "is not UTF-8 text"),
        (b'{"apis": [], "lake": NaN}', r"is not JSON: NaN is not a JSON number"),
        (b'{"apis": [], "apis": []}', r"the key 'apis' stands twice in one object"),
        (b'{"apis": 5}', "apis: is a whole number, not a list"),
    ],
)
def test_a_malformed_file_is_refused_by_name(tmp_path: Path, body: bytes, says: str) -> None:
    """The message contains the path, and the place and kind of the error."""
    path = tmp_path / "api_config.json"
    path.write_bytes(body)
    with pytest.raises(ConfigurationError, match=says) as raised:
        load(path)
    assert raised.value.subject == str(path)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    """A missing file, or a folder, is refused with the option that names another file."""
    with pytest.raises(ConfigurationError, match=r"none\.json: cannot be read: No such file .*--config"):
        load(tmp_path / "none.json")
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_a_complete_configuration_cannot_be_changed_by_accident() -> None:
    """Entries are frozen; a change returns a copy."""
    with pytest.raises(AttributeError, match="immutable"):
        entry().url = "https://other.example/"  # type: ignore[misc]  # that it is refused is the test
    assert msgspec.structs.replace(entry(), url="https://other.example/").url == "https://other.example/"


def test_the_shipped_configuration_is_complete() -> None:
    """Every source that names its upstream has an entry, every entry has a schedule, and the folders are the
    documented ones."""
    shipped = load(Path(__file__).parents[2] / "api_config.json")
    assert {e.source for e in shipped.apis} == set(list_sources()) - {"generic", "sql"}
    assert all(e.schedule for e in shipped.apis)
    assert {e.schedule for e in shipped.apis} == set(shipped.schedules)
    assert {(e.output_folder, e.file_prefix) for e in shipped.apis} >= {
        ("iso_ne_current_7_day_forecast", "demand"),
        ("hourly_final_lmp", "hourly_final_lmp"),
        ("iso_ne_fuel_mix", "fuel_mix"),
        ("iso_ne_morning_report", "morning_report"),
    }


@pytest.mark.parametrize(
    ("check", "problem"),
    [
        ({"kind": "compare", "series": "eia/ISNE/demand"}, "checks[0].reference: is missing"),
        ({"kind": "compare", "series": "demand", "reference": "iso_ne/32/load"}, 'checks[0].series: "demand" is not a'),
        ({"kind": "sum", "total": "eia/ISNE/demand"}, 'checks[0]: a sum needs "plus", "minus" or both'),
        ({"kind": "range", "series": "a/b/c", "lowest": 0}, 'checks[0]: has an unknown "kind"; use "sum"'),
        (
            {"kind": "opposite", "series": "eia/*/interchange", "otherwise": "reject"},
            'checks[0]: rows that are stored are neither rejected nor refused; leave out "otherwise"',
        ),
    ],
)
def test_a_wrong_check_is_refused(check: dict[str, Any], problem: str) -> None:
    """Checks of several entries are sums, opposites and comparisons of series, and have no severity."""
    (text,) = refused(BASE, checks=[check])
    assert problem in text


def test_checks_name_series_of_any_source() -> None:
    """A sum over two sources is accepted, as no entry has both."""
    check = {"kind": "sum", "total": "eia/ISNE/demand", "plus": ["iso_ne/*/load"], "tolerance": 5}
    (read,) = parse({"apis": [BASE], "checks": [check]}).checks
    assert read == SumRule(kind="sum", total="eia/ISNE/demand", plus=("iso_ne/*/load",), tolerance=5.0)
