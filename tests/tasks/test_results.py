"""Results of collections in a bucket, for processes that share no disk."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import boto3
import pytest
from prefect.settings import PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK, temporary_settings
from prefect_aws import AwsCredentials, S3Bucket
from prefect_aws.client_parameters import AwsClientParameters

from flows.ingest import ingest
from tests.support.upstreams import upstream


@pytest.fixture
async def results(prefect_server: str, bucket: str, s3_url: str) -> AsyncIterator[str]:
    """The name of a block for the folder `results` of the bucket, in which results are stored during the test."""
    endpoint = AwsClientParameters(endpoint_url=s3_url)
    credentials = AwsCredentials(
        aws_access_key_id="some-key",
        aws_secret_access_key="some-secret",  # type: ignore[arg-type]  # a secret is made of text
        region_name="us-east-1",
        aws_client_parameters=endpoint,
    )
    await S3Bucket(bucket_name=bucket, bucket_folder="results", credentials=credentials).save(bucket)
    with temporary_settings({PREFECT_RESULTS_DEFAULT_STORAGE_BLOCK: f"s3-bucket/{bucket}"}):
        yield f"s3-bucket/{bucket}"


def results_on_disk(home: Path) -> set[Path]:
    """The results in a PREFECT_HOME."""
    return set(home.glob("storage/*"))


@pytest.mark.slow
async def test_a_result_in_a_bucket_serves_the_next_process(
    prefect_server: str, prefect_home: Path, tmp_path: Path, bucket: str, results: str
) -> None:
    """The next process reuses a fresh result without a request; results are JSON, and all of them are in the bucket."""
    at_hand = results_on_disk(prefect_home)
    async with upstream.running() as up:
        config = {**up.config(tmp_path, up.api("one", fresh="PT1H")), "lake": f"s3://{bucket}/lake"}
        first = await ingest(config=config)
        path = tmp_path / "api_config.json"
        path.write_text(json.dumps(config))
        environment = {"PREFECT_API_URL": prefect_server, "PREFECT_DEFAULT_RESULT_STORAGE_BLOCK": results}
        command = [sys.executable, "-m", "deployments.cli", "ingest", "--config", str(path)]
        again = await asyncio.create_subprocess_exec(
            *command, env=os.environ | environment, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await again.communicate()
        assert up.asked == {"one": 1}
    assert again.returncode == 0
    assert " cached " in said.decode()
    assert first["results"][0]["file"] in said.decode()

    client = boto3.client("s3", region_name="us-east-1")
    kept = [one["Key"] for one in client.list_objects_v2(Bucket=bucket, Prefix="results/")["Contents"]]
    assert len(kept) == 3, "that of the collection, and of each of the two runs"
    for key in kept:
        body = client.get_object(Bucket=bucket, Key=key)["Body"].read().decode()
        assert isinstance(json.loads(body), dict)
        assert "pickle" not in body
    assert results_on_disk(prefect_home) == at_hand
