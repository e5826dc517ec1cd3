/** Every route of the API, through edge and GPU worker: whatever is sent, the reply is one that the document describes. */
import { apiRequests } from '../generate/api-requests.ts';
import { type ApiDocument, checkReply } from '../http/described.ts';
import { exchange, type HttpInput } from '../http/exchange.ts';
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
    return {
      inputs: apiRequests(document, image),
      run: async (input) => {
        const answer = await exchange(stack.url, input, HANG_MS);
        if (answer === null) return input.leaveAfter === null ? 'closed' : 'left';
        return checkReply(document, input, answer);
      },
      settle: await watch(),
      [Symbol.asyncDispose]: async () => {},
    };
  },
};
