// `npm run setup`, and what other npm scripts run first: installs what is missing. Plain JavaScript: it must run on
// whatever Node is there.
import { install } from './install.mjs';

const [argument] = process.argv.slice(2);
if (argument === '--help' || argument === '-h') {
  console.log(
    'Usage: npm run setup\n\nInstalls the packages of package-lock.json unless they are there.',
  );
} else if (argument === undefined) {
  await install();
} else {
  const isFlag = argument.startsWith('-');
  console.error(
    isFlag
      ? `Unknown option ${argument}. Did you mean --help?`
      : `Unknown argument "${argument}": none is taken. See --help.`,
  );
  process.exit(1);
}
