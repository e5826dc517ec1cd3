/** Lines of text that come in pieces. */

/**
 * Lines without their ends, with their numbers from 1; a last one needs no end.
 * @param chunks bytes of UTF-8
 */
export async function* numberedLines(
  chunks: AsyncIterable<Uint8Array | string>,
): AsyncGenerator<{ text: string; number: number }, void, undefined> {
  const decoder = new TextDecoder();
  let rest: string[] = [];
  let number = 1;
  for await (const chunk of chunks) {
    const text = typeof chunk === 'string' ? chunk : decoder.decode(chunk, { stream: true });
    const [first = '', ...others] = text.split('\n');
    rest.push(first);
    for (const other of others) {
      yield { text: withoutReturn(rest.join('')), number: number++ };
      rest = [other];
    }
  }
  rest.push(decoder.decode());
  const last = withoutReturn(rest.join(''));
  if (last !== '') yield { text: last, number };
}

function withoutReturn(line: string): string {
  return line.endsWith('\r') ? line.slice(0, -1) : line;
}
