/** The webhook that a request asks for, checked before anything is created. */
import type { JobEvent, WebhookRequest } from '@blip2/shared/schemas/jobs/parts';
import { JOB_EVENTS } from '@blip2/shared/schemas/jobs/parts';
import type { Dependencies } from '../../dependencies.ts';
import type { JobWebhook } from '../../jobs/contract.ts';
import type { JobKind } from '../../jobs/job-index-contract.ts';
import { checkWebhookUrl } from '../../jobs/webhooks/webhook-url.ts';

const SECRET_BYTES = 32;

/** The webhook, and the secret that was made for it where none was sent. */
export type AskedWebhook = { webhook?: JobWebhook; secret?: string };

/** @throws ApiError `invalid-request` */
export function webhookOf(
  kind: JobKind,
  asked: WebhookRequest | undefined,
  { config }: Dependencies,
): AskedWebhook {
  if (asked === undefined) return {};
  const url = checkWebhookUrl(asked.url, { allowPrivate: config.allowPrivateImageUrls }).href;
  const events = (asked.events ?? JOB_EVENTS).map((event) => eventType(kind, event));
  if (asked.secrets !== undefined) return { webhook: { url, secrets: asked.secrets, events } };
  const secret = `whsec_${crypto.getRandomValues(new Uint8Array(SECRET_BYTES)).toBase64()}`;
  return { webhook: { url, secrets: [secret], events }, secret };
}

/** @example eventType('batch', 'completed') // 'batch.completed' */
function eventType(kind: JobKind, event: JobEvent): string {
  return `${kind}.${event}`;
}
