/** `npx blip2`: the client of the service on the command line. */
import { styleText } from 'node:util';
import { ConfigError } from '@blip2/shared/config/read-options';
import { commandOf, overview } from './cli/command-name.ts';
import { CliError, EXIT } from './cli/failure.ts';
import { listenForInterrupt } from './cli/interrupt.ts';
import { visible } from './cli/terminal.ts';

listenForInterrupt();
// Whoever reads may have enough of it: `blip2 jobs results ID | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : EXIT.usage);
});

try {
  const command = commandOf(process.argv.slice(2));
  if (command === null) console.log(overview().trimEnd());
  else process.exitCode = await command.run(command.rest);
} catch (error) {
  if (!(error instanceof CliError || error instanceof ConfigError)) throw error;
  const words = visible(error.message, process.stderr);
  console.error(styleText('red', words, { stream: process.stderr }));
  process.exitCode = error instanceof CliError ? error.exitCode : EXIT.usage;
}
