/** One line on a terminal that is rewritten in place; plain lines where stderr is no terminal. */
export type StatusLine = { update: (text: string) => void; clear: () => void };

export function statusLine(stream: NodeJS.WriteStream = process.stderr): StatusLine {
  let last = '';
  if (!stream.isTTY) {
    return {
      update: (text) => {
        const step = text.replaceAll(/\d+/g, '');
        if (step !== last) stream.write(`${text}\n`);
        last = step;
      },
      clear: () => {},
    };
  }
  return {
    update: (text) => void stream.write(`\r\x1b[2K${text.slice(0, stream.columns - 1)}`),
    clear: () => void stream.write('\r\x1b[2K'),
  };
}
