"""The credentials of an entry: their names, never their values, and how they are sent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

from gridtide.entries.field_types import BlockName, PrintableText, VariableName
from gridtide.entries.structs import StrictStruct


def check_header_name(name: str) -> None:
    """Raises `ValueError` if `name` is not the name of an HTTP header or a query parameter."""
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~\[\]-]+", name):
        raise ValueError(f'{name!r} is not the name of a header or parameter; use such as "Ocp-Apim-Subscription-Key"')


def check_header_value(value: str) -> None:
    """Raises `ValueError` if no header can hold `value`."""
    if not value.isprintable() or not value.isascii():
        raise ValueError("holds characters that no header can hold; use printable ASCII")


HeaderValue = Annotated[str, check_header_value]


FieldName = Annotated[str, check_header_name]


class NoAuth(StrictStruct, frozen=True):
    """The upstream requires no credentials."""

    kind: Literal["none"] = "none"


class BasicAuth(StrictStruct, frozen=True):
    """HTTP Basic: names of environment variables, or of a Secret block with `user:password`. The password may be
    empty. Names that an entry does not give are those of its source."""

    kind: Literal["basic"]
    username: str | None = None
    username_env: VariableName | None = None
    password_env: VariableName | None = None
    secret: BlockName | None = None

    def __post_init__(self) -> None:
        """Raises `ValueError` if user or password have no origin."""
        if self.secret is None and not (self.password_env and (self.username or self.username_env)):
            raise ValueError('needs "username_env" (or "username") and "password_env", or "secret"')


class KeyAuth(StrictStruct, frozen=True):
    """An API key or bearer token: the name of an environment variable or of a Secret block, and the header or query
    parameter that carries it (JSON: `in` and `name`)."""

    kind: Literal["api_key", "bearer"]
    env: VariableName | None = None
    secret: BlockName | None = None
    place: Literal["header", "query"] = msgspec.field(default="header", name="in")
    name: FieldName | None = None

    def __post_init__(self) -> None:
        """Raises `ValueError` unless it has exactly one origin, and a name if there is no usual one."""
        if (self.env is None) == (self.secret is None):
            raise ValueError('name either "env" (an environment variable) or "secret" (a Prefect Secret block)')
        if self.place == "query" and self.name is None:
            raise ValueError('has "in": "query" and no "name"; give that of the parameter, such as "securityToken"')
        if self.kind == "bearer" and (self.place, self.name or "Authorization") != ("header", "Authorization"):
            raise ValueError('"bearer" is always in the header Authorization; use "kind": "api_key" for other places')

    @property
    def carrier(self) -> str:
        """The name of the header or query parameter that carries the key."""
        return self.name or ("X-Api-Key" if self.kind == "api_key" else "Authorization")


class OAuth(StrictStruct, frozen=True):
    """A login at `url` that returns a bearer token, by OAuth 2.0's client-credentials or password grant (RFC 6749).

    `secret` is a Secret block with `client:secret` (client grant) or `user:password` (password grant). The client and
    its secret are sent by HTTP Basic, or in the form with `client_in: body`; a client without a secret is sent in the
    form. `params` are further fields of the form, `token` is the key of the token in the response.
    """

    kind: Literal["oauth"]
    url: str
    grant: Literal["client_credentials", "password"] = "client_credentials"
    client_id: PrintableText | None = None
    client_id_env: VariableName | None = None
    client_secret_env: VariableName | None = None
    client_in: Literal["header", "body"] = "header"
    username: PrintableText | None = None
    username_env: VariableName | None = None
    password_env: VariableName | None = None
    secret: BlockName | None = None
    scope: PrintableText | None = None
    params: Mapping[str, str] = msgspec.field(default_factory=dict)
    token: PrintableText = "access_token"  # noqa: S105  # the name of a key

    def __post_init__(self) -> None:
        """Raises `ValueError` if the grant lacks its credentials."""
        if not re.match(r"https?://[^/@\s]+(/\S*)?$", self.url):
            raise ValueError('"url" is not an http or https URL of a login; use such as "https://host/token"')
        client = self.client_id or self.client_id_env
        if self.grant == "client_credentials" and not self.secret and not (client and self.client_secret_env):
            raise ValueError('needs "client_id" (or "client_id_env") and "client_secret_env", or "secret"')
        user = self.username or self.username_env
        if self.grant == "password" and not self.secret and not (user and self.password_env):
            raise ValueError('needs "username" (or "username_env") and "password_env", or "secret"')

    @property
    def identity(self) -> str:
        """Identifies this login: entries with the same login share its token."""
        return msgspec.json.encode(self).decode()


class DatabaseAuth(StrictStruct, frozen=True):
    """The URL of a database, such as `postgresql://user:password@host/name`: the name of an environment variable or of
    a Secret block that holds it."""

    kind: Literal["database_url"]
    env: VariableName | None = None
    secret: BlockName | None = None

    def __post_init__(self) -> None:
        """Raises `ValueError` unless it has exactly one origin."""
        if (self.env is None) == (self.secret is None):
            raise ValueError('name either "env" (an environment variable) or "secret" (a Prefect Secret block)')


Auth = NoAuth | BasicAuth | KeyAuth | OAuth | DatabaseAuth


AUTH_KEYS = frozenset(
    field.encode_name
    for auth_type in (BasicAuth, KeyAuth, OAuth, DatabaseAuth)
    for field in msgspec.structs.fields(auth_type)
)
"""The keys that "auth" may have; their values name secrets but are not secrets."""


def list_secret_names(auth: Auth) -> list[str]:
    """Returns the environment variables that `auth` refers to, and its Secret block as `secret:NAME`."""
    if isinstance(auth, NoAuth):
        return []
    if auth.secret:
        names = [f"secret:{auth.secret}"]
        if isinstance(auth, OAuth) and auth.grant == "password":
            names += [name for name in (auth.client_id_env, auth.client_secret_env) if name]
        return names
    if isinstance(auth, KeyAuth | DatabaseAuth):
        return [auth.env] if auth.env else []
    if isinstance(auth, BasicAuth):
        return [name for name in (auth.password_env, None if auth.username else auth.username_env) if name]
    client = (None if auth.client_id else auth.client_id_env, auth.client_secret_env)
    user = (None if auth.username else auth.username_env, auth.password_env) if auth.grant == "password" else ()
    return [name for name in (*client, *user) if name]
