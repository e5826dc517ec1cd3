/**
 * A proxy between the browser and the edge that records requests, and holds or cuts what passes: slow and broken
 * connections, staged on real ones.
 */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Reply } from '../support/described-reply.ts';

/** A request to the API: its path, and its body as JSON, where it is that. */
type SeenRequest = {
  path: string;
  contentType: string;
  body: Record<string, unknown> | null;
};

export type Gate = Awaited<ReturnType<typeof openGate>>;

/** How a reply goes on that was held. */
type Rest = 'passes' | 'is cut off';

/**
 * @param target base URL of the edge
 * @param onReply called with each reply that has passed
 */
export async function openGate(target: string, onReply: (reply: Reply) => void = () => {}) {
  const seen: SeenRequest[] = [];
  let heldAfter: string | null = null;
  let uploads = Promise.withResolvers<void>();
  let replies = Promise.withResolvers<Rest>();
  uploads.resolve();

  const server = createServer((incoming, outgoing) => {
    pass(incoming, outgoing).catch(() => outgoing.destroy());
  });

  async function pass(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    if (incoming.method === 'POST') await uploads.promise;
    const body = Buffer.concat(await Array.fromAsync(incoming as AsyncIterable<Buffer>));
    const { pathname: path } = new URL(incoming.url ?? '/', target);
    const contentType = incoming.headers['content-type'] ?? '';
    const isJson = contentType === 'application/json';
    if (incoming.method === 'POST') {
      seen.push({ path, contentType, body: isJson ? JSON.parse(body.toString()) : null });
    }
    const upstream = request(new URL(incoming.url ?? '/', target), {
      method: incoming.method,
      headers: { ...incoming.headers, 'content-length': body.length },
    });
    outgoing.on('close', () => upstream.destroy());
    upstream.end(body);
    const reply = await new Promise<IncomingMessage>((resolve, reject) => {
      upstream.on('response', resolve).on('error', reject);
    });
    outgoing.writeHead(reply.statusCode ?? 502, reply.headers);
    let text = '';
    const chunks: Buffer[] = [];
    for await (const chunk of reply as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      if (heldAfter === null) {
        outgoing.write(chunk);
        continue;
      }
      text += chunk.toString();
      const end = endOfEvent(text, heldAfter);
      if (end === null) continue;
      outgoing.write(text.slice(0, end));
      if ((await replies.promise) === 'is cut off') {
        outgoing.destroy();
        return;
      }
      outgoing.write(text.slice(end));
      text = '';
    }
    outgoing.end(text);
    onReply({
      method: incoming.method ?? 'GET',
      path,
      status: reply.statusCode ?? 502,
      headers: new Headers(reply.headers as Record<string, string>),
      body: Buffer.concat(chunks).toString(),
      isWhole: true,
    });
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    /** Reads no request's body until the returned function is called. */
    holdUploads() {
      uploads = Promise.withResolvers();
      return () => uploads.resolve();
    },
    /** Passes replies on up to the first event of this name; the rest passes, or is cut off, when the function is called. */
    holdReplies(event: string) {
      heldAfter = event;
      replies = Promise.withResolvers();
      return (rest: Rest = 'passes') => {
        heldAfter = null;
        replies.resolve(rest);
      };
    },
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function endOfEvent(text: string, event: string): number | null {
  const start = text.indexOf(`event: ${event}\n`);
  const end = start < 0 ? -1 : text.indexOf('\n\n', start);
  return end < 0 ? null : end + 2;
}
