/** Lines of a stream of text, as they come. */

/**
 * The lines of each piece that comes, together: whoever writes them on writes once for each.
 * @example for await (const lines of linesOf(stream)) for (const line of lines) JSON.parse(line);
 */
export async function* linesOf(
  stream: ReadableStream<Uint8Array>,
): AsyncGenerator<string[], void, undefined> {
  let rest = '';
  for await (const piece of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + piece).split('\n');
    rest = lines.pop() ?? '';
    const full = lines.filter((line) => line !== '');
    if (full.length > 0) yield full;
  }
  if (rest !== '') yield [rest];
}
