/** `npm run simulate`: a fleet of GPU workers on paper, from service times that were measured; and whether it is true. */
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { configure } from '@blip2/shared/config/configure';
import { ROOT } from './prepare-edge.ts';
import { SIMULATE } from './programs/simulation.ts';
import { assumedTimes, L4 } from './simulate/assumed-card.ts';
import { measureServiceTimes } from './simulate/measure.ts';
import { fleetOf, type Plan, requestsOf } from './simulate/plan.ts';
import { planTables, runPlan } from './simulate/plan-tables.ts';
import { drawPlots, type Plots, planPlots, validationPlots } from './simulate/plots.ts';
import { describeOutcome, describeValidations } from './simulate/report.ts';
import { ServiceTimes } from './simulate/service-times.ts';
import { simulate } from './simulate/simulation.ts';
import { realSettings, type Validation, validate } from './simulate/validate.ts';
import { statusLine } from './status-line.ts';

const PARTS = ['measure', 'validate', 'plan'];

const {
  values: config,
  positionals: [part],
} = configure(SIMULATE);
if (part !== undefined && !PARTS.includes(part)) {
  console.error(`Unknown part "${part}": ${PARTS.join(', ')} are all. See --help.`);
  process.exit(1);
}

const VALIDATED_WORKERS = [1, 2, 3];
const command = ['npm run simulate --', ...process.argv.slice(2)].join(' ');
const line = statusLine();
const MEASURED = join(ROOT, 'tools/simulate/measured.json');
const file = config.times === undefined ? MEASURED : resolve(config.times);

switch (part) {
  case 'measure': {
    const times = await measureServiceTimes(command, line.update);
    line.clear();
    await writeFile(file, `${JSON.stringify(times, null, 2)}\n`);
    console.log(`Service times of ${times.machine} are in ${relative(process.cwd(), file)}.`);
    break;
  }
  case 'validate': {
    const times = await readTimes();
    const validations: Validation[] = [];
    for (const workers of VALIDATED_WORKERS) {
      line.update(
        `${workers} real ${workers === 1 ? 'worker' : 'workers'}, ${config.seconds} seconds …`,
      );
      const { seed, seconds, validationRate: rate } = config;
      validations.push(await validate({ times, rate, seconds, seed, workers }));
    }
    print(validations, describeValidations(validations));
    await draw(validationPlots(times, validations));
    break;
  }
  case 'plan': {
    const result = runPlan(await planOf(), line.update);
    line.clear();
    console.log(planTables(result));
    await draw(planPlots(result));
    break;
  }
  default:
    await one();
}
// What was started has ended; sockets of its clients may be kept alive.
process.exit();

async function one(): Promise<void> {
  const plan = await planOf();
  const { rate, seconds, workers, most, delay, spotHours, slots } = config;
  const outcome = simulate({
    ...fleetOf(plan, { workers, rate }),
    arrivals: requestsOf(plan, { rate, seconds }),
    ...(most !== undefined && {
      scaling: {
        least: workers,
        most,
        target: slots,
        step: most,
        everyMs: 15_000,
        delayMs: 1000 * delay,
        calmMs: 300_000,
      },
    }),
    ...(spotHours !== undefined && { spotLifeMs: 3_600_000 * spotHours, replaceMs: 1000 * delay }),
  });
  const { firstToken, reply, ...counts } = outcome;
  const result = { ...counts, firstToken: firstToken.percentiles(), reply: reply.percentiles() };
  print({ command, times: plan.times.source, ...result }, describeOutcome(outcome, plan.times));
}

async function planOf(): Promise<Plan> {
  const { seed, tokens, images, skew, cached, fresh, clusters, slots } = config;
  const times = part === 'plan' ? assumedTimes(L4) : await readTimes();
  return {
    times,
    worker: { ...realSettings(times), maxSlots: slots, reserveSlots: slots },
    seed,
    tokens,
    images,
    skew: skew / 100,
    cached,
    fresh,
    clusters,
  };
}

/** Ends this process with 1 where there are none that could be meant. */
async function readTimes(): Promise<ServiceTimes> {
  const isOther = config.times === undefined && part !== 'validate' && !existsSync(MEASURED);
  if (config.times === 'assumed' || isOther) return assumedTimes(L4);
  try {
    return ServiceTimes.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch (error) {
    console.error(
      `${relative(process.cwd(), file)} has no service times (${(error as Error).message.split('\n')[0]}): npm run simulate -- measure writes them.`,
    );
    process.exit(1);
  }
}

async function draw(plots: Plots): Promise<void> {
  if (config.plots === undefined) return;
  const written = await drawPlots(resolve(config.plots), plots);
  for (const path of written) console.error(relative(process.cwd(), path));
}

function print(result: unknown, text: string): void {
  line.clear();
  console.log(config.json ? JSON.stringify(result, null, 2) : text);
}
