"""Stores the newest features of training sets in Redis, after a run has brought new files."""

from __future__ import annotations

from gridtide.entries.entry import Config, Online
from gridtide.errors import CredentialsError, one_line
from gridtide.lake import Lake
from gridtide.threads import run_blocking


async def publish_online(config: Config, lake: Lake, url: str | None, *, only_absent: bool = False) -> list[str]:
    """Stores the newest hours of the sets that the configuration names under `online` in the server at `url`, the value
    of the variable that it names; with `only_absent` those that the server has no features of, as it was restarted, or
    they have expired.

    Returns a problem for each set that could not be stored; its features before then stay until they expire.
    """
    if config.online is None:
        return []
    problems = []
    for name in config.online.sets:
        try:
            await _publish_set(config, config.online, lake, name, url, only_absent)
        except Exception as error:  # whatever it is, the collection is over and has succeeded
            problems.append(f"the features of {name} were not stored online: {one_line(error)}")
    return problems


async def _publish_set(
    config: Config, online: Online, lake: Lake, name: str, url: str | None, only_absent: bool
) -> None:
    from gridtide.database.online_store import OnlineStore
    from gridtide.training.serving.online import name_key, publish_context
    from gridtide.training.stored.opening import open_stored_set

    if not url:
        happened = f"the environment variable {online.env} is not set"
        raise CredentialsError(name, happened, "Set it to redis://host:6379/0")
    view = await open_stored_set(f"features/{name}", lake)
    store = await run_blocking(OnlineStore, url)
    if only_absent and await run_blocking(store.has, name_key(view.manifest)):
        return
    await publish_context(view.manifest, view.mapped, config, lake, store, hours=online.hours, lifetime=online.lifetime)
