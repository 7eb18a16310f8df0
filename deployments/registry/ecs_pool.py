"""Writes the base job template of an ECS work pool: `python -m deployments.registry.ecs_pool NAME=VALUE … > pool.json`.

This is the template of prefect-aws with defaults for all runs. Required are image, cluster, vpc_id, task_role_arn,
execution_role_arn and log_group (of CloudWatch); all other variables of the template may be set too. pushgateway is the
URL of a Pushgateway that runs can reach, to which they push their metrics.
"""

from __future__ import annotations

import copy
import json
import sys
from typing import Any

from deployments.registry.run_settings import RUN_SETTINGS
from flows.run.metrics.exporting import PUSHGATEWAY
from gridtide.errors import ConfigurationError

REQUIRED = ("image", "cluster", "vpc_id", "task_role_arn", "execution_role_arn", "log_group")


RESULT_STORAGE = {"PREFECT_DEFAULT_RESULT_STORAGE_BLOCK": "s3-bucket/results"}
"""Runs share no disk, so the results that runs reuse are stored in the bucket of this block."""


def build_pool_template(**defaults: Any) -> dict[str, Any]:
    """The template with `defaults`; raises `ConfigurationError` for unknown names and for missing required ones."""
    from prefect_aws.workers import ECSWorker

    job_template = copy.deepcopy(ECSWorker.get_default_base_job_template())
    variables = job_template["variables"]["properties"]
    wrong = sorted(defaults.keys() - variables.keys() - {"log_group", "pushgateway"}) or [
        name for name in REQUIRED if not defaults.get(name)
    ]
    if wrong:
        raise ConfigurationError(
            "ECS work pool",
            f"{', '.join(wrong)}: unknown or missing",
            f"Set {', '.join(REQUIRED)}, and only variables of the template",
        )
    # By default prefect-aws writes to a log group named prefect, for which the execution role has no permission.
    logs = {"configure_cloudwatch_logs": True, "cloudwatch_logs_options": {"awslogs-group": defaults.pop("log_group")}}
    pushgateway = defaults.pop("pushgateway", None)
    metrics = {PUSHGATEWAY: pushgateway} if pushgateway else {}  # a task ends with its run: nothing can scrape it
    common = {"cpu": 512, "memory": 1024, "env": {**RUN_SETTINGS, **RESULT_STORAGE, **metrics}, **logs}
    for name, value in {**common, **defaults}.items():
        variables[name]["default"] = value
    return job_template


if __name__ == "__main__":
    try:
        print(json.dumps(build_pool_template(**dict(argument.split("=", 1) for argument in sys.argv[1:])), indent=2))
    except (ConfigurationError, ValueError) as error:
        raise SystemExit(str(error)) from None
