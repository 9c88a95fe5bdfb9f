"""deploy/alerts-fleet.yml: each alert is raised by what it is about, and by nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.docs.pages import rows, text_of

ALERTS = ROOT / "deploy" / "alerts-fleet.yml"
PROMTOOL = shutil.which("promtool")
QUIET = {
    'abaco_executions{status="SUBMITTED"}': "5x200",
    'abaco_executions{status="RUNNING"}': "3x200",
    "abaco_messages_postponed": "1x200",
    'abaco_node_processes{instance="one"}': "4x200",
    'abaco_node_processes{instance="two"}': "4x200",
    'abaco_node_busy{instance="one"}': "3x200",
    'abaco_node_busy{instance="two"}': "0x200",
    'abaco_node_draining{instance="one"}': "0x200",
    'abaco_node_draining{instance="two"}': "0x200",
    'rabbitmq_detailed_queue_messages{queue="abaco.dead"}': "0x200",
}
LOUD: dict[str, dict[str, str | None]] = {
    "PipelineJobsNoNodes": {
        'abaco_executions{status="RUNNING"}': "0x200",
        **dict.fromkeys((name for name in QUIET if "node" in name), None),
    },
    "PipelineJobsRingsNotHeard": {
        'abaco_executions{status="RUNNING"}': "0x200",
        'abaco_node_busy{instance="one"}': "0x200",
    },
    "PipelineJobsLeasesLeft": {'abaco_executions{status="RUNNING"}': "4x200"},
    "PipelineJobsNodesBusy": {
        'abaco_executions{status="RUNNING"}': "8x200",
        'abaco_node_busy{instance="one"}': "4x200",
        'abaco_node_busy{instance="two"}': "4x200",
    },
    "PipelineJobsNodeDrainsLong": {'abaco_node_draining{instance="two"}': "1x200"},
    "PipelineJobsRingsDead": {'rabbitmq_detailed_queue_messages{queue="abaco.dead"}': "1x200"},
}


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    return list(group["rules"])


def test_they_ask_for_metrics_that_there_are_and_are_documented() -> None:
    known = {
        name
        for file in ("abaco/workers/fleet/node.py", "abaco/http/metrics.py")
        for name in re.findall(r'"(abaco_\w+)"', (ROOT / file).read_text())
    } | {"abaco_executions"}
    asked = {name for rule in rules() for name in re.findall(r"abaco_\w+", rule["expr"])}
    assert len(asked) > 4
    assert asked <= known
    table = rows(text_of("docs/fleet.md"), "alert | what to do")
    assert [alert.strip("`") for alert, _ in table] == [rule["alert"] for rule in rules()]


@pytest.mark.skipif(PROMTOOL is None, reason="promtool is not found: prometheus")
def test_each_is_raised_by_what_it_is_about_and_by_nothing_else(tmp_path: Path) -> None:
    def case(changes: dict[str, str | None], raised: str) -> dict[str, Any]:
        series = {name: values for name, values in {**QUIET, **changes}.items() if values}
        labels = f'{{alertname="{raised}"}}'
        return {
            "interval": "1m",
            "input_series": [{"series": name, "values": each} for name, each in series.items()],
            "promql_expr_test": [
                {
                    "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                    "eval_time": "190m",
                    "exp_samples": [{"labels": labels, "value": 1}] if raised else [],
                }
            ],
        }

    assert set(LOUD) == {rule["alert"] for rule in rules()}
    cases = [case({}, ""), *(case(changes, raised) for raised, changes in LOUD.items())]
    file = tmp_path / "cases.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "tests": cases}))
    done = subprocess.run(
        [str(PROMTOOL), "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
