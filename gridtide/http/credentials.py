"""Credentials on the way into a request, and out of every message."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from gridtide.entries.auth import Auth, BasicAuth, KeyAuth, OAuth, secret_names
from gridtide.entries.entry import Entry
from gridtide.errors import CredentialsError

SHORT = 8
"""Characters below which a secret could stand in data by chance."""


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """The headers and query parameters that carry an entry's credentials, and the texts that must not be seen."""

    headers: Mapping[str, str]
    hidden: tuple[str, ...] = ()
    params: Mapping[str, str] = field(default_factory=dict)

    def redacted(self, body: bytes) -> bytes:
        """`body` without the credentials, in any spelling JSON, a URL or HTML would give them.

        A short one is cut out only where it is a whole string or parameter: it may be part of a date or a value.
        """
        for secret in self.hidden:
            if len(secret) >= SHORT:
                body = _replace_secret(secret, body)
            else:
                body = re.sub(rb'(?<=["=])%b(?=["&\s]|$)' % _pattern_of_secret(secret), b"REDACTED", body)
        return body

    def redacted_text(self, text: str) -> str:
        """`text` without the credentials."""
        return self.redacted_message(text.encode()).decode()

    def redacted_message(self, body: bytes) -> bytes:
        """The body of an error without the credentials: it holds no data that a short one could be a part of."""
        for secret in self.hidden:
            body = _replace_secret(secret, body)
        return body


def _replace_secret(secret: str, text: bytes) -> bytes:
    """`text` without `secret`, which is mostly not in it: what every spelling leaves as it is is looked for first."""
    plain = max(re.findall("[A-Za-z0-9]*", secret), key=len).encode()
    if plain not in text:
        return text
    if plain == secret.encode():
        return text.replace(plain, b"REDACTED")
    return re.sub(_pattern_of_secret(secret), b"REDACTED", text)


def _pattern_of_secret(secret: str) -> bytes:
    """A pattern of the ways in which JSON, URLs and HTML spell `secret`, also one within the other."""
    return "".join(map(_pattern_of_character, secret)).encode()


def _pattern_of_character(char: str) -> str:
    if char.isascii() and char.isalnum():
        return char
    number = ord(char)
    in_json, in_url, in_html = json.dumps(char)[1:-1], quote(char, safe=""), html.escape(char)
    ways = [rf"\\*{re.escape(char)}", re.escape(in_json), rf"\\+u{number:04x}", in_url, re.escape(in_html)]
    ways += [f"&#{number};", f"&#x{number:x};", *([r"\+"] if char == " " else [])]
    return f"(?i:{'|'.join(ways)})"


@dataclass(frozen=True, slots=True, repr=False)
class Login:
    """The form that asks for a token, its headers, and the texts that must not be seen."""

    form: Mapping[str, str]
    credentials: Credentials


def build_credentials(entry: Entry, secrets: Mapping[str, str], tokens: Mapping[str, str]) -> Credentials:
    """The credentials that the entry's `auth` names, from `secrets` and the `tokens` of its logins.

    Raises `CredentialsError` that says which variable or block is missing, or holds what no header can.
    """
    headers: dict[str, str] = {}
    params: dict[str, str] = {}
    hidden: list[str] = []
    for auth in entry.auths:
        match auth:
            case KeyAuth():
                key = _read_secret(entry, secrets, f"secret:{auth.secret}" if auth.secret else auth.env or "")
                carrier = headers if auth.place == "header" else params
                carrier[auth.carrier] = f"Bearer {key}" if auth.kind == "bearer" else key
                hidden.append(key)
            case BasicAuth():
                pair = _read_pair(entry, secrets, auth)
                headers["Authorization"] = f"Basic {_encode(pair)}"
                hidden += [_encode(pair), pair.partition(":")[2]]
            case OAuth():
                headers["Authorization"] = f"Bearer {tokens[auth.identity]}"
                hidden.append(tokens[auth.identity])
    return Credentials(headers, tuple(filter(None, hidden)), params)


def build_login(entry: Entry, auth: OAuth, secrets: Mapping[str, str]) -> Login:
    """What asks for a token of `auth`, by RFC 6749, sections 4.3 and 4.4. Raises `CredentialsError`."""
    client, client_secret = _read_client(entry, auth, secrets)
    form = {"grant_type": auth.grant, **auth.params}
    hidden = [client_secret]
    if auth.scope:
        form["scope"] = auth.scope
    if auth.grant == "password":
        form["username"], form["password"] = _read_user(entry, auth, secrets)
        hidden.append(form["password"])
    headers = {}
    if client_secret and auth.client_in == "header":
        encoded = _encode(f"{client}:{client_secret}")
        headers["Authorization"] = f"Basic {encoded}"
        hidden.append(encoded)
    else:
        form |= {"client_id": client} if client else {}
        form |= {"client_secret": client_secret} if client_secret else {}
    return Login(form, Credentials(headers, tuple(filter(None, hidden))))


def _read_client(entry: Entry, auth: OAuth, secrets: Mapping[str, str]) -> tuple[str, str]:
    if auth.secret and auth.grant == "client_credentials":
        client, _, client_secret = _read_secret(entry, secrets, f"secret:{auth.secret}").partition(":")
        return client, client_secret
    client = auth.client_id or (_read_secret(entry, secrets, auth.client_id_env) if auth.client_id_env else "")
    return client, _read_secret(entry, secrets, auth.client_secret_env) if auth.client_secret_env else ""


def _read_user(entry: Entry, auth: OAuth, secrets: Mapping[str, str]) -> tuple[str, str]:
    if auth.secret:
        user, _, password = _read_secret(entry, secrets, f"secret:{auth.secret}").partition(":")
        return user, password
    user = auth.username or _read_secret(entry, secrets, auth.username_env or "")
    return user, _read_secret(entry, secrets, auth.password_env or "", may_be_empty=True)


def _read_pair(entry: Entry, secrets: Mapping[str, str], auth: BasicAuth) -> str:
    """`user:password`, whose password may be empty: some upstreams take a key as the user of HTTP Basic."""
    if auth.secret:
        return _read_secret(entry, secrets, f"secret:{auth.secret}")
    user = auth.username or _read_secret(entry, secrets, auth.username_env)
    return f"{user}:{_read_secret(entry, secrets, auth.password_env, may_be_empty=True)}"


def _read_secret(entry: Entry, secrets: Mapping[str, str], name: str, *, may_be_empty: bool = False) -> str:
    value = secrets.get(name)
    if value is not None and value.isprintable() and (value or may_be_empty):
        return value
    kind, fix = "environment variable", "Set it in the environment or in .env"
    if name.startswith("secret:"):
        kind, fix = "Prefect Secret block", "Set it in the UI under Blocks"
    wrong = "holds a line break, or something else that is no text" if value else "is not set"
    raise CredentialsError(entry.name, f"the {kind} {name.removeprefix('secret:')} {wrong}", fix)


def _encode(pair: str) -> str:
    return base64.b64encode(pair.encode()).decode()


def describe_credentials(entry: Entry) -> str:
    """Where the entry's credentials come from and travel, for a message that they are refused; no value of them."""
    return "; ".join(_describe(auth) for auth in entry.auths)


def _describe(auth: Auth) -> str:
    origin = " and ".join(name.removeprefix("secret:") for name in secret_names(auth))
    match auth:
        case KeyAuth():
            place = "the header" if auth.place == "header" else "the query parameter"
            return f"the key of {origin} was sent in {place} {auth.carrier}"
        case BasicAuth():
            return f"{origin} was sent by HTTP Basic"
        case OAuth():
            return f"a token was sent that the login with {origin} gave"
    return "no credentials were sent"
