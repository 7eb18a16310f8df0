"""Registers the receivers of notifications as Prefect blocks, and the files of `automations/` as automations."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import yaml
from apprise import Apprise
from prefect.blocks.notifications import SlackWebhook
from prefect.client.orchestration import PrefectClient
from prefect.events.schemas.automations import Automation, AutomationCore
from pydantic import SecretStr

from deployments.registry.changes import Change
from gridtide.errors import ConfigurationError
from tasks.notify.deliver import RECEIVER_PREFIX, read_receivers

AUTOMATIONS = Path(__file__).parents[1] / "automations"


PREFIX = "gridtide: "
"""The prefix of the names of Gridtide's automations."""


VARIABLE = "GRIDTIDE_NOTIFY"
"""The environment variable with the URLs of the receivers, separated by spaces."""


WEBHOOKS = {"http": "json", "https": "jsons"}
"""The scheme of a webhook that takes JSON, and the scheme that Apprise has for it."""


async def apply_notifications(
    client: PrefectClient, blocks: Mapping[str, SlackWebhook], folder: Path = AUTOMATIONS
) -> list[Change]:
    """Make the automations of the server match `folder`, and its receivers match `blocks`, unless `blocks` is empty.

    A disabled automation stays disabled. An automation that only notifies is left out if there is no receiver.
    """
    for name, block in blocks.items():
        await _save_block(name, block)
    receivers = await read_receivers(client)
    obsolete = [receiver for receiver in receivers if blocks and receiver.name not in blocks]
    block_ids = [receiver.block for receiver in receivers if receiver not in obsolete]
    existing = {
        automation.name: automation
        for automation in await client.read_automations()
        if automation.name.startswith(PREFIX)
    }
    automations = [await _build_automation(client, data, block_ids) for data in _read_files(folder)]
    automations = [automation for automation in automations if automation.actions]
    changes = [await _apply(client, automation, existing.get(automation.name)) for automation in automations]
    for name in sorted(existing.keys() - {automation.name for automation in automations}):
        await client.delete_automation(existing[name].id)
        changes.append(Change(name, "removed"))
    for receiver in obsolete:  # last, when no automation refers to their blocks
        await client.delete_block_document(receiver.block)  # type: ignore[arg-type]  # takes text as well
        changes.append(Change(receiver.name, "removed"))
    return changes


async def _apply(client: PrefectClient, automation: AutomationCore, current: Automation | None) -> Change:
    if current is None:
        await client.create_automation(automation)
        return Change(automation.name, "created")
    automation = automation.model_copy(update={"enabled": current.enabled})
    parts = ("description", "trigger", "actions")
    differing = [part for part in parts if _normalise_part(automation, part) != _normalise_part(current, part)]
    if not differing:
        return Change(automation.name, "unchanged")
    await client.update_automation(current.id, automation)
    return Change(automation.name, "changed", differing)


def _normalise_part(automation: AutomationCore, part: str) -> Any:
    """A part of `automation` without the ids of triggers and the order of lists, which the server chooses."""

    def normalise(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: normalise(item) for key, item in value.items() if key != "id"}
        if isinstance(value, list):
            return sorted((normalise(item) for item in value), key=str)
        return value

    return normalise(automation.model_dump(mode="json", include={part}))


def _read_files(folder: Path) -> list[dict[str, Any]]:
    """The contents of the files of `folder`. They are automations in Prefect's format, with two differences: `notify`
    stands for an action per receiver, and a deployment is named `flow/name`."""
    return [yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yaml"))]


async def _build_automation(client: PrefectClient, data: dict[str, Any], block_ids: Sequence[str]) -> AutomationCore:
    """The automation that the `data` of a file describes."""
    actions = data.pop("actions", [])
    for action in actions:
        if "deployment" in action:
            action["deployment_id"] = (await client.read_deployment_by_name(action.pop("deployment"))).id
    message = data.pop("notify", None)
    if message:
        actions += [{"type": "send-notification", "block_document_id": block, **message} for block in block_ids]
    return AutomationCore.model_validate({**data, "actions": actions})


async def _save_block(name: str, block: SlackWebhook) -> None:
    """Save a receiver as a block, which the server encrypts, unless a block with the same URL exists."""
    try:
        saved: SlackWebhook = await SlackWebhook.aload(name)
        unchanged = saved.url == block.url
    except ValueError:  # what Prefect raises for a block that does not exist
        unchanged = False
    if not unchanged:
        await block.asave(name, overwrite=True)


def read_receiver_blocks() -> dict[str, SlackWebhook]:
    """The receivers that the environment variable `VARIABLE` lists, by the names of their blocks.

    Raises `ConfigurationError` for a URL that Apprise does not accept.
    """
    urls = os.environ.get(VARIABLE, "").split()
    return {f"{RECEIVER_PREFIX}-{number}": build_receiver_block(url) for number, url in enumerate(urls, 1)}


def build_receiver_block(url: str) -> SlackWebhook:
    """The notify block for `url`: a webhook that accepts JSON, or another URL of Apprise (Slack, `mailtos://…`).

    Raises `ConfigurationError` for any other URL. The message does not contain the URL, which may contain a secret.
    """
    parts = urlsplit(url)
    if parts.scheme.startswith("mailto"):  # as HTML, the lines would be joined
        url = urlunsplit(parts._replace(query=f"{parts.query}&format=text".lstrip("&")))
    if parts.scheme in WEBHOOKS and not (parts.hostname or "").startswith("hooks.slack"):
        # Apprise passes query parameters on to the webhook if they begin with a dash.
        query = urlencode([(f"-{key}", value) for key, value in parse_qsl(parts.query)])
        url = urlunsplit(parts._replace(scheme=WEBHOOKS[parts.scheme], query=query))
    if not Apprise().add(url):
        raise ConfigurationError(
            VARIABLE,
            f"a receiver with the scheme {parts.scheme or 'missing'} is not one that Apprise accepts",
            "Use https://… for a webhook or Slack, mailtos://user:password@host?to=you@host for e-mail, or another "
            "URL of Apprise",
        )
    # SlackWebhook is the only block type of the server that passes any URL on to Apprise unchanged.
    return SlackWebhook(url=SecretStr(url))
