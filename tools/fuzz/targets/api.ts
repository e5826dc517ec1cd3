/** Every route of the API, through edge and GPU worker: whatever is sent, the reply is one that the document describes. */
import { apiRequests } from '../generate/api-requests.ts';
import { type ApiDocument, checkReply, operationOf } from '../http/described.ts';
import { exchange, type HttpInput } from '../http/exchange.ts';
import { Reached } from '../http/reached.ts';
import { StoredThings } from '../http/stored-things.ts';
import { HANG_MS } from '../stack.ts';
import type { Target } from '../target.ts';

export const API: Target<HttpInput> = {
  name: 'api',
  about: 'every route of the OpenAPI document, over workerd and the GPU worker',
  share: 20,
  lanes: 4,
  open: async (shared) => {
    const { stack, image, watch } = await shared.stack();
    const reply = await fetch(`${stack.url}/openapi.json`);
    const document = (await reply.json()) as ApiDocument;
    const things = new StoredThings(stack.url);
    const reached = new Reached(document);
    const settled = await watch();
    return {
      inputs: apiRequests(document, image),
      run: async (made) => {
        const { input, kinds } = await things.resolve(made);
        const answer = await exchange(stack.url, input, HANG_MS);
        if (answer === null) return input.leaveAfter === null ? 'closed' : 'left';
        things.forget(kinds, answer.status);
        reached.add(operationOf(document, input)[0], input, answer.status);
        return checkReply(document, input, answer);
      },
      settle: async () => {
        reached.expectAll();
        await settled();
      },
      [Symbol.asyncDispose]: async () => {},
    };
  },
};
