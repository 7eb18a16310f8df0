"""Credentials on the way into a request, and out of every message."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from gridtide.entries.entry import Auth, BasicAuth, KeyAuth
from gridtide.errors import CredentialsError

SHORT = 8
"""Characters below which a secret could stand in data by chance."""


@dataclass(frozen=True, slots=True, repr=False)
class Credentials:
    """The headers that carry an entry's credentials, and the texts that must not be seen."""

    headers: Mapping[str, str]
    hidden: tuple[str, ...] = ()

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
        encoded = text.encode()
        for secret in self.hidden:
            encoded = _replace_secret(secret, encoded)
        return encoded.decode()


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


def build_credentials(entry: str, auth: Auth, secrets: Mapping[str, str]) -> Credentials:
    """The credentials that `auth` names, from `secrets`.

    Raises `CredentialsError` that says which variable or block is missing, or holds what no header can.
    """

    def secret(name: str) -> str:
        value = secrets.get(name)
        if value and value.isprintable():
            return value
        kind, fix = "environment variable", "Set it in the environment or in .env"
        if name.startswith("secret:"):
            kind, fix = "Prefect Secret block", "Set it in the UI under Blocks"
        wrong = "holds a line break, or something else that is no text" if value else "is not set"
        raise CredentialsError(entry, f"the {kind} {name.removeprefix('secret:')} {wrong}", fix)

    match auth:
        case KeyAuth():
            key = secret(f"secret:{auth.secret}" if auth.secret else auth.env or "")
            headers = {"X-Api-Key": key} if auth.kind == "api_key" else {"Authorization": f"Bearer {key}"}
            return Credentials(headers, (key,))
        case BasicAuth():
            if auth.secret:
                pair = secret(f"secret:{auth.secret}")
            else:
                pair = f"{auth.username or secret(auth.username_env)}:{secret(auth.password_env)}"
            encoded = base64.b64encode(pair.encode()).decode()
            return Credentials({"Authorization": f"Basic {encoded}"}, (encoded, pair.partition(":")[2]))
    return Credentials({})
