"""The lineage of a training set or a file as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby

from deployments.cli.console import count_noun
from gridtide.catalog.corrections import describe_correction
from gridtide.catalog.lineage.kept_bodies import Body
from gridtide.catalog.lineage.tracing import FileLineage, Lineage

CORRECTION_KINDS = {"aliases": "alias", "shifts": "shift"}
"""The kinds of corrections, by their key in a manifest."""


def write_lineage(lineage: Lineage) -> str:
    """`lineage` as indented lines: the subject, its files by entry, and below each file what it was made from and what
    was made from it."""
    return "\n".join(_list_lines(lineage))


def _list_lines(lineage: Lineage) -> Iterator[str]:
    bodies = {body.path: body for file in lineage.files for body in file.bodies}
    yield f"{lineage.kind} {lineage.subject}"
    if description := lineage.training_set:
        yield f"  manifest {description.path}, fingerprint {description.fingerprint}"
        yield f"  {' to '.join(description.period)}; targets {', '.join(description.targets)}"
        yield f"  made with {', '.join(f'{name} {version}' for name, version in sorted(description.versions.items()))}"
        for kind, records in sorted(description.corrections.items()):
            for record in records:
                correction = {"since": None, "before": None, **record, "kind": CORRECTION_KINDS[kind]}
                yield f"  corrected: {record['series']}, {describe_correction(correction)}"
    size = sum(body.size for body in bodies.values())
    yield f"  {count_noun(len(lineage.files), 'file', 'files')}{_count_states(lineage)}; {_count_bodies(bodies, size)}"
    for entry, files in groupby(
        sorted(lineage.files, key=lambda file: (file.entry, file.path)), lambda file: file.entry
    ):
        yield f"  {entry or 'no entry known'}"
        for file in files:
            yield from _list_file(file)


def _count_states(lineage: Lineage) -> str:
    states = Counter(file.state for file in lineage.files if file.state != "present")
    return f" ({', '.join(f'{count} {state}' for state, count in sorted(states.items()))})" if states else ""


def _count_bodies(bodies: dict[str, Body], size: int) -> str:
    return f"{count_noun(len(bodies), 'body', 'bodies')} ({size:,} bytes)" if bodies else "no bodies are kept"


def _list_file(file: FileLineage) -> Iterator[str]:
    stored_text = f" stored {file.stored_at:%Y-%m-%dT%H:%M:%SZ}" if file.stored_at else ""
    rows = "" if file.rows is None else f" {count_noun(file.rows, 'row', 'rows')}"
    yield f"    {file.path} [{file.state}]{rows}{stored_text} content {file.content_hash or 'not known'}"
    if file.version:
        yield f"      written by version {file.version}, configuration {file.fingerprint}"
    for body in file.bodies:
        yield f"      from {body.path} {_describe_body(body)}"
    if file.months:
        yield f"      in months {', '.join(file.months)}"
    if file.sets:
        yield f"      in sets {', '.join(file.sets)}"


def _describe_body(body: Body) -> str:
    if body.problem or body.retrieved_at is None:
        return body.problem or "not read"
    return f"sha256 {body.sha256} {body.url} at {body.retrieved_at:%Y-%m-%dT%H:%M:%SZ}"
