// What a run can be told by its environment (`k6 run -e NAME=value`, or `make load SCRIPT=... NAME=value`).
export const BASE_URL = (__ENV.BASE_URL || 'http://127.0.0.1:8000').replace(/\/+$/, '');
export const ADMIN_URL = (__ENV.ADMIN_URL || '').replace(/\/+$/, '');

export function number(name, fallback) {
  const value = Number(__ENV[name] || fallback);
  if (!(value > 0)) throw new Error(`${name} must be a number above 0`);
  return value;
}

// DURATION, such as 90s or 1h30m, in seconds.
export function duration(fallback) {
  const text = __ENV.DURATION || fallback;
  const parts = [...text.matchAll(/(\d+)(h|m|s)/g)];
  if (parts.map(([part]) => part).join('') !== text || !text) throw new Error('DURATION must look like 90s or 1h30m');
  return parts.reduce((sum, [, count, unit]) => sum + count * { h: 3600, m: 60, s: 1 }[unit], 0);
}
