"""A configuration with any JSON is read, or refused with a message."""

from hypothesis import example, given
from hypothesis import strategies as st

from gridtide.config.loading import parse
from gridtide.entries.entry import Entry
from gridtide.errors import ConfigurationError

KEYS = [
    *Entry.__struct_fields__,
    *("csv_prefix", "auth_type", "username", "password", "unknown"),
]
WORDS = st.sampled_from(
    [
        *(
            "eia",
            "caiso",
            "iso_ne",
            "open_meteo",
            "synthetic",
            "generic",
            "basic",
            "GET",
            "csv",
            "raw",
            "x/y",
            "../x",
            "",
        ),
        *("https://api.eia.gov/v2/electricity/rto/region-data/data/", "http://[bad", "https://h:x/", "ftp://h", "//"),
        *("https://webservices.iso-ne.com/api/v1.1/genfuelmix/current", "https://u:p@h/", "PT1H", "P0D", "1/5second"),
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)
ENTRIES = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=6)
LIKELY = st.builds(
    lambda some, more: some | more,
    st.just({"name": "a", "url": "https://grid.example/", "output_folder": "a"}),
    ENTRIES,
)


def refusal(data: object) -> str | None:
    """The message that refuses `data`, None if it is read."""
    try:
        parse(data, "file")
    except ConfigurationError as error:
        return str(error)
    return None


@given(
    st.lists(LIKELY | ENTRIES | VALUES, max_size=3).map(lambda apis: {"apis": apis})
    | st.dictionaries(st.sampled_from(["apis", "lake", "schedules", "task_retries", "x"]), VALUES, max_size=3)
    | VALUES
)
@example({"apis": [{"name": None, "url": "https://grid.example/", "output_folder": "a", "file_prefix": False}]})
def test_any_json_is_a_configuration_or_refused_in_words(data: object) -> None:
    """Only `ConfigurationError` is raised, with at least one problem."""
    said = refusal(data)
    assert said is None or ", not an object. Give {" in said or "\n  - " in said


@given(
    st.sampled_from(["api_key", "Password", "access_token", "clientSecret", "x-api-key", "securityToken"]),
    st.text("0123456789abcdef", min_size=16, max_size=40),
)
def test_a_secret_is_never_repeated_in_the_refusal(key: str, secret: str) -> None:
    """A message about a literal secret contains only its key."""
    entry = {"name": "a", "url": "https://grid.example/", "output_folder": "a"}
    places = [
        {"params": {key: secret}},
        {"auth": {"kind": "api_key", key: secret}},
        {key: secret},
        {"url": f"https://grid.example/?{key}={secret}"},
        {"url": f"grid.example/?{key}={secret}"},
        {"headers": {key: secret}},
        {"method": "POST", "body": {"rows": [{key: secret}]}},
        {"method": "POST", "body": f"a=1&{key}={secret}"},
        {"auth": [{"kind": "api_key", key: secret}]},
        {"auth": {"kind": "oauth", "url": "https://grid.example/", "params": {key: secret}}},
    ]
    for place in places:
        said = refusal({"apis": [entry | place]})
        assert said is not None
        assert f"{key}: is a secret in plain text" in said
        assert secret not in said
