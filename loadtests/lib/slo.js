// The one objective. `make load` passes the chart's `slo.latencyMs`; without it, the requirements' figure holds.
export const LATENCY_MS = Number(__ENV.SLO_LATENCY_MS || 200);

// Thresholds for the requests that carry these tags: fast enough, and none failed.
export function objective(tags = 'target:tasks') {
  return { ...fast(tags), [`http_req_failed{${tags}}`]: ['rate==0'] };
}

export function fast(tags = 'target:tasks') {
  return { [`http_req_duration{${tags}}`]: [`p(95)<${LATENCY_MS}`] };
}

// Every answer was the right one, not just one with the right status.
export const correct = { checks: ['rate==1'] };
