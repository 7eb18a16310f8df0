"""Compares forecasters on a training set, and writes their scores beside it.

spec ─► prepare ─┐
set ─────────────┴─► folds ─► each forecaster ─► scores ─► evaluation/scores.json, evaluation/report.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import copy_context
from pathlib import Path
from typing import Any, Literal

from prefect import runtime

from flows.run.local_flow import local_flow
from flows.run.progress import report_progress
from flows.run.report import Column, MarkdownArtifact, ReportLayout, RunReport, choose_status, finish
from flows.run.session import load_selected
from gridtide.evaluation.forecasters.registry import DEFAULT, find_forecasters
from gridtide.evaluation.score_report import list_scores, pick_scores
from gridtide.evaluation.scores import MEASURES, describe_score
from gridtide.evaluation.scoring import best_model, evaluate_set
from gridtide.lake import Lake
from gridtide.training import preparation
from gridtide.training.spec import TrainingSpec, load_spec
from tasks.lake import open_lake


def is_spec(source: TrainingSpec | dict[str, Any] | str) -> bool:
    """Whether `source` is a training spec, or the path of one, and not the place of a set."""
    return not isinstance(source, str) or (source.endswith(".json") and Path(source).is_file())


def _check_parameters(
    source: TrainingSpec | dict[str, Any] | str, config: str | dict[str, Any], models: Sequence[str], **_: Any
) -> None:
    find_forecasters(models or DEFAULT)
    if is_spec(source):
        load_spec(source)
        load_selected(config, None)


def _run_name() -> str:
    source = runtime.flow_run.parameters["source"]
    return f"evaluate {load_spec(source).name if is_spec(source) else Path(source).name}"


@local_flow(name="evaluate", flow_run_name=_run_name, check=_check_parameters)
async def evaluate(
    source: TrainingSpec | dict[str, Any] | str,
    config: str | dict[str, Any] = "api_config.json",
    lake: str | None = None,
    models: Sequence[str] = (),
    scheme: Literal["split", "rolling", "blocked"] = "split",
    folds: int = 5,
    target: int = 0,
    quantiles: bool = True,
    hidden: Sequence[str] = (),
    out: str | None = None,
) -> dict[str, Any]:
    """Compare forecasters on the windows of a training set, and write their scores beside it.

    Returns the report that `evaluation_report` describes. Raises `TrainingError` if nothing can be compared, and
    `RunError` after all others are scored if a forecaster fails.

    Args:
        source: The folder or URI of a training set; or a training spec, which is prepared first: the path of a JSON
            file, or its content.
        config: The configuration whose entries' files are read for a spec: the path of the file, or its content.
        lake: Folder or URI of the lake; the configuration's if empty.
        models: The forecasters, by default all that the set allows; "package.module:function" names one of your own.
        scheme: "split" learns from train and validation and predicts test; "rolling" predicts test in folds and learns
            anew before each; "blocked" predicts all windows in folds and learns from the others.
        folds: How many folds there are, for "rolling" and "blocked".
        target: The number of the target, from 0 on.
        quantiles: Estimate quantiles too, from errors on the last windows to learn from; this doubles the time.
        hidden: Patterns of series that forecasters that learn do not see, such as the operator's own forecast.
        out: Folder or URI to which `evaluation/` is written; that of the set if empty.
    """
    address = str(source) if not is_spec(source) else await _prepare(source, config, lake)
    target_lake = None if out is None else Lake.open(out)
    context = copy_context()  # the thread that compares has none, and would not find the watcher
    scores = await evaluate_set(
        *(address, models, scheme, folds, target),
        quantiles=quantiles,
        hidden=hidden,
        out=target_lake,
        watch=lambda name, finished, count: context.run(report_progress, name, finished, count),
    )
    return await finish(evaluation_report(scores))


async def _prepare(source: TrainingSpec | dict[str, Any] | str, config: str | dict[str, Any], lake: str | None) -> str:
    """Prepare the set of the spec `source`; returns its address."""
    loaded, _ = load_selected(config, None)
    opened_lake = await open_lake(lake or loaded.lake)
    described = await preparation.prepare(source, loaded, opened_lake)
    return f"{opened_lake.uri}/{described['path']}"


def evaluation_report(scores: Mapping[str, Any]) -> RunReport:
    """The report of a run that compared forecasters:

    - the keys of the scores that `gridtide.evaluation.comparison.score_comparison` describes, and `files`
    - `pipeline_status`: `success`; `partial` if a forecaster failed
    - `summary`: the number of `compared` steps, and of `models`
    - `results` per model, the best first: `name`, its measures over all locations and steps, `error`; those that failed
      last, with null for each measure
    """
    rows = sorted(pick_scores(scores, "all"), key=lambda row: float(row["mae"]))
    results = [{"name": row["model"], **{measure: row[measure] for measure in MEASURES}, "error": None} for row in rows]
    failed = scores["failed"]
    results += [{"name": name, **dict.fromkeys(MEASURES), "error": error} for name, error in failed.items()]
    summary = {"compared": scores["cells"]["compared"], "models": len(rows)}
    listed = " · ".join(f"{name}: {error}" for name, error in failed.items())
    failure = (f"{len(failed)} of {len(results)} forecasters failed", listed) if failed else None
    status = choose_status(len(failed), len(rows))
    return RunReport(EVALUATE_LAYOUT, status, results, summary, parameters=dict(scores), failure=failure)


def _write_headline(report: Mapping[str, Any]) -> str:
    best, cells = best_model(report), report["cells"]
    return (
        f"{report['set']}: {report['target']} in {report['unit']}, {cells['compared']:,} steps; best by mean absolute "
        f"error: {best['model']} ({describe_score(best, 'mae')}, {describe_score(best, 'mape')}); {report['files'][-1]}"
    )


def _write_markdown(report: Mapping[str, Any]) -> str:
    lines = [f"**{report['set']}** · {_write_headline(report)}", ""]
    lines += ["| model | " + " | ".join(map(str.upper, MEASURES)) + " |", "|---|" + "---:|" * len(MEASURES)]
    for row in sorted(pick_scores(report, "all"), key=lambda row: float(row["mae"])):
        lines.append(f"| {row['model']} | " + " | ".join(describe_score(row, measure) for measure in MEASURES) + " |")
    return "\n".join([*lines, *(f"\n{sentence}" for sentence in list_scores(report))])


def _format_measure(measure: str) -> Column:
    return Column(measure.upper(), lambda result: describe_score(result, measure))


EVALUATE_LAYOUT = ReportLayout(
    "evaluate",
    _write_headline,
    (Column("model", "name"), *map(_format_measure, MEASURES)),
    MarkdownArtifact("evaluation", _write_markdown),
    list_scores,
)
