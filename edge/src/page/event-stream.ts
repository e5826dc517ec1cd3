/** Server-sent events from the text of a reply as it comes in; comments are passed over. */

export type ServerEvent = { event: string; data: unknown };

/**
 * @example
 * const stream = new EventStream();
 * stream.push('event: token\ndata: {"te') // []
 * stream.push('xt":"a"}\n\n') // [{ event: 'token', data: { text: 'a' } }]
 */
export class EventStream {
  #rest = '';

  push(text: string): ServerEvent[] {
    const blocks = `${this.#rest}${text}`.split('\n\n');
    this.#rest = blocks.pop() ?? '';
    return blocks.flatMap((block) => {
      const fields = new Map(block.split('\n').map(fieldOf));
      const event = fields.get('event');
      return event === undefined ? [] : [{ event, data: JSON.parse(fields.get('data') ?? 'null') }];
    });
  }
}

function fieldOf(line: string): [name: string, value: string] {
  const colon = line.indexOf(':');
  return [line.slice(0, colon), line.slice(colon + 1).trimStart()];
}
