"""Connects to the store at the address of a lake."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from obstore.store import AzureStore, GCSStore, LocalStore, MemoryStore, S3Store, from_url

from gridtide.clock import read_date
from gridtide.errors import CredentialsError, StorageError
from gridtide.lake.listings import list_bucket
from gridtide.lake.store import ByteStore
from gridtide.lake.store_errors import translate_errors

if TYPE_CHECKING:
    import boto3
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

logger = logging.getLogger("gridtide.lake")

RETRIES: RetryConfig = {
    "max_retries": 4,
    "backoff": {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=5), "base": 2},
    "retry_timeout": timedelta(seconds=60),
}
"""For failures that pass within seconds; the task's own retries cover longer outages."""

TIMEOUTS: ClientConfig = {"connect_timeout": "5s", "timeout": "120s"}
"""A store that accepts no connection within seconds is away; a whole file on a slow line may take minutes."""

BOTO_LIMITS: Mapping[str, Any] = {"connect_timeout": 5, "retries": {"total_max_attempts": 3}}
"""The same for boto3, which reads the clock of a bucket, and lists names that obstore refuses."""

CREDENTIALS_LAST = timedelta(minutes=10)
"""How long credentials from the session are used; the session renews those that expire sooner."""


def connect_store(uri: str, session: boto3.Session | None, endpoint_url: str | None, *, make: bool) -> ByteStore:
    """Connects to the store at `uri`, as `resolve_lake_address` returns it.

    A local folder that does not exist is made; without `make` a warning says so, and the lake is empty. Raises
    `StorageError` if the store cannot be opened, `CredentialsError` if there are no credentials.
    """
    with translate_errors(uri, "cannot be opened as a lake"):
        scheme = urlsplit(uri).scheme if "://" in uri else "file"
        if scheme == "file":
            if not make and not _folder_exists(uri):
                logger.warning("%s: there is no such folder; it is created when something is collected", uri)
                return ByteStore(MemoryStore(), uri)
            return ByteStore(LocalStore(uri, mkdir=make), uri)
        if scheme == "memory":
            return ByteStore(MemoryStore(), uri)
        if scheme == "s3":
            return _connect_s3(uri, session, endpoint_url)
        client = from_url(uri, retry_config=RETRIES, client_options=TIMEOUTS)
        address = find_clock_address(client)
        return ByteStore(client, uri, read_clock=partial(read_http_clock, address) if address else None)


GOOGLE_STORAGE = "https://storage.googleapis.com/"


def find_clock_address(client: ObjectStore) -> str | None:
    """Returns a URL of the store of `client` whose answers have its `Date`, whatever their status; None if it is
    unknown.

    `obstore` does not give the headers of answers. Without credentials, the services of Google and Azure answer with an
    error that has a `Date` too.
    """
    if isinstance(client, GCSStore):
        return GOOGLE_STORAGE
    if not isinstance(client, AzureStore):
        return None
    account = client.config.get("account_name") or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME")
    endpoint = client.config.get("endpoint") or os.environ.get("AZURE_STORAGE_ENDPOINT")
    return endpoint or (f"https://{account}.blob.core.windows.net/" if account else None)


def read_http_clock(address: str) -> tuple[str, datetime | None]:
    """Returns the host of `address`, which is a URL of HTTP, and the `Date` of its answer, even of an error; None
    without an answer."""
    from urllib.error import HTTPError
    from urllib.request import Request, urlopen

    host = urlsplit(address).hostname or ""
    try:
        with urlopen(Request(address, method="HEAD"), timeout=BOTO_LIMITS["connect_timeout"]) as answer:  # noqa: S310
            headers = answer.headers
    except HTTPError as error:
        headers = error.headers
    except (OSError, ValueError):  # the run reports it at its first write
        return host, None
    return host, read_date({name.title(): value for name, value in headers.items()})


def _folder_exists(folder: str) -> bool:
    try:
        Path(folder).stat()
    except FileNotFoundError:
        return False
    return True


def _connect_s3(uri: str, session: boto3.Session | None, endpoint_url: str | None) -> ByteStore:
    """Connects to S3 with bucket, region and endpoint as boto3 resolves them: environment, profile, then AWS's
    defaults."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError
    from obstore.auth.boto3 import Boto3CredentialProvider

    parts = urlsplit(uri)
    prefix = parts.path.strip("/")
    try:
        # boto3 itself reads AWS_DEFAULT_REGION only, while other tools of AWS set AWS_REGION
        session = session or boto3.Session(region_name=os.environ.get("AWS_REGION"))
        client = session.client("s3", endpoint_url=endpoint_url, config=Config(**BOTO_LIMITS))
        client_meta = client.meta
        if session.get_credentials() is None:
            raise CredentialsError(uri, "there are no AWS credentials", "Set AWS_PROFILE, or name a block")
        credentials = Boto3CredentialProvider(session, ttl=CREDENTIALS_LAST)
    except BotoCoreError as error:
        raise StorageError(
            uri, f"the AWS configuration cannot be read: {error}", "Correct the AWS configuration or AWS_PROFILE"
        ) from error
    store = S3Store(
        parts.netloc,
        prefix=prefix or None,
        config={"aws_endpoint_url_s3": client_meta.endpoint_url, "region": client_meta.region_name},
        # obstore refuses plain HTTP otherwise, which servers beside AWS use
        client_options={**TIMEOUTS, "allow_http": client_meta.endpoint_url.startswith("http://")},
        retry_config=RETRIES,
        credential_provider=credentials,
    )
    list_folder = partial(list_bucket, client, parts.netloc, prefix)
    return ByteStore(
        store,
        uri,
        list_folder,
        read_clock=partial(read_bucket_clock, client, parts.netloc, prefix),
        list_pages=partial(list_folder, page_names=1),
        endpoint=client_meta.endpoint_url,
    )


def read_bucket_clock(client: Any, bucket: str, prefix: str) -> tuple[str, datetime | None]:
    """Returns the host of the boto3 `client`, and the `Date` of its answer to a listing of one key, even of an error;
    None without an answer."""
    from botocore.exceptions import BotoCoreError, ClientError

    host = urlsplit(client.meta.endpoint_url).hostname or ""
    try:
        response = client.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=1)
    except ClientError as error:
        response = error.response
    except (BotoCoreError, OSError):  # the run reports it at its first write
        return host, None
    headers = response["ResponseMetadata"]["HTTPHeaders"]
    return host, read_date({name.title(): value for name, value in headers.items()})
