/** One line on a terminal that is rewritten in place; plain lines where stderr is no terminal. */
export type StatusLine = { update: (text: string) => void; clear: () => void };

export function statusLine(stream: NodeJS.WriteStream = process.stderr): StatusLine {
  let last = '';
  if (!stream.isTTY) {
    return {
      update: (text) => {
        const step = stepOf(text);
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

/** The step of a line: lines with a percentage are of the same step until the next tenth. */
function stepOf(text: string): string {
  const [, about, percent] = /^(.*?)(\d+) %/.exec(text) ?? [];
  if (about === undefined) return text.replaceAll(/\d+/g, '');
  return `${about}${Math.floor(Number(percent) / 10)}`;
}
