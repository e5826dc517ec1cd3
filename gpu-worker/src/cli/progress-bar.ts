/** Progress of something long, on stderr: a bar on a terminal, a line for each tenth elsewhere. */

/** `done` of `total`, in any unit. */
type Progress = { done: number; total: number; label: string };

/** Leaves a clean line when it is disposed. */
type ProgressBar = Disposable & { draw: (progress: Progress) => void };

const WIDTH = 30;

/** @param what begins each line where there is no terminal */
export function progressBar(
  what: string,
  stream: Pick<NodeJS.WriteStream, 'isTTY' | 'write' | 'columns'> = process.stderr,
): ProgressBar {
  let shown = '';
  if (!stream.isTTY) {
    return {
      draw: (progress) => {
        const tenth = `${Math.floor((10 * progress.done) / progress.total) * 10} %`;
        if (tenth !== shown) stream.write(`${what}: ${tenth} ${progress.label}\n`);
        shown = tenth;
      },
      [Symbol.dispose]: () => {},
    };
  }
  return {
    draw: ({ done, total, label }) => {
      const filled = Math.round((WIDTH * done) / total);
      const bar = '█'.repeat(filled) + '░'.repeat(WIDTH - filled);
      const percent = String(Math.floor((100 * done) / total)).padStart(3);
      const line = `${bar} ${percent} % ${label}`.slice(0, stream.columns - 1);
      if (line !== shown) stream.write(`\r\x1b[2K${line}`);
      shown = line;
    },
    [Symbol.dispose]: () => void (shown !== '' && stream.write('\r\x1b[2K')),
  };
}
