/** Entry: synthesizes the stack into a folder, as `npm run infra -- cdk` asks for it. Needs no account. */
import { App, Validations } from 'aws-cdk-lib';
import { AwsSolutionsChecks } from 'cdk-nag';
import type { Settings } from '../../src/settings.ts';
import { WorkersStack } from './stack.ts';

const [settings = '{}', outdir = 'cdk.out'] = process.argv.slice(2);

const app = new App({ outdir, analyticsReporting: false });
new WorkersStack(app, 'Blip2Workers', JSON.parse(settings) as Settings);
Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
app.synth();
