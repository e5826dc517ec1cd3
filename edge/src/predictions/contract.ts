/** What the Worker and the Durable Object of a caller's predictions say to each other: plain values. */
import type { ImagePath } from '@blip2/shared/cache-key';
import { ApiError, type Problem } from '@blip2/shared/errors';
import type { Prompt } from '@blip2/shared/generation/prepare-prompt';
import type { ImageSource } from '../image/image-source.ts';
import type { Sender } from '../limits/limiter.ts';
import type { RequestContext } from '../request-context.ts';

/** How long predictions and files are stored, milliseconds. */
export const STORED_MS = 3_600_000;

/** All times are milliseconds since the epoch. */
export type StoredPrediction = {
  id: string;
  model: string;
  version: string;
  /** As it is shown. */
  input: Record<string, unknown>;
  status: 'starting' | 'processing' | 'succeeded' | 'failed' | 'canceled';
  output: string | null;
  /** What it is about, and since when that may be known: null until that has been read. */
  image: { path: ImagePath; sentAt: number } | null;
  error: string | null;
  createdAt: number;
  startedAt: number | null;
  endedAt: number | null;
  /** Who has it may read the stream. */
  token: string;
  /** Of who created it. */
  address: string;
};

/** An image, or a file that this caller may read: its bytes are read where the prediction is made, and only if they are needed. */
export type PredictionSource =
  | ImageSource
  | ({ kind: 'file' } & Pick<StoredFile, 'id' | 'sha256' | 'size'>);

/** A prediction to make, which has been validated. */
export type PredictionOrder = Pick<StoredPrediction, 'model' | 'version' | 'input'> & {
  source: PredictionSource;
  /** The member of the request that names the image. */
  field: string;
  prompt: Prompt;
  /** The same for requests that ask for the same. */
  fingerprint: string;
  /** What is known of the request beyond its own time. */
  context: Omit<RequestContext, 'signal' | 'deadlineAt' | 'waitUntil' | 'account' | 'onImage'>;
  /** Whose limits it counts in. */
  sender: Omit<Sender, 'waitUntil'>;
};

/** Where a page of a list begins: behind the prediction of this number. */
export type Cursor = { direction: 'older' | 'newer'; number: number };
export type Page = {
  predictions: StoredPrediction[];
  older: number | null;
  newer: number | null;
};

export type StoredFile = {
  id: string;
  name: string;
  type: string;
  size: number;
  sha256: string;
  /** The image within the cache namespace of who sent it. */
  image: ImagePath;
  /** JSON of an object. */
  metadata: string;
  createdAt: number;
  /** Who has it may read the bytes. */
  token: string;
  /** Of who uploaded it. */
  address: string;
};
export type NewFile = Pick<
  StoredFile,
  'name' | 'type' | 'sha256' | 'image' | 'metadata' | 'address'
> & {
  bytes: Uint8Array<ArrayBuffer>;
};
/** A file, and its bytes as they are read. */
export type FileContent = { file: StoredFile; bytes: ReadableStream<Uint8Array> };

/** Somebody with a signed URL. */
export type Visitor = { token: string; address: string };

/** A value, or the problem that there is none: errors lose their members on the way out of an object. */
export type Outcome<T> = { value: T } | { problem: Problem };

/** Somebody who waits for the end of a prediction, so many milliseconds at most. `waiter` is a name for `leave`. */
export type Waiting = { waiter: string; ms: number };

/** The object of one caller, as it is called from outside. */
export type Predictions = {
  /** The prediction as it begins, or for somebody who waits as it is at its end, or when that time is over. */
  create(order: PredictionOrder, waiting: Waiting | null): Promise<Outcome<StoredPrediction>>;
  /** Whoever waited under this name has gone away. */
  leave(waiter: string): Promise<void>;
  find(id: string): Promise<StoredPrediction | null>;
  cancel(id: string): Promise<StoredPrediction | null>;
  list(cursor: Cursor | null): Promise<Page>;
  /**
   * Its events from the beginning, or behind one.
   * @param visitor who asks with the token
   * @returns null where there is none, or the token is not its own
   */
  stream(id: string, after: number, visitor: Visitor): Promise<Outcome<Response> | null>;
  putFile(file: NewFile): Promise<StoredFile>;
  findFile(id: string): Promise<StoredFile | null>;
  listFiles(): Promise<StoredFile[]>;
  /** Its bytes, for a prediction of another object. */
  readFile(id: string): Promise<Uint8Array<ArrayBuffer> | null>;
  /** @returns null where there is none, or the token is not its own */
  downloadFile(id: string, visitor: Visitor): Promise<Outcome<FileContent> | null>;
  deleteFile(id: string): Promise<boolean>;
  /** Deletes the files that are this image, and the predictions about it that have ended. */
  deleteImage(image: ImagePath): Promise<void>;
};

/** @throws ApiError the problem */
export function valueFrom<T>(outcome: Outcome<T>): T {
  if ('value' in outcome) return outcome.value;
  throw ApiError.fromProblem(outcome.problem);
}
