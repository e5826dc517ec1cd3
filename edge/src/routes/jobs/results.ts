/** `GET /v1/jobs/{id}/results`: a line for each item that has ended, as it comes from the parts. */
import { ApiError } from '@blip2/shared/errors';
import { JobResultsQuery, RESULT_FORMATS } from '@blip2/shared/schemas/jobs/query';
import { matchesTag, negotiateOrRefuse } from '../../http/content-negotiation.ts';
import { readQuery } from '../../http/read-query.ts';
import { ENDED, type JobSnapshot, type ResultCursor } from '../../jobs/contract.ts';
import { parsedLine } from '../../jobs/stored-line.ts';
import { clientIn, type Handler } from '../app-context.ts';
import { type HeldReply, holdReply } from '../large-reply.ts';
import { jobOf } from './job-access.ts';
import { taskOf } from './present.ts';
import { heldOf, ranged, rendered, streamed } from './rendered-lines.ts';
import { csvHeader, csvRow } from './result-csv.ts';
import { jobLine, jobLineText } from './result-lines.ts';

/** What the bytes of a format are, for tags: a download of an older form is not gone on with in a newer one. */
const FORMS = { ndjson: 'ndjson', csv: 'csv-2' } as const;
const TYPES = { ndjson: 'application/x-ndjson', csv: 'text/csv' } as const;
type Format = (typeof RESULT_FORMATS)[number];

export const readResults: Handler = async (c, deps) => {
  const { id, snapshot } = await jobOf(c, deps, 'job', c.req.param('job_id') ?? '');
  const query = readQuery(c.req.url, JobResultsQuery);
  const format = query.format ?? formatOf(c.req.header('accept'));
  expectResults(snapshot);
  const isEnded = ENDED.has(snapshot.state);
  const { status: which = 'all', cursor } = query;
  const head = format === 'csv' ? csvHeader(taskOf(snapshot.order.url)) : '';
  const from = cursor === undefined ? null : behind(cursor);
  let sending: HeldReply | undefined;
  const hold = () => {
    sending = holdReply(c, deps.config, heldOf(snapshot, which));
    return sending;
  };
  const linesFrom = (place: ResultCursor | null) =>
    rendered(deps, clientIn(c, deps.config), snapshot, {
      from: place,
      which,
      overGaps: isEnded || (query.gaps ?? false),
      head,
      write: writerOf(format, snapshot),
      onMade: (bytes) => sending?.onMade(bytes),
    });
  const lines = linesFrom(from);
  const headers = { 'content-type': TYPES[format], vary: 'accept' };
  if (!isEnded) {
    return new Response(await streamed(lines, hold()), {
      headers: { ...headers, 'cache-control': 'no-store' },
    });
  }
  const tagOf = (place: string) => `"${id.slice(0, 32)}-${FORMS[format]}-${which}-${place}"`;
  const tag = tagOf(cursor ?? '');
  const lasting = { ...headers, etag: tag, 'cache-control': 'private, no-cache' };
  if (matchesTag(c.req.header('if-none-match'), tag)) {
    return new Response(null, { status: 304, headers: lasting });
  }
  const ifRange = c.req.header('if-range');
  const range = ifRange === undefined || ifRange === tag ? c.req.header('range') : undefined;
  const all = from && {
    ...{ lines: linesFrom(null), tag: `${id}${tagOf('')}` },
    ...{ from, headBytes: new TextEncoder().encode(head).length },
  };
  const of = { tag: `${id}${tag}`, ...(all && { behind: all }) };
  // To count how long they are takes as much memory.
  const held = hold();
  try {
    return await ranged(lines, { ...of, range, headers: lasting, sending: held });
  } catch (thrown) {
    held.onEnd();
    throw thrown;
  }
};

/** @throws ApiError `job-not-ready` where there is nothing to read, and never was */
export function expectResults({ state, parts }: JobSnapshot): void {
  if (state === 'validating') {
    const detail =
      'The lines of this job are still being read: ask for it until it is in_progress, or watch its events.';
    throw new ApiError('job-not-ready', detail, { retry_after: 1 });
  }
  if (state !== 'failed' || parts > 0) return;
  const detail =
    'This job failed before anything ran: its errors name the lines to mend; create another with them.';
  throw new ApiError('job-not-ready', detail);
}

function formatOf(accept: string | undefined): Format {
  const type = negotiateOrRefuse(accept, Object.values(TYPES));
  return RESULT_FORMATS.find((format) => TYPES[format] === type) ?? 'ndjson';
}

/** The place behind the line with a cursor. */
function behind(cursor: string): ResultCursor {
  const [part = 0, item = 0] = cursor.split(':').map(Number);
  return { part, item: item + 1 };
}

function writerOf(format: Format, { order }: JobSnapshot): (line: string) => string {
  if (format === 'ndjson') return jobLineText;
  const task = taskOf(order.url);
  return (line) => csvRow(task, jobLine(parsedLine(line)));
}
