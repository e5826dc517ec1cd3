/** `npm run infra`: prints the parts of a deployment, or writes those that are committed. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { configure } from '@blip2/shared/config/configure';
import { helpOf } from '@blip2/shared/config/help';
import { nearest } from '@blip2/shared/config/nearest';
import { withDefaults } from '@blip2/shared/config/option';
import { dashboardJson } from '../infra/src/grafana/dashboard.ts';
import { frontConfig } from '../infra/src/haproxy/front.ts';
import { clusterHaproxy } from '../infra/src/kubernetes/balancer.ts';
import { manifestsYaml } from '../infra/src/kubernetes/manifests.ts';
import { alertsYaml } from '../infra/src/prometheus/alerts.ts';
import { placeholdersIn, SETTINGS, type Settings } from '../infra/src/settings.ts';
import { synthesizeCdk } from './cdk.ts';
import { ROOT } from './prepare-edge.ts';
import { INFRA } from './programs/maintenance.ts';

/** TLS is an operator's: `bind :443 ssl crt …`. */
const FRONT = { bind: ':8080', service: '127.0.0.1:8787' };

/** The parts, and the files in which they are committed. */
const PARTS: Record<string, { path: string; text: (settings: Settings) => string }> = {
  kubernetes: { path: 'infra/kubernetes/blip2.yaml', text: manifestsYaml },
  haproxy: { path: 'infra/haproxy/haproxy.cfg', text: clusterHaproxy },
  front: { path: 'infra/haproxy/front.cfg', text: () => frontConfig(FRONT) },
  alerts: { path: 'infra/prometheus/alerts.yml', text: alertsYaml },
  dashboard: { path: 'infra/grafana/dashboard.json', text: dashboardJson },
};

/** Texts by the path in the repository. */
export function generatedInfra(): Record<string, string> {
  const settings = withDefaults(SETTINGS);
  return Object.fromEntries(Object.values(PARTS).map(({ path, text }) => [path, text(settings)]));
}

async function main(): Promise<void> {
  const {
    values: settings,
    positionals: [name],
  } = configure(INFRA);
  if (name === undefined) return console.log(helpOf(INFRA));
  if (name === 'write') {
    for (const [path, text] of Object.entries(generatedInfra())) {
      await writeFile(join(ROOT, path), text);
    }
    return;
  }
  if (name === 'cdk') {
    const outdir = join(ROOT, 'infra/cdk/cdk.out');
    await synthesizeCdk(settings, outdir);
    return console.log(outdir);
  }
  const part = PARTS[name];
  if (part !== undefined) {
    const text = part.text(settings);
    const missing = placeholdersIn(text, settings);
    if (missing.length > 0) {
      console.error(
        `Examples stand for values of yours: set ${missing.join(', ')} (docs/deploy.md).`,
      );
    }
    return void process.stdout.write(text);
  }
  const meant = nearest(name, [...Object.keys(PARTS), 'cdk', 'write']);
  const advice = meant === undefined ? 'See --help.' : `Did you mean ${meant}?`;
  console.error(`Unknown part "${name}". ${advice}`);
  process.exitCode = 1;
}

if (import.meta.main) await main();
