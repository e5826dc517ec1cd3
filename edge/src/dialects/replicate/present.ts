/** Predictions and files as Replicate's clients read them. */
import type { ReplicateFile } from '@blip2/shared/schemas/replicate/file';
import type { Prediction } from '@blip2/shared/schemas/replicate/prediction';
import { STORED_MS, type StoredFile, type StoredPrediction } from '../../predictions/contract.ts';

/** @param base of the addresses in replies */
export function shownPrediction(stored: StoredPrediction, base: string): Prediction {
  const { id, createdAt, startedAt, endedAt } = stored;
  const self = `${base}/predictions/${id}`;
  return {
    id,
    model: stored.model,
    version: stored.version,
    status: stored.status,
    input: stored.input,
    output: stored.output === null ? null : shownText(stored.output),
    error: stored.error,
    logs: '',
    created_at: timeOf(createdAt),
    started_at: startedAt === null ? null : timeOf(startedAt),
    completed_at: endedAt === null ? null : timeOf(endedAt),
    data_removed: false,
    source: 'api',
    metrics:
      endedAt === null
        ? {}
        : {
            ...(startedAt !== null && { predict_time: (endedAt - startedAt) / 1000 }),
            total_time: (endedAt - createdAt) / 1000,
          },
    urls: {
      get: self,
      cancel: `${self}/cancel`,
      stream: `${base}/stream/${id}?token=${stored.token}`,
    },
  };
}

/** Clients take a text that begins so for the address of a file, and fetch it. */
function shownText(text: string): string {
  return /^(https|data):/.test(text) ? ` ${text}` : text;
}

export function shownFile(file: StoredFile, base: string): ReplicateFile {
  const self = `${base}/files/${file.id}`;
  return {
    id: file.id,
    name: file.name,
    content_type: file.type,
    size: file.size,
    etag: file.sha256,
    checksums: { sha256: file.sha256 },
    metadata: JSON.parse(file.metadata),
    created_at: timeOf(file.createdAt),
    expires_at: timeOf(file.createdAt + STORED_MS),
    urls: { get: self, download: `${self}/download?token=${file.token}` },
  };
}

const timeOf = (ms: number) => new Date(ms).toISOString();
