"""Writes the catalogue as a `prefect.yaml`, for `prefect deploy`."""

from __future__ import annotations

from typing import Any

import yaml
from prefect.deployments.runner import RunnerDeployment

from deployments.registry import catalogue
from deployments.registry.deploy import POOL
from gridtide.entries.entry import Config

HEADER = """\
# Made from the configuration by: gridtide deploy --yaml > deployments/prefect.yaml
# To be used in its folder by:    prefect --no-prompt deploy --all --prefect-file deployments/prefect.yaml
# `gridtide deploy` does the same; besides, it leaves alone what is unchanged or paused, and removes what is gone.
"""


def render_prefect_yaml(config: Config, path: str, lake: str | None, sandbox: bool | str, pool: str = POOL) -> str:
    """The text of a prefect.yaml with the deployments of the configuration at `path`."""
    deployments = catalogue.build_deployments(config, path, lake, sandbox)
    manifest = {"name": "gridtide", "deployments": [_build_item(deployment, pool) for deployment in deployments]}
    return HEADER + yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True, width=120)


def _build_item(deployment: RunnerDeployment, pool: str) -> dict[str, Any]:
    fields = deployment.model_dump(
        mode="json", include={"name", "version", "description", "tags", "parameters", "entrypoint"}
    )
    schedules = [
        {**item.schedule.model_dump(include={"cron", "rrule", "timezone"}), "slug": item.slug, "active": True}
        for item in deployment.schedules or ()
        if item.schedule
    ]
    options = deployment.concurrency_options
    limit = {"limit": deployment.concurrency_limit, "collision_strategy": options and options.collision_strategy.value}
    return {
        **fields,
        "schedules": schedules,
        "concurrency_limit": limit,
        "pull": [{"prefect.deployments.steps.set_working_directory": {"directory": "{{ $PWD }}"}}],
        "work_pool": {"name": pool},
    }
