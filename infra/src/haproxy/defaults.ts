/** What both configurations of HAProxy begin with: streams, whose tokens nothing holds back. */
export const DEFAULTS = `defaults
  mode http
  log global
  option dontlognull
  # Without it each token waits 50 ms for the next one.
  option http-no-delay
  timeout connect 1s
  timeout http-request 10s
  timeout http-keep-alive 30s
  timeout client 120s
  timeout server 120s
  timeout queue 10s`;
