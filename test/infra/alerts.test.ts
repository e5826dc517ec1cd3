/** Each alert fires when it should, does not when it should not, and somebody who is woken by it knows what to do. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parse, stringify } from 'yaml';
import { ALERTS } from '../../infra/src/prometheus/alerts.ts';
import { ROOT } from '../../tools/prepare-edge.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const FOLDER = join(ROOT, 'infra/prometheus');
const isInstalled = spawnSync('promtool', ['--version']).status === 0;
if (!isInstalled) {
  console.warn('promtool is not installed (apt-get install prometheus): its tests are skipped.');
}

const names = ALERTS.map(({ name }) => name);
type Case = { alertname: string; exp_alerts?: object[] };
const { tests } = parse(readFileSync(join(FOLDER, 'alerts.test.yml'), 'utf8')) as {
  tests: { alert_rule_test: Case[] }[];
};

it.each(names)('%s has a case where it fires and one where it does not', (name) => {
  const cases = tests
    .flatMap(({ alert_rule_test }) => alert_rule_test)
    .filter(({ alertname }) => alertname === name);
  expect(cases.some(({ exp_alerts }) => exp_alerts !== undefined)).toBe(true);
  // Who stands still stands beside who works and who is idle.
  const quiet = cases.some(({ exp_alerts }) => exp_alerts === undefined);
  expect(quiet || name === 'WorkerStandsStill').toBe(true);
});

it('the runbook has a section for each alert, and no other', () => {
  const runbook = readFileSync(join(ROOT, 'docs/operations.md'), 'utf8');
  const alerts = runbook.split(/^## /m).find((part) => part.startsWith('Alerts\n'))!;
  const sections = alerts.split(/^### /m).slice(1);
  expect(sections.map((section) => section.split('\n')[0])).toEqual(names);
  for (const section of sections) {
    const missing = ['**Means**', '**Look**', '**Do**'].filter((word) => !section.includes(word));
    expect({ section, missing }).toEqual({ section, missing: [] });
  }
});

describe.runIf(isInstalled)('promtool', () => {
  const folder = temporaryFolder();
  const promtool = (...args: string[]) => {
    const { status, stdout, stderr } = spawnSync('promtool', args, { encoding: 'utf8' });
    return { status, output: stdout + stderr };
  };

  it('accepts the rules', () => {
    const { status, output } = promtool('check', 'rules', join(FOLDER, 'alerts.yml'));
    expect({ status, output }).toMatchObject({ status: 0 });
    expect(output).toContain(`${ALERTS.length} rules found`);
  });

  it('finds that they fire when they should', () => {
    expect(promtool('test', 'rules', join(FOLDER, 'alerts.test.yml'))).toMatchObject({ status: 0 });
  });

  it('accepts the configuration, but for the discovery that Debian builds without', async () => {
    const text = await readFile(join(FOLDER, 'prometheus.yml'), 'utf8');
    const config = parse(text) as { scrape_configs: Record<string, unknown>[] };
    for (const scrape of config.scrape_configs) {
      expect(scrape.kubernetes_sd_configs).toEqual([
        { role: 'pod', namespaces: { names: ['blip2'] } },
      ]);
      delete scrape.kubernetes_sd_configs;
    }
    await cp(join(FOLDER, 'alerts.yml'), join(folder, 'alerts.yml'));
    await writeFile(join(folder, 'prometheus.yml'), stringify(config));
    expect(promtool('check', 'config', join(folder, 'prometheus.yml'))).toMatchObject({
      status: 0,
    });
  });
});
