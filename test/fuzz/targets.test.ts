/** A short form of `npm run fuzz`: fixed seeds, so that a failure is one of the change and not of chance. */
import { expect, it } from 'vitest';
import { campaign } from '../../tools/fuzz/campaign.ts';
import { casesOf, TARGETS } from '../../tools/fuzz/targets.ts';
import { FUZZ } from '../../tools/programs/faults.ts';

const SEED = 20_261_126;
const CASES = 2000;

it('has a target of each name that the command knows', () => {
  const names = TARGETS.map(({ name }) => name);
  expect(FUZZ.options.only.kind.placeholder).toBe(names.join(','));
});

it(`does no harm with ${CASES} inputs to all targets`, { timeout: 900_000 }, async () => {
  const reports = await campaign(TARGETS, { seed: SEED, cases: CASES });
  const findings = [...reports].flatMap(([{ name }, report]) =>
    report.findings.map(({ violation }) => `${name}: ${violation}`),
  );
  expect(findings).toEqual([]);
  for (const [target, cases] of casesOf(TARGETS, CASES)) {
    expect(reports.get(target)?.cases, target.name).toBe(cases);
  }
});
