# ruff: noqa: INP001  a script, in no package
"""The chart's rules and alerts for a Prometheus without an operator: what `make compose-rules` writes to rules.yaml."""

import shutil
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "compose" / "rules.yaml"


def rendered() -> str:
    helm = shutil.which("helm")
    if helm is None:
        raise SystemExit("helm is missing; get it with: make tools")
    command = [helm, "template", "tasks-service", str(ROOT / "helm" / "tasks-service"), "--namespace", "compose"]
    command += ["--kube-version", "1.31", "--set", "metrics.prometheusRule.enabled=true"]
    command += ["--show-only", "templates/prometheusrule.yaml"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603  our own chart
    groups = yaml.safe_load(text)["spec"]["groups"]
    head = "# Made from the chart by `make compose-rules`; a test fails when the two differ.\n"
    return head + yaml.safe_dump({"groups": groups}, sort_keys=False, width=1000)


if __name__ == "__main__":
    FILE.write_text(rendered())
    sys.stdout.write(f"{FILE.relative_to(ROOT)} written\n")
