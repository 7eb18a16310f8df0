"""The address of a lake: a folder, the URI of a store, or a Prefect block that describes one.

No error message repeats an address, because it may contain a secret.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

BLOCKS = BUCKET, CREDENTIALS = ("s3-bucket/", "aws-credentials/")
"""The prefixes of lake addresses that name a block, as Prefect writes them."""


STORES = ("s3", "gs", "az", "abfs", "abfss")
"""The URI schemes that are followed by a bucket or container."""


_USE = "use a folder, file:///folder, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or memory://"


_BLOCK = "use s3-bucket/NAME or aws-credentials/NAME@s3://bucket/prefix"


def check_lake_address(address: str) -> None:
    """Raises `ValueError` if `address`, with or without a block, is invalid."""
    if not address.startswith(BLOCKS):
        resolve_lake_address(address)
        return
    block, _, uri = address.partition("@")
    if not block.partition("/")[2] or ("@" in address) != address.startswith(CREDENTIALS):
        raise ValueError(f"is not an address of a block; {_BLOCK}")
    if block.startswith(CREDENTIALS) and not resolve_lake_address(uri).startswith("s3://"):
        raise ValueError(f"has credentials of AWS for another store; {_BLOCK}")


def resolve_lake_address(address: str) -> str:
    """Returns `address` in the form that names its lake everywhere: a folder becomes an absolute path.

    Raises `ValueError` for an invalid address, and for one that contains a password.
    """
    if not address.strip():
        raise ValueError(f"is empty; {_USE}")
    if not address.isprintable():
        raise ValueError(f"holds control characters; {_USE}")
    if "://" in address:
        return _resolve_store(address)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", address):
        raise ValueError(f"has a colon but is not a URI; {_USE}")
    try:
        return str(Path(address).expanduser().absolute())
    except RuntimeError as error:
        raise ValueError("begins with ~ and an unknown user name; write the folder out") from error


def _resolve_store(uri: str) -> str:
    try:
        parts = urlsplit(uri)
    except ValueError as error:
        raise ValueError(f"is not a URI; {_USE}") from error
    if "@" in parts.netloc:
        raise ValueError("holds a user or password; credentials come from the environment, an AWS profile or a block")
    if parts.query or parts.fragment:
        raise ValueError("has a part after ? or #; credentials come from the environment or a block")
    if parts.scheme == "memory":
        return "memory://"
    if parts.scheme == "file":
        if parts.netloc or not parts.path:
            raise ValueError(f"is not a folder; {_USE}")
        return unquote(parts.path)
    if parts.scheme not in STORES:
        raise ValueError(f"names an unknown kind of store; {_USE}")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", parts.netloc):
        raise ValueError(f"names no bucket or container; {_USE}")
    return uri.rstrip("/")
