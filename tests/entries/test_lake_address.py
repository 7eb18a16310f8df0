"""Addresses of lakes: which are accepted, and messages that do not repeat the others."""

from pathlib import Path

import pytest

from gridtide.entries import lake_address


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("/data/lake/", "/data/lake"),
        ("/data/a lake@home?#", "/data/a lake@home?#"),
        ("file:///data/a%20lake", "/data/a lake"),
        ("s3://bucket", "s3://bucket"),
        ("s3://my.bucket-1/some/prefix/", "s3://my.bucket-1/some/prefix"),
        ("gs://bucket/prefix", "gs://bucket/prefix"),
        ("az://container/prefix", "az://container/prefix"),
        ("memory://", "memory://"),
        ("memory://anything", "memory://"),
    ],
)
def test_an_address_has_one_form(given: str, found: str) -> None:
    """Folders become absolute paths, and stores end without a slash."""
    assert lake_address.resolve_lake_address(given) == found
    lake_address.check_lake_address(given)


def test_a_folder_may_be_relative_or_at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative folder or one with `~` becomes an absolute path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/somebody")
    assert lake_address.resolve_lake_address("./lake") == str(tmp_path / "lake")
    assert lake_address.resolve_lake_address("~/lake") == "/home/somebody/lake"


@pytest.mark.parametrize("given", ["s3-bucket/mine", "aws-credentials/keys@s3://bucket/prefix"])
def test_blocks_are_addresses(given: str) -> None:
    """Blocks of a bucket, and of credentials with a URI, are accepted."""
    lake_address.check_lake_address(given)


USE = "use a folder, file:///folder, s3://bucket/prefix, gs://bucket/prefix, az://container/prefix or memory://"
BLOCK = "use s3-bucket/NAME or aws-credentials/NAME@s3://bucket/prefix"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ("", f"is empty; {USE}"),
        (" ", f"is empty; {USE}"),
        ("la\0ke", f"holds control characters; {USE}"),
        ("s3:/bucket", f"has a colon but is not a URI; {USE}"),
        ("AKIA:s3cret@bucket", f"has a colon but is not a URI; {USE}"),
        ("s3://", f"names no bucket or container; {USE}"),
        ("s3:///prefix", f"names no bucket or container; {USE}"),
        ("s3://bucket:9000/prefix", f"names no bucket or container; {USE}"),
        ("s3://a bucket/prefix", f"names no bucket or container; {USE}"),
        ("s3://[bucket", f"is not a URI; {USE}"),
        ("ftp://host/lake", f"names an unknown kind of store; {USE}"),
        ("https://host/lake", f"names an unknown kind of store; {USE}"),
        ("file://lake", f"is not a folder; {USE}"),
        ("~nobody-of-this-name/lake", "begins with ~ and an unknown user name; write the folder out"),
        (
            "s3://AKIA:s3cret@bucket",
            "holds a user or password; credentials come from the environment, an AWS profile or a block",
        ),
        (
            "s3://bucket/x?token=s3cret",
            "has a part after ? or #; credentials come from the environment or a block",
        ),
        (
            "file:///lake#s3cret",
            "has a part after ? or #; credentials come from the environment or a block",
        ),
        ("s3-bucket/", f"is not an address of a block; {BLOCK}"),
        ("s3-bucket/mine@s3://bucket", f"is not an address of a block; {BLOCK}"),
        ("aws-credentials/keys", f"is not an address of a block; {BLOCK}"),
        ("aws-credentials/keys@gs://bucket", f"has credentials of AWS for another store; {BLOCK}"),
        ("aws-credentials/keys@lake", f"has credentials of AWS for another store; {BLOCK}"),
        ("aws-credentials/keys@s3://", f"names no bucket or container; {USE}"),
    ],
)
def test_what_is_no_address_is_refused_with_what_would_be(given: str, problem: str) -> None:
    """An invalid address gives exactly this message, which does not repeat it."""
    with pytest.raises(ValueError, match=r"^") as raised:
        lake_address.check_lake_address(given)
    assert str(raised.value) == problem
