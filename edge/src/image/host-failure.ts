/** What the network that is bound as `IMAGE_NETWORK` says of a host that sent no reply: where `npm start` binds it, `tools/host-network/`. */

/** In a reply of the network's own. Headers of hosts are handed on by name, and this one is none of them. */
export const HOST_FAILURE = 'blip2-host-failure';

/** A connection that was refused or ended before a valid reply; a name without a public address; TLS that failed. */
export const HOST_FAILURES = ['lost', 'no-address', 'insecure'] as const;
export type HostFailureReason = (typeof HOST_FAILURES)[number];

export class HostFailure extends Error {
  readonly reason: HostFailureReason;

  constructor(reason: HostFailureReason, cause?: unknown) {
    super(`The host sent no reply: ${reason}.`, { cause });
    this.reason = reason;
  }
}
