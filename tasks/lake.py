"""Opens the lake, also with the credentials of a Prefect block."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gridtide.entries.lake_address import BLOCKS, BUCKET, check_lake_address
from gridtide.errors import ConfigurationError
from gridtide.lake import Lake

if TYPE_CHECKING:  # takes a second to import, and most lakes are folders
    from prefect_aws import AwsCredentials, MinIOCredentials, S3Bucket


async def open_lake(address: str, *, make: bool = True) -> Lake:
    """The lake at `address`, whose folder is made as `Lake.open` says:

    - `s3-bucket/NAME`: the bucket, folder and credentials of the S3Bucket block NAME
    - `aws-credentials/NAME@s3://bucket/prefix`: with the credentials of the AwsCredentials block NAME
    - otherwise as `Lake.open` takes it, S3 with the AWS chain

    Raises `ConfigurationError` if that is no address or there is no such block, `StorageError` as `Lake.open` does.
    """
    if not address.startswith(BLOCKS):
        return await asyncio.to_thread(Lake.open, address, make=make)
    try:
        check_lake_address(address)
    except ValueError as error:
        raise ConfigurationError("the lake", f"its address {error}") from None
    from prefect_aws import AwsCredentials, S3Bucket

    slug, _, uri = address.partition("@")
    kind = S3Bucket if address.startswith(BUCKET) else AwsCredentials
    try:
        block: S3Bucket | AwsCredentials = await kind.aload(slug.partition("/")[2])
    except ValueError as error:  # what Prefect raises for a block that does not exist
        raise ConfigurationError(slug, "there is no such block", "Create it in the UI under Blocks") from error
    if isinstance(block, S3Bucket):
        return await asyncio.to_thread(open_bucket_lake, block)
    return await asyncio.to_thread(open_with_credentials, uri, block)


def open_bucket_lake(block: S3Bucket) -> Lake:
    """The lake in the bucket and folder of `block`."""
    return open_with_credentials(f"s3://{block.bucket_name}/{block.bucket_folder}", block.credentials)


def open_with_credentials(uri: str, block: AwsCredentials | MinIOCredentials) -> Lake:
    """The lake at `uri` with the credentials, region and endpoint of `block`."""
    return Lake.open(uri, block.get_boto3_session(), block.aws_client_parameters.endpoint_url)
