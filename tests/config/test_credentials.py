"""The variables of HTTP Basic that an entry does not name: they are those of its source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gridtide.config.loading import parse
from gridtide.entries.auth import list_secret_names
from gridtide.errors import ConfigurationError

OPERATOR = '''
"""An operator whose users are in variables of its own."""

BASIC_AUTH = {"username_env": "ISLAND_USER", "password_env": "ISLAND_PASSWORD"}


def build_requests(entry, period):
    return []


def parse_response(entry, request, response):
    raise NotImplementedError
'''


@pytest.fixture
def operator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a source outside Gridtide."""
    package = tmp_path / "credentials_of_island"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "operator.py").write_text(OPERATOR)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "credentials_of_island.operator"


def names(auth: Any, **keys: Any) -> list[str]:
    """The variables and blocks in which an entry with `auth` has its credentials."""
    api = {"name": "load", "url": "https://grid.example/load", "output_folder": "load", "auth": auth, **keys}
    return [name for part in parse({"apis": [api]}).apis[0].auths for name in list_secret_names(part)]


@pytest.mark.parametrize(
    ("auth", "expected"),
    [
        ({"kind": "basic"}, ["ISLAND_PASSWORD", "ISLAND_USER"]),
        ({"kind": "basic", "username": "me"}, ["ISLAND_PASSWORD"]),
        ({"kind": "basic", "password_env": "MINE"}, ["MINE", "ISLAND_USER"]),
        ({"kind": "basic", "secret": "login"}, ["secret:login"]),
        ([{"kind": "api_key", "env": "KEY"}, {"kind": "basic"}], ["KEY", "ISLAND_PASSWORD", "ISLAND_USER"]),
    ],
)
def test_a_source_names_the_variables_of_its_users(operator: str, auth: Any, expected: list[str]) -> None:
    """What the entry names itself stays, each part of a list is completed, and a Secret block needs no variable."""
    assert names(auth, source=operator) == expected


@pytest.mark.parametrize("source", ["generic", "eia"])
def test_sources_without_users_of_their_own_keep_the_variables_of_old_configurations(source: str) -> None:
    """Configurations name no variables where ISO-NE was the only upstream with HTTP Basic."""
    assert names({"kind": "basic"}, source=source) == ["ISO_NE_PASSWORD", "ISO_NE_USERNAME"]


def test_a_user_without_any_variable_is_refused() -> None:
    """A null leaves no origin of the password, and the message says what would be one."""
    with pytest.raises(ConfigurationError, match=r'auth: needs "username_env" .* and "password_env", or "secret"'):
        names({"kind": "basic", "password_env": None})


def test_an_unknown_source_is_the_only_problem_of_its_entry() -> None:
    """An entry of an unknown source with HTTP Basic has one problem, not a second one about its variables."""
    with pytest.raises(ConfigurationError, match=r"1 problem:\n  - load: source: "):
        names({"kind": "basic"}, source="nobody")
