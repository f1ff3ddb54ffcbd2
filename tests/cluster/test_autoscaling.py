"""Load from within the cluster raises the number of pods, its end lowers it, and no connection breaks on the way."""

import json
import os

from tests.cluster.kube import Namespace, Refused
from tests.cluster.running import config_map, pod, until_it_ends
from tests.packaging.chart import CHART
from tests.support.drill import eventually, report
from tests.support.tools import missing

K6_IMAGE = os.environ.get("K6_IMAGE") or "docker.io/grafana/k6:1.8.1"
K6 = ["k6", "run", "--quiet", "--no-usage-report", "/k6/script.js"]
AUTOSCALED = (
    "autoscaling.enabled=true",
    "autoscaling.minReplicas=1",
    "autoscaling.maxReplicas=3",
    "autoscaling.behavior.scaleDown.stabilizationWindowSeconds=30",
    "autoscaling.behavior.scaleDown.policies[0].type=Percent",
    "autoscaling.behavior.scaleDown.policies[0].value=100",
    "autoscaling.behavior.scaleDown.policies[0].periodSeconds=15",
)
SCRIPT = """
import http from 'k6/http';
import { check } from 'k6';
import { Counter } from 'k6/metrics';
const json = { headers: { 'Content-Type': 'application/json' } };
const statuses = Object.fromEntries([0, 429, 503].map((status) => [status, new Counter(`status_${status}`)]));
export const options = {
  scenarios: { steady: { executor: 'constant-arrival-rate', rate: 90, timeUnit: '1s', duration: '180s',
    preAllocatedVUs: 60, maxVUs: 200 } },
};
export function setup() {
  return [...Array(10).keys()].map((number) => {
    const body = JSON.stringify({ email: `k6-${Date.now()}-${number}@example.com`, password: 'correct horse battery' });
    const session = http.post(`${__ENV.BASE_URL}/api/auth/signup`, body, json).json();
    return { path: `${__ENV.BASE_URL}/api/${session.user.id}/tasks`, token: session.access_token };
  });
}
export default function (users) {
  const user = users[__VU % users.length];
  const headers = { Authorization: `Bearer ${user.token}` };
  const answer = http.get(`${user.path}?limit=20`, { headers });
  check(answer, { served: () => answer.status === 200 });
  if (statuses[answer.status]) statuses[answer.status].add(1);
}
export function handleSummary(data) {
  const { passes, fails } = data.metrics.checks.values;
  const counted = Object.keys(statuses).map((status) => [status, data.metrics[`status_${status}`]?.values.count]);
  return { stdout: JSON.stringify({ passes, fails, statuses: Object.fromEntries(counted) }) };
}
"""


def test_load_raises_pods_and_its_end_lowers_them(space: Namespace) -> None:
    try:
        space.kubectl("get", "--raw", "/apis/metrics.k8s.io/v1beta1/nodes")
    except Refused:
        missing("the cluster's metrics-server", "kubectl apply --filename components.yaml")
    space.release("install", *AUTOSCALED)
    assert space.all_ready() == 1
    space.apply(
        config_map("k6", {"script.js": SCRIPT}),
        pod("k6", K6, "/k6", image=K6_IMAGE, BASE_URL="http://tasks-service", HOME="/tmp"),
    )
    raised = eventually(lambda: space.all_ready() == 3, 170)
    served = json.loads(until_it_ends(space, "k6", 300).splitlines()[-1])
    lowered = eventually(lambda: space.all_ready() == 1, 240)
    report("autoscaling", raised_after=raised, lowered_after=lowered, **served)
    assert served["passes"] > 5000
    # The first pod refuses a little while it is alone. That no connection breaks is what scaling owes.
    assert served["fails"] == sum(served["statuses"].get(refused, 0) for refused in ("429", "503")), served
    assert served["fails"] <= served["passes"] / 100, served
    space.kubectl("delete", "pod/k6", "configmap/k6")
    turn_it_off(space)
    space.helm("uninstall", "tasks", "--wait")


def turn_it_off(space: Namespace) -> None:
    """By what docs/operations.md says."""
    off = ("upgrade", "tasks", CHART, "--reuse-values", "--set", "autoscaling.enabled=false", "--wait")
    space.helm(*off, "--force-conflicts")
    space.until_ready(2)
