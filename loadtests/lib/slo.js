// The one objective. `make load` passes the chart's `slo.latencyMs`; without it, the requirements' figure holds.
export const LATENCY_MS = Number(__ENV.SLO_LATENCY_MS || 200);

// Thresholds for the requests that carry these tags: fast enough, and none failed.
export function objective(tags = 'target:tasks') {
  return {
    [`http_req_duration{${tags}}`]: [`p(95)<${LATENCY_MS}`],
    [`http_req_failed{${tags}}`]: ['rate==0'],
    [`http_reqs{${tags}}`]: ['count>0'], // no request, no failure: that would be no proof
  };
}

// Every answer was the right one, not just one with the right status, and the script itself made no mistake.
export const correct = { checks: ['rate==1'], script_errors: ['count==0'] };
