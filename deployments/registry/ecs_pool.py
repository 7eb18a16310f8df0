"""The base job template of an ECS work pool, `python -m deployments.registry.ecs_pool NAME=VALUE … > pool.json`.

prefect-aws's own, with defaults for what all runs have in common: image, cluster, vpc_id, task_role_arn,
execution_role_arn, log_group (of CloudWatch) and what else of its variables is named.
"""

from __future__ import annotations

import copy
import json
import sys
from typing import Any

from deployments.machine.worker import WORKER_SETTINGS
from gridtide.errors import ConfigurationError

REQUIRED = ("image", "cluster", "vpc_id", "task_role_arn", "execution_role_arn", "log_group")


RESULT_STORAGE = {"PREFECT_DEFAULT_RESULT_STORAGE_BLOCK": "s3-bucket/results"}
"""Runs share no disk: the results that they take from one another are where this block says."""


def pool_template(**defaults: Any) -> dict[str, Any]:
    """The template with `defaults`; raises `ConfigurationError` for names it has not, or that are missing."""
    from prefect_aws.workers import ECSWorker

    made = copy.deepcopy(ECSWorker.get_default_base_job_template())
    variables = made["variables"]["properties"]
    wrong = sorted(defaults.keys() - variables.keys() - {"log_group"}) or [
        one for one in REQUIRED if not defaults.get(one)
    ]
    if wrong:
        raise ConfigurationError(
            "ECS work pool",
            f"{', '.join(wrong)}: unknown or missing",
            f"Give {', '.join(REQUIRED)} and what else it has",
        )
    # prefect-aws would write to a group called prefect, which the role that starts runs may not.
    logs = {"configure_cloudwatch_logs": True, "cloudwatch_logs_options": {"awslogs-group": defaults.pop("log_group")}}
    common = {"cpu": 512, "memory": 1024, "env": {**WORKER_SETTINGS, **RESULT_STORAGE}, **logs}
    for name, value in {**common, **defaults}.items():
        variables[name]["default"] = value
    return made


if __name__ == "__main__":
    try:
        print(json.dumps(pool_template(**dict(one.split("=", 1) for one in sys.argv[1:])), indent=2))
    except (ConfigurationError, ValueError) as error:
        raise SystemExit(str(error)) from None
