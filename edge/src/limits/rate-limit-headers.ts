/** Where a caller stands as headers: the fields of draft-ietf-httpapi-ratelimit-headers, and those of OpenAI's API. */
import { POLICIES, type Policy, type Standings } from './limits.ts';

/** Parameters of a policy beside its quota. */
const PARAMETERS: Record<Policy, string> = {
  requests: ';w=60',
  tokens: ';w=60;qu="tokens"',
  images: ';w=86400;qu="images"',
  streams: ';qu="concurrent-requests"',
};

/**
 * Two lists of structured fields (RFC 9651), with an item for each policy that has a limit: `q` of a unit in `w` seconds;
 * `r` are left, and after `t` seconds there are more.
 * @example
 * rateLimitFields({ requests: { limit: 60, remaining: 59, moreMs: 59_200, allMs: 59_200 } })
 * // { 'ratelimit-policy': '"requests";q=60;w=60', ratelimit: '"requests";r=59;t=60' }
 */
export function rateLimitFields(standings: Standings): Record<string, string> {
  const policies: string[] = [];
  const left: string[] = [];
  for (const policy of POLICIES) {
    const standing = standings[policy];
    if (standing === undefined) continue;
    const { limit, remaining, moreMs } = standing;
    policies.push(`"${policy}";q=${limit}${PARAMETERS[policy]}`);
    left.push(`"${policy}";r=${remaining}${moreMs > 0 ? `;t=${seconds(moreMs)}` : ''}`);
  }
  if (policies.length === 0) return {};
  return { 'ratelimit-policy': policies.join(', '), ratelimit: left.join(', ') };
}

/** As OpenAI's API names them: for requests and for tokens. */
export function openAiFields(standings: Standings): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const policy of ['requests', 'tokens'] as const) {
    const standing = standings[policy];
    if (standing === undefined) continue;
    fields[`x-ratelimit-limit-${policy}`] = String(standing.limit);
    fields[`x-ratelimit-remaining-${policy}`] = String(standing.remaining);
    fields[`x-ratelimit-reset-${policy}`] = duration(seconds(standing.allMs));
  }
  return fields;
}

const seconds = (ms: number) => Math.max(0, Math.ceil(ms / 1000));

/** @example duration(61) // '1m1s' */
function duration(total: number): string {
  const minutes = Math.floor(total / 60);
  return `${minutes > 0 ? `${minutes}m` : ''}${total % 60}s`;
}
