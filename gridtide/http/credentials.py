"""Puts credentials into requests, and removes them from every message."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, unquote

from gridtide.entries.auth import Auth, BasicAuth, DatabaseAuth, KeyAuth, OAuth, list_secret_names
from gridtide.entries.entry import Entry
from gridtide.errors import CredentialsError
from gridtide.sources.registry import get_source

SHORT = 8
"""A secret with fewer characters could occur in data by chance."""


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """The headers and query parameters that carry an entry's credentials, and the texts that must be hidden."""

    headers: Mapping[str, str]
    hidden: tuple[str, ...] = ()
    params: Mapping[str, str] = field(default_factory=dict)

    def redacted(self, body: bytes) -> bytes:
        """Returns `body` without the credentials, in any spelling of JSON, URLs or HTML.

        A short secret is removed only if it is a whole string or parameter, because it may be part of a date or a
        value.
        """
        for secret in self.hidden:
            if len(secret) >= SHORT:
                body = _replace_secret(secret, body)
            else:
                body = re.sub(rb'(?<=["=])%b(?=["&\s]|$)' % _build_secret_pattern(secret), b"REDACTED", body)
        return body

    def redacted_text(self, text: str) -> str:
        """Returns `text` without the credentials."""
        return self.redacted_message(text.encode()).decode()

    def redacted_message(self, body: bytes) -> bytes:
        """Returns the body of an error without the credentials; short secrets are removed too, as it contains no
        data."""
        for secret in self.hidden:
            body = _replace_secret(secret, body)
        return body


def _replace_secret(secret: str, text: bytes) -> bytes:
    """Returns `text` without `secret`. The secret is mostly absent, so the part that every spelling leaves unchanged is
    searched first."""
    alphanumeric_part = max(re.findall("[A-Za-z0-9]*", secret), key=len).encode()
    if alphanumeric_part not in text:
        return text
    if alphanumeric_part == secret.encode():
        return text.replace(alphanumeric_part, b"REDACTED")
    return re.sub(_build_secret_pattern(secret), b"REDACTED", text)


def _build_secret_pattern(secret: str) -> bytes:
    """Returns a pattern for the ways in which JSON, URLs and HTML spell `secret`, also nested."""
    return "".join(map(_build_character_pattern, secret)).encode()


def _build_character_pattern(character: str) -> str:
    if character.isascii() and character.isalnum():
        return character
    number = ord(character)
    in_json, in_url, in_html = json.dumps(character)[1:-1], quote(character, safe=""), html.escape(character)
    spellings = [rf"\\*{re.escape(character)}", re.escape(in_json), rf"\\+u{number:04x}", in_url, re.escape(in_html)]
    spellings += [f"&#{number};", f"&#x{number:x};", *([r"\+"] if character == " " else [])]
    return f"(?i:{'|'.join(spellings)})"


@dataclass(frozen=True, slots=True, repr=False)
class Login:
    """The form that requests a token, its headers, and the texts that must be hidden."""

    form: Mapping[str, str]
    credentials: Credentials


def build_credentials(entry: Entry, secrets: Mapping[str, str], tokens: Mapping[str, str]) -> Credentials:
    """Builds the credentials that the entry's `auth` names, from `secrets` and the `tokens` of its logins.

    Raises `CredentialsError` with the variable or block that is missing, or whose value no header can hold.
    """
    headers: dict[str, str] = {}
    params: dict[str, str] = {}
    hidden: list[str] = []
    for auth in entry.auths:
        match auth:
            case KeyAuth():
                api_key = _read_secret(entry, secrets, f"secret:{auth.secret}" if auth.secret else auth.env or "")
                carrier = headers if auth.place == "header" else params
                carrier[auth.carrier] = f"Bearer {api_key}" if auth.kind == "bearer" else api_key
                hidden.append(api_key)
            case BasicAuth():
                user_password = _read_pair(entry, secrets, auth)
                headers["Authorization"] = f"Basic {_encode(user_password)}"
                hidden += [_encode(user_password), user_password.partition(":")[2]]
            case OAuth():
                headers["Authorization"] = f"Bearer {tokens[auth.identity]}"
                hidden.append(tokens[auth.identity])
            case DatabaseAuth():
                address = _read_secret(entry, secrets, f"secret:{auth.secret}" if auth.secret else auth.env or "")
                hidden += list_hidden(address)
    return Credentials(headers, tuple(filter(None, hidden)), params)


def build_login(entry: Entry, auth: OAuth, secrets: Mapping[str, str]) -> Login:
    """Builds the request for a token of `auth`, by RFC 6749, sections 4.3 and 4.4. Raises `CredentialsError`."""
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
    """Returns `user:password`; the password may be empty, because some upstreams take a key as the user of HTTP
    Basic."""
    if auth.secret:
        return _read_secret(entry, secrets, f"secret:{auth.secret}")
    user = auth.username or _read_secret(entry, secrets, auth.username_env or "")
    return f"{user}:{_read_secret(entry, secrets, auth.password_env or '', may_be_empty=True)}"


def _read_secret(entry: Entry, secrets: Mapping[str, str], name: str, *, may_be_empty: bool = False) -> str:
    value = secrets.get(name)
    if value is not None and value.isprintable() and (value or may_be_empty):
        return value
    origin_kind, fix = "environment variable", "Set it in the environment or in .env"
    if name.startswith("secret:"):
        origin_kind, fix = "Prefect Secret block", "Set it in the UI under Blocks"
    problem = "holds a line break, or something else that is not printable text" if value else "is not set"
    access_description = get_source(entry.source).ACCESS
    fix += f". To get it: {access_description}" if access_description and not value else ""
    raise CredentialsError(entry.name, f"the {origin_kind} {name.removeprefix('secret:')} {problem}", fix)


def _encode(pair: str) -> str:
    return base64.b64encode(pair.encode()).decode()


def describe_credentials(entry: Entry) -> str:
    """Describes the origin of the entry's credentials and how they are sent, without their values."""
    return "; ".join(_describe(auth) for auth in entry.auths)


def _describe(auth: Auth) -> str:
    origin = " and ".join(name.removeprefix("secret:") for name in list_secret_names(auth))
    match auth:
        case KeyAuth():
            place = "the header" if auth.place == "header" else "the query parameter"
            return f"the key of {origin} was sent in {place} {auth.carrier}"
        case BasicAuth():
            return f"{origin} was sent by HTTP Basic"
        case DatabaseAuth():
            return f"the database that {origin} names was asked"
        case OAuth():
            return f"a token was sent that the login with {origin} gave"
    return "no credentials were sent"


def list_hidden(address: str) -> list[str]:
    """Returns the texts of the URL `address` of a database that must be hidden: itself, and its password however it is
    written."""
    match = re.search(r"://[^/@:]*:(.*)@", address)  # the last @: a password may hold others by mistake
    written = match[1] if match else ""
    spellings = [address, written, unquote(written), quote(unquote(written), safe="")]
    return [text for text in dict.fromkeys(spellings) if text]
