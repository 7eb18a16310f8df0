"""Checks of the files for Docker and AWS that need neither of them."""

from __future__ import annotations

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import prefect_aws
import pytest
import yaml
from prefect.settings import Settings

from deployments.registry.ecs_pool import build_pool_template
from deployments.registry.run_settings import RUN_SETTINGS
from flows.run import local_server
from gridtide.errors import ConfigurationError

DEPLOYMENTS = Path(__file__).resolve().parents[2] / "deployments"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOYMENTS / "docker" / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
STACK = (DEPLOYMENTS / "ecs" / "stack.yaml").read_text()
DOCKERFILE = (DEPLOYMENTS / "docker" / "Dockerfile").read_text()


def test_the_image_is_built_of_what_is_there_and_not_run_as_root() -> None:
    """Every file that the Dockerfile copies exists and is not ignored, and the user is not root."""
    ignored = (DEPLOYMENTS / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    copied = [name for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()]
    assert len(copied) == 9
    for name in copied:
        assert (DEPLOYMENTS.parent / name).exists(), name
        assert f"!{name}" in ignored
    assert re.findall(r"^USER (\w+)$", DOCKERFILE, re.MULTILINE) == ["gridtide"]


def test_no_container_runs_as_root_and_each_says_whether_it_is_well() -> None:
    """No container runs as root or has capabilities, services have a health check, and all versions are pinned."""
    for name, service in SERVICES.items():
        own = re.findall(r"^USER (\S+)$", service.get("build", {}).get("dockerfile_inline", ""), re.MULTILINE)
        assert service["image"] == "gridtide" or service.get("user") == "postgres" or own == ["10001:10001"], name
        assert service["cap_drop"] == ["ALL"]
        assert "healthcheck" in service or name == "deploy"
    assert "--with-healthcheck" in SERVICES["worker"]["command"]
    taken = [SERVICES["database"]["image"], *re.findall(r"FROM (\S+)", f"{DOCKERFILE}{SERVICES['store']['build']}")]
    assert len(taken) == 3
    for image in taken:
        assert re.fullmatch(r"\w+:\d+\.[\d.]+(-slim)?|minio/minio:RELEASE\.[\dTZ-]+", image.partition("\\n")[0]), image


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("setpriv") is None or os.getuid() != 0, reason="to be another user takes root")
def test_the_composed_server_shows_its_ui_although_it_may_not_write_to_its_program(
    tmp_path: Path, unused_tcp_port: int
) -> None:
    """As another user, the server unpacks the UI to its own folder, and the UI uses the API at an address that
    browsers can reach."""
    composed = SERVICES["server"]["environment"]
    volume = SERVICES["server"]["volumes"][0].partition(":")[2]
    assert composed["PREFECT_SERVER_UI_STATIC_DIRECTORY"].startswith(f"{volume}/")
    home = tmp_path / "home"
    home.mkdir()
    shutil.chown(home, 10001, 10001)
    own = {name: value for name, value in composed.items() if "DATABASE" not in name and "AUTH" not in name}
    environment = {
        **{name: value.replace(volume, str(home)) for name, value in own.items()},
        "HOME": str(home),
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_API_PORT": str(unused_tcp_port),
    }
    reads = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    someone = ["setpriv", "--reuid=10001", "--regid=10001", "--clear-groups", *reads]
    command = [*someone, str(Path(sys.executable).with_name("prefect")), *SERVICES["server"]["command"][1:]]
    with subprocess.Popen(command, env=environment, cwd=home, stdout=subprocess.DEVNULL) as server:
        try:
            url = f"http://127.0.0.1:{unused_tcp_port}"
            assert json.loads(answer(f"{url}/ui-settings", server))["api_url"] == "http://127.0.0.1:4200/api"
            assert "<title>" in answer(f"{url}/dashboard", server)
        finally:
            server.terminate()


def answer(url: str, server: subprocess.Popen[bytes]) -> str:
    """The answer of a server to a browser, once it answers."""
    while server.poll() is None:
        with suppress(httpx.ConnectError):
            return httpx.get(url, headers={"Accept": "text/html"}).text
        time.sleep(0.2)
    raise AssertionError("the server ended")


def test_the_services_depend_on_each_other_and_on_volumes_that_are_there() -> None:
    """All named services and volumes exist, and services that others wait for have a health check."""
    for service in SERVICES.values():
        for name, condition in service.get("depends_on", {}).items():
            assert condition["condition"] != "service_healthy" or "healthcheck" in SERVICES[name]
        for volume in service.get("volumes", ()):
            assert volume.split(":")[0] in COMPOSE["volumes"]


def test_the_composed_server_and_worker_have_the_settings_of_the_local_ones() -> None:
    """Server and worker in compose have the settings of the local ones, and Prefect knows each setting."""
    server, client = SERVICES["server"]["environment"], SERVICES["worker"]["environment"]
    assert local_server.SETTINGS.items() <= server.items()
    assert RUN_SETTINGS.items() <= client.items()
    known = set(Settings().to_environment_variables(include_secrets=False)) | {
        "PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_UI_URL", "PREFECT_SERVER_API_AUTH_STRING",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_SERVER_UI_STATIC_DIRECTORY",
    }  # fmt: skip
    assert {name for name in server | client if name.startswith("PREFECT_")} <= known


def test_no_secret_stands_in_the_files_and_the_api_asks_for_one() -> None:
    """Every password comes from the environment, is required, and is in the example; ports are open only on this
    machine."""
    text = (DEPLOYMENTS / "docker" / "compose.yaml").read_text()
    asked = set(re.findall(r"\$\{(\w+):\?", text))
    example = (DEPLOYMENTS / "docker" / ".env.example").read_text()
    assert asked == {"PREFECT_AUTH", "DATABASE_PASSWORD", "STORE_PASSWORD"}
    assert asked <= set(re.findall(r"^(\w+)=$", example, re.MULTILINE))
    assert not re.findall(r"^\w+=.+", example, re.MULTILINE)
    for value in re.findall(r"^\s+\w*(?:PASSWORD|SECRET_ACCESS_KEY|AUTH_STRING)\w*: (.+)$", text, re.MULTILINE):
        assert value.startswith("${"), value
    assert SERVICES["server"]["environment"]["PREFECT_SERVER_API_AUTH_STRING"].startswith("${PREFECT_AUTH")
    assert [port for service in SERVICES.values() for port in service.get("ports", ())] == ["127.0.0.1:4200:4200"]
    for service in SERVICES.values():
        assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.slow
def test_the_stack_is_valid() -> None:
    """cfn-lint finds no problem in the stack."""
    command = [str(Path(sys.executable).with_name("cfn-lint")), "-t", str(DEPLOYMENTS / "ecs" / "stack.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_run_may_do_no_more_than_it_needs() -> None:
    """The role of a run may read and write its own prefixes, delete only bodies, and has no action with a wildcard."""
    text = re.sub(r"!(\w+)", "", STACK)
    roles = {name: one for name, one in yaml.safe_load(text)["Resources"].items() if one["Type"] == "AWS::IAM::Role"}
    allowed = {
        name: [
            (action, str(statement["Resource"]))
            for policy in role["Properties"]["Policies"]
            for statement in policy["PolicyDocument"]["Statement"]
            for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
        ]
        for name, role in roles.items()
    }
    assert sorted(allowed) == ["RunRole", "StartRole", "WorkerRole"]
    assert not [action for pairs in allowed.values() for action, _ in pairs if "*" in action]
    assert [where for action, where in allowed["RunRole"] if action == "s3:DeleteObject"] == ["${Lake.Arn}/lake/raw/*"]
    assert {action for action, _ in allowed["RunRole"]} == {
        "s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject"
    }  # fmt: skip


def test_the_worker_of_ecs_may_do_what_it_does() -> None:
    """The role of the worker allows every call that prefect-aws makes."""
    package = Path(inspect.getfile(prefect_aws)).parent
    code = "".join((package / path).read_text() for path in ("workers/ecs_worker.py", "observers/ecs.py"))
    calls = set(re.findall(r"(?:ecs|ec2|sqs|logs)_client\.([a-z]\w+)\(", code))
    assert len(calls) == 13
    actions = {action.partition(":")[2] for action in re.findall(r"(?:ecs|ec2|sqs|logs):\w+", STACK)}
    assert {call.title().replace("_", "") for call in calls} <= actions


def test_the_worker_of_ecs_may_tag_what_it_starts_and_nothing_else() -> None:
    """The worker may tag tasks when it creates them, as prefect-aws does, and nothing else."""
    worker = yaml.safe_load(re.sub(r"!(\w+)", "", STACK))["Resources"]["WorkerRole"]
    statements = worker["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    [tagging] = [one for one in statements if "ecs:TagResource" in one["Action"]]
    assert tagging["Action"] == "ecs:TagResource"
    assert tagging["Condition"] == {"StringEquals": {"ecs:CreateAction": "RunTask"}}


def test_runs_on_ecs_write_their_logs_where_they_may() -> None:
    """Runs write their logs to the log group of the stack."""
    given = dict.fromkeys(("image", "cluster", "vpc_id", "task_role_arn", "execution_role_arn"), "x")
    variables = build_pool_template(**given, log_group="ours")["variables"]["properties"]
    assert variables["cloudwatch_logs_options"]["default"] == {"awslogs-group": "ours"}
    with pytest.raises(ConfigurationError, match="log_group: unknown or missing"):
        build_pool_template(**given)
    assert "Logs: {Value: !Ref Logs}" in STACK


def test_the_pool_has_defaults_for_what_runs_have_in_common() -> None:
    """The pool template has defaults for all runs; unknown and missing names are refused."""
    given = dict.fromkeys(("image", "cluster", "vpc_id", "task_role_arn", "execution_role_arn", "log_group"), "x")
    variables = build_pool_template(**given, cpu=256)["variables"]["properties"]
    assert (variables["image"]["default"], variables["cpu"]["default"]) == ("x", 256)
    assert variables["env"]["default"]["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
    assert variables["env"]["default"]["PREFECT_DEFAULT_RESULT_STORAGE_BLOCK"] == "s3-bucket/results"
    assert "GRIDTIDE_PUSHGATEWAY" not in variables["env"]["default"]
    pushing = build_pool_template(**given, pushgateway="http://gateway:9091")["variables"]["properties"]["env"][
        "default"
    ]
    assert pushing["GRIDTIDE_PUSHGATEWAY"] == "http://gateway:9091"
    assert re.search(r"\.\[\S*\bmetrics\b\S*\]", DOCKERFILE), "the image can push"
    with pytest.raises(ConfigurationError, match="imaeg: unknown"):
        build_pool_template(**given, imaeg="y")
    with pytest.raises(ConfigurationError, match="cluster: unknown or missing"):
        build_pool_template(**{**given, "cluster": ""})
