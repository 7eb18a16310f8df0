"""Who is told, and what of: receivers as notify blocks, the files of `automations/` as automations."""

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
"""What the names of our automations begin with."""


VARIABLE = "GRIDTIDE_NOTIFY"
"""The environment variable that names the receivers, by URLs with spaces between them."""


WEBHOOKS = {"http": "json", "https": "jsons"}
"""The scheme of a URL that takes JSON, and what Apprise calls it."""


async def apply_notifications(
    client: PrefectClient, named: Mapping[str, SlackWebhook], folder: Path = AUTOMATIONS
) -> list[Change]:
    """Make the receivers those that are `named`, if any are, and the automations those of `folder`.

    An automation that is disabled stays so. One that only notifies is left out where nobody is to be told.
    """
    for name, block in named.items():
        await _save(name, block)
    known = await read_receivers(client)
    gone = [one for one in known if named and one.name not in named]
    blocks = [one.block for one in known if one not in gone]
    there = {one.name: one for one in await client.read_automations() if one.name.startswith(PREFIX)}
    wanted = [await _automation(client, data, blocks) for data in _files(folder)]
    changes = [await _mend(client, one, there.get(one.name)) for one in wanted if one.actions]
    for name in sorted(there.keys() - {one.name for one in wanted if one.actions}):
        await client.delete_automation(there[name].id)
        changes.append(Change(name, "removed"))
    for one in gone:  # of which no automation speaks any more
        await client.delete_block_document(one.block)  # type: ignore[arg-type]  # takes text as well
        changes.append(Change(one.name, "removed"))
    return changes


async def _mend(client: PrefectClient, wanted: AutomationCore, there: Automation | None) -> Change:
    if there is None:
        await client.create_automation(wanted)
        return Change(wanted.name, "created")
    kept = wanted.model_copy(update={"enabled": there.enabled})
    parts = ("description", "trigger", "actions")
    differing = [part for part in parts if _plain(kept, part) != _plain(there, part)]
    if not differing:
        return Change(wanted.name, "unchanged")
    await client.update_automation(there.id, kept)
    return Change(wanted.name, "changed", differing)


def _plain(automation: AutomationCore, part: str) -> Any:
    """A part of `automation` without what the server adds: ids of triggers, and the order of sets."""

    def sorted_out(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: sorted_out(each) for key, each in value.items() if key != "id"}
        if isinstance(value, list):
            return sorted((sorted_out(each) for each in value), key=str)
        return value

    return sorted_out(automation.model_dump(mode="json", include={part}))


def _files(folder: Path) -> list[dict[str, Any]]:
    """The files of `folder`: Prefect's own form of an automation, but that `notify` stands for one action
    per receiver, and that a deployment to run is named `flow/name`."""
    return [yaml.safe_load(path.read_text()) for path in sorted(folder.glob("*.yaml"))]


async def _automation(client: PrefectClient, data: dict[str, Any], blocks: Sequence[str]) -> AutomationCore:
    """The automation that a file means."""
    actions = data.pop("actions", [])
    for action in actions:
        if "deployment" in action:
            action["deployment_id"] = (await client.read_deployment_by_name(action.pop("deployment"))).id
    message = data.pop("notify", None)
    if message:
        actions += [{"type": "send-notification", "block_document_id": block, **message} for block in blocks]
    return AutomationCore.model_validate({**data, "actions": actions})


async def _save(name: str, block: SlackWebhook) -> None:
    """Keep a receiver as a block, where the server finds and encrypts it."""
    try:
        kept: SlackWebhook = await SlackWebhook.aload(name)
        same = kept.url == block.url
    except ValueError:  # what Prefect raises for a block that does not exist
        same = False
    if not same:
        await block.asave(name, overwrite=True)


def read_receiver_blocks() -> dict[str, SlackWebhook]:
    """The receivers that the environment names, by the names of their blocks.

    Raises `ConfigurationError` for one that is none.
    """
    urls = os.environ.get(VARIABLE, "").split()
    return {f"{RECEIVER_PREFIX}-{number}": receiver_block(url) for number, url in enumerate(urls, 1)}


def receiver_block(url: str) -> SlackWebhook:
    """The notify block for `url`: a webhook that takes JSON, or what else Apprise knows (Slack, `mailtos://…`).

    Raises `ConfigurationError`, without the URL, which may hold a secret, where it is neither.
    """
    parts = urlsplit(url)
    if parts.scheme.startswith("mailto"):
        url = urlunsplit(parts._replace(query=f"{parts.query}&format=text".lstrip("&")))  # which keeps the lines
    if parts.scheme in WEBHOOKS and not (parts.hostname or "").startswith("hooks.slack"):
        query = urlencode([(f"-{key}", value) for key, value in parse_qsl(parts.query)])  # so Apprise passes it on
        url = urlunsplit(parts._replace(scheme=WEBHOOKS[parts.scheme], query=query))
    if not Apprise().add(url):
        raise ConfigurationError(
            VARIABLE,
            f"a receiver with the scheme {parts.scheme or 'missing'} is none that Apprise takes",
            "Use https://… for a webhook or Slack, mailtos://user:password@host?to=you@host for e-mail, or another "
            "URL of Apprise",
        )
    # Of the blocks that the server knows, the one that hands any URL on to Apprise as it is.
    return SlackWebhook(url=SecretStr(url))
