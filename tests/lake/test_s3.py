"""The lake on S3, over real HTTP: the AWS chain, prefect-aws blocks, create-only writes, what S3 refuses."""

import asyncio
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from aiohttp import web
from prefect_aws import AwsCredentials, MinIOCredentials, S3Bucket
from prefect_aws.client_parameters import AwsClientParameters

from gridtide.errors import ConfigurationError, CredentialsError, StorageError
from gridtide.lake import Draft, Lake, Provenance, Stored
from gridtide.observations import table as obs
from gridtide.observations.identity import content_hash
from gridtide.observations.table import Row, from_rows
from tasks.lake import open_bucket_lake, open_lake, open_with_credentials
from tests.support.upstreams.counting_proxy import count_requests
from tests.support.upstreams.http_servers import serving

STAMP = datetime(2024, 3, 10, 6, 12, tzinfo=UTC)


def page(rows: int) -> obs.pa.Table:
    """`rows` hours of demand."""
    times = [STAMP + timedelta(hours=i) for i in range(rows)]
    made = [Row(at, at, "ISNE", "demand", "MWh", i / 3) for i, at in enumerate(times)]
    return from_rows("eia", made, STAMP)


async def put(lake: Lake, rows: int, format: str = "parquet") -> Stored:  # noqa: A002
    """Write `rows` rows as one file with the prefix `demand` in the folder `eia`."""
    with Draft(format, Provenance("eia_demand", None, "0123456789ab")) as draft:
        draft.append(page(rows))
        return await lake.put_draft(draft, "eia", "demand", STAMP)


def keys(bucket: str) -> list[str]:
    """All keys in the bucket, as S3 lists them."""
    listed = boto3.client("s3", region_name="us-east-1").list_objects_v2(Bucket=bucket)
    return [item["Key"] for item in listed.get("Contents", [])]


@pytest.mark.parametrize("format", ["parquet", "csv"])
async def test_a_file_goes_to_s3_and_comes_back(bucket: str, format: str) -> None:  # noqa: A002
    """With the AWS chain, the key is prefix, folder and name; rows, metadata and listing are as on disk."""
    lake = Lake.open(f"s3://{bucket}/some/prefix/")
    await lake.store.probe()
    stored = await put(lake, 100, format)
    name = f"eia/demand_20240310_061200.{format}"
    assert stored.path == name
    assert keys(bucket) == [f"some/prefix/{name}"] + [f"some/prefix/{name}.meta.json"] * (format == "csv")
    assert content_hash(await lake.read_table(name)).hexdigest() == stored.content_hash
    assert (await lake.read_metadata(name)).rows == 100
    assert [file.path for file in await lake.list_files("eia", "demand")] == [name]
    assert await lake.list_files("eia", "other") == await lake.list_files("none", "demand") == []


async def test_raw_bodies_and_plain_files_on_s3(bucket: str) -> None:
    """Bodies are stored once, and plain files are replaced only on request."""
    lake = Lake.open(f"s3://{bucket}")
    for body in (b"first", b"second"):
        await lake.put_raw("raw/eia/page.zst", body)
    assert await lake.read_raw("raw/eia/page.zst") == b"first"
    await lake.store.put("features/a", b"1")
    with pytest.raises(StorageError, match="is there already"):
        await lake.store.put("features/a", b"2")
    await lake.store.put("features/a", b"3", replace=True)
    assert await lake.store.read("features/a") == b"3"


async def test_nothing_is_overwritten_on_s3(bucket: str) -> None:
    """The same content is found, and other content gets the next free second, because S3 refuses to overwrite."""
    lake = Lake.open(f"s3://{bucket}/lake")
    stored = [await put(lake, rows) for rows in (1, 2, 1)]
    assert [s.is_new for s in stored] == [True, True, False]
    assert [s.path for s in stored] == [f"eia/demand_20240310_0612{second}.parquet" for second in ("00", "01", "00")]


async def test_writers_at_once_lose_nothing_on_s3(bucket: str) -> None:
    """Six contents that two clients write at once under one name are six files; the same content is one file."""
    lakes = [Lake.open(f"s3://{bucket}/lake") for _ in range(2)]
    await asyncio.gather(*(put(lakes[rows % 2], rows) for rows in range(1, 7)))
    files = await lakes[0].list_files("eia", "demand")
    assert sorted([(await lakes[1].read_metadata(file.path)).rows for file in files]) == list(range(1, 7))
    again = await asyncio.gather(*(put(lakes[i % 2], 5) for i in range(4)))
    assert not any(s.is_new for s in again)
    assert len(await lakes[0].list_files("eia", "demand")) == 6


WRITER = """
import asyncio, sys
from datetime import UTC, datetime
from gridtide import observations as obs
from gridtide.lake import Draft, Lake, Provenance

stamp = datetime(2024, 3, 10, 6, 12, tzinfo=UTC)

async def put(lake, rows):
    made = [obs.Row(stamp, stamp, f"BA{i}", "demand", "MWh", 1.0) for i in range(rows)]
    with Draft("parquet", Provenance("eia_demand", None, "")) as draft:
        draft.append(obs.from_rows("eia", made, stamp))
        await lake.put_draft(draft, "eia", "demand", stamp)

async def write(first):
    lake = Lake.open(sys.argv[1])
    await asyncio.gather(*(put(lake, rows) for rows in range(first, first + 4)))

asyncio.run(write(int(sys.argv[2])))
"""


@pytest.mark.slow
async def test_processes_at_once_lose_nothing_on_s3(bucket: str) -> None:
    """Three processes that write four contents each under one name lose none."""
    command = [sys.executable, "-c", WRITER, f"s3://{bucket}/lake"]
    writers = [await asyncio.create_subprocess_exec(*command, str(first)) for first in (1, 5, 9)]
    assert [await writer.wait() for writer in writers] == [0, 0, 0]
    lake = Lake.open(f"s3://{bucket}/lake")
    files = await lake.list_files("eia", "demand")
    assert sorted([(await lake.read_metadata(file.path)).rows for file in files]) == list(range(1, 13))


# Where credentials and endpoint come from


def other_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment with wrong credentials and endpoint, to show that it is not used."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "wrong")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")


async def test_a_profile_gives_credentials_region_and_endpoint(
    bucket: str, s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS_PROFILE alone gives credentials, region and endpoint."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text(
        "[profile grid]\nregion = eu-west-1\naws_access_key_id = key\naws_secret_access_key = secret\n"
        f"endpoint_url = {s3_url}\n"
    )
    monkeypatch.setenv("AWS_PROFILE", "grid")
    assert (await put(Lake.open(f"s3://{bucket}/lake"), 1)).is_new


@pytest.mark.parametrize("name", ["AWS_REGION", "AWS_DEFAULT_REGION"])
def test_the_region_is_that_of_the_environment(bucket: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both variables for the region are used, as in other tools of AWS."""
    monkeypatch.setenv(name, "eu-north-1")
    assert Lake.open(f"s3://{bucket}/lake").store.client.config["region"] == "eu-north-1"


async def test_an_s3_endpoint_goes_before_the_general_one(
    bucket: str, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AWS_ENDPOINT_URL_S3 takes precedence over AWS_ENDPOINT_URL."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_url)
    assert (await put(Lake.open(f"s3://{bucket}/lake"), 1)).is_new


async def test_a_session_and_endpoint_go_before_the_environment(
    bucket: str, s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session and an endpoint that are passed in take precedence over the environment."""
    other_environment(monkeypatch)
    session = boto3.Session("key", "secret", region_name="us-east-1")
    assert (await put(Lake.open(f"s3://{bucket}/lake", session, s3_url), 1)).is_new


Block = Callable[[str, str], Lake]


def aws_credentials(url: str) -> AwsCredentials:
    """An AwsCredentials block."""
    return AwsCredentials(
        aws_access_key_id="key",
        aws_secret_access_key="secret",
        region_name="us-east-1",
        aws_client_parameters=AwsClientParameters(endpoint_url=url),
    )


def minio_credentials(url: str) -> MinIOCredentials:
    """A MinIOCredentials block."""
    return MinIOCredentials(
        minio_root_user="key",
        minio_root_password="secret",
        aws_client_parameters=AwsClientParameters(endpoint_url=url),
    )


BLOCKS: dict[str, Block] = {
    "AwsCredentials": lambda url, bucket: open_with_credentials(f"s3://{bucket}/lake", aws_credentials(url)),
    "S3Bucket": lambda url, bucket: open_bucket_lake(
        S3Bucket(bucket_name=bucket, bucket_folder="lake", credentials=aws_credentials(url))
    ),
    "S3Bucket with MinIO": lambda url, bucket: open_bucket_lake(
        S3Bucket(bucket_name=bucket, bucket_folder="lake/", credentials=minio_credentials(url))
    ),
}


@pytest.mark.parametrize("kind", BLOCKS)
async def test_a_block_is_enough(bucket: str, s3_url: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prefect-aws block gives credentials, endpoint, bucket and folder; the environment is not used."""
    with monkeypatch.context() as elsewhere:
        other_environment(elsewhere)
        lake = BLOCKS[kind](s3_url, bucket)
        assert (await put(lake, 3)).is_new
    assert keys(bucket) == ["lake/eia/demand_20240310_061200.parquet"]


@pytest.mark.slow
async def test_a_block_is_found_by_its_name(bucket: str, s3_url: str, prefect_server: str) -> None:
    """`s3-bucket/NAME` and `aws-credentials/NAME@s3://…` open the same lake; an unknown name is an error."""
    keys_to_it = aws_credentials(s3_url)
    await keys_to_it.save("grid-keys", overwrite=True)
    await S3Bucket(bucket_name=bucket, bucket_folder="lake", credentials=keys_to_it).save("grid-lake", overwrite=True)
    assert (await put(await open_lake("s3-bucket/grid-lake"), 3)).is_new
    assert not (await put(await open_lake(f"aws-credentials/grid-keys@s3://{bucket}/lake"), 3)).is_new
    with pytest.raises(ConfigurationError, match="s3-bucket/nobody: there is no such block"):
        await open_lake("s3-bucket/nobody")


# What S3 refuses


@pytest.fixture
def strict_s3(s3_url: str, bucket: str) -> Iterator[str]:
    """The bucket of an S3 that accepts only its own keys, which the test does not have."""
    yield bucket
    _authenticate_after(s3_url, "inf")


def _authenticate_after(s3_url: str, requests: str) -> None:
    request = urllib.request.Request(  # noqa: S310  # the session's own server
        f"{s3_url}/moto-api/reset-auth", data=requests.encode(), headers={"Content-Type": "text/plain"}
    )
    urllib.request.urlopen(request).close()  # noqa: S310  # as above


async def test_wrong_credentials_are_refused_at_once(strict_s3: str, s3_url: str) -> None:
    """A key that S3 does not know fails without retries, and the message contains no secret."""
    lake = Lake.open(f"s3://{strict_s3}/lake")
    _authenticate_after(s3_url, "0")
    for attempt in (put(lake, 1), lake.store.probe(), lake.list_files("eia", "demand"), lake.store.read("a")):
        with pytest.raises(StorageError, match=r"InvalidAccessKeyId.*Check the credentials") as caught:
            await attempt
        assert "some-secret" not in str(caught.value)
        assert caught.value.__cause__ is None


async def test_a_clock_that_the_store_refuses_is_named_as_such(bucket: str) -> None:
    """Stores refuse requests that were signed a quarter of an hour off; nothing is stored, and the fix is the clock."""

    async def refuse(_request: web.Request) -> web.Response:
        message = "The difference between the request time and the current time is too large."
        text = f"<Error><Code>RequestTimeTooSkewed</Code><Message>{message}</Message></Error>"
        return web.Response(status=403, text=text, content_type="application/xml")

    async with serving(refuse) as url:
        with pytest.raises(StorageError, match=r"RequestTimeTooSkewed.*Set this machine's clock"):
            await put(Lake.open(f"s3://{bucket}/lake", endpoint_url=url), 1)


async def test_no_such_bucket_says_so_at_once(bucket: str) -> None:
    """A missing bucket is one message with entry, lake and fix, without retries."""
    lake = Lake.open("s3://no-such-bucket-anywhere/lake")
    started = time.monotonic()
    with pytest.raises(StorageError) as caught:
        await put(lake, 1)
    assert str(caught.value) == (
        "eia_demand: eia/demand_20240310_061200.parquet cannot be stored in s3://no-such-bucket-anywhere/lake: "
        "The specified bucket does not exist (NoSuchBucket). "
        "Create the bucket, or correct its name in the lake's address"
    )
    for attempt in (lake.store.probe(), lake.list_files("eia", "demand"), lake.store.read("a")):
        with pytest.raises(StorageError, match="NoSuchBucket"):
            await attempt
    assert time.monotonic() - started < 10


async def test_an_endpoint_that_does_not_answer_is_an_error_within_seconds(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint that does not answer is an error within seconds; the message names it and the fix."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    lake = Lake.open(f"s3://{bucket}/lake")
    with pytest.raises(StorageError, match=r"http://127\.0\.0\.1:9/.*Check that the lake is there and can be reached"):
        await asyncio.wait_for(put(lake, 1), 30)


def test_no_credentials_at_all_say_what_to_set(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty AWS chain is an error when the lake is opened."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(CredentialsError, match=r"there are no AWS credentials.*AWS_PROFILE"):
        Lake.open(f"s3://{bucket}/lake")


def test_an_unknown_profile_is_named(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown AWS_PROFILE is an error when the lake is opened."""
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(StorageError, match="nobody"):
        Lake.open(f"s3://{bucket}/lake")


async def test_of_many_files_a_range_alone_is_requested(bucket: str, s3_url: str) -> None:
    """Of a folder with the bodies of years, as many answers are requested as the range has thousands of names, and at
    most one more at its end."""
    from moto.core import DEFAULT_ACCOUNT_ID
    from moto.s3.models import s3_backends

    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]  # far quicker than requests
    days = [f"{year}{month:02}{day:02}" for year in range(2010, 2020) for month in range(1, 13) for day in range(1, 29)]
    for day in days:
        backend.put_object(bucket, f"lake/raw/eia/{day}/1.zst", b"")
    async with count_requests(s3_url) as (url, counts):
        store = Lake.open(f"s3://{bucket}/lake", endpoint_url=url).store
        listed = await store.list_range("raw/eia", "2013", "2014")
    assert [file.path.split("/")[2] for file in listed] == [day for day in days if day.startswith("2013")]
    assert counts == {"LIST": 1}
