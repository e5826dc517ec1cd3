/** The stack of AWS is synthesized without an account, objected to by nobody, and has what jobs and people need. */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { WORKER_OPTIONS } from '@blip2/gpu-worker/config';
import { framesOf, TestWorker } from '@blip2/gpu-worker/http/testing/test-worker';
import { withDefaults } from '@blip2/shared/config/option';
import { readOptions } from '@blip2/shared/config/read-options';
import { unknownVariables } from '@blip2/shared/config/unknown-variables';
import { beforeAll, describe, expect, it } from 'vitest';
import { SETTINGS, TERMINATION_S } from '../../infra/src/settings.ts';
import { installCdk, synthesizeCdk } from '../../tools/cdk.ts';
import { ROOT } from '../../tools/prepare-edge.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

type Resource = { Type: string; Properties: Record<string, unknown> };
type Template = { Resources: Record<string, Resource>; Outputs: Record<string, unknown> };
type Container = {
  Name: string;
  Environment?: { Name: string; Value: unknown }[];
  Secrets?: { Name: string }[];
};

const folder = temporaryFolder();

async function templateOf(settings: object = {}): Promise<Template> {
  await synthesizeCdk(withDefaults(SETTINGS, settings), folder);
  return JSON.parse(await readFile(join(folder, 'Blip2Workers.template.json'), 'utf8')) as Template;
}

const propertiesOf = ({ Resources }: Template, type: string) =>
  Object.values(Resources).flatMap((each) => (each.Type === type ? [each.Properties] : []));

/** What is done at which value of a metric, for workers of one kind. */
const policiesOf = ({ Resources }: Template, pool: string) =>
  Object.entries(Resources).flatMap(([id, { Type, Properties }]) =>
    Type === 'AWS::ApplicationAutoScaling::ScalingPolicy' && id.startsWith(pool)
      ? [Properties.StepScalingPolicyConfiguration]
      : [],
  );

/** Containers of the tasks for people and for jobs. */
const containersOf = (template: Template) =>
  propertiesOf(template, 'AWS::ECS::TaskDefinition').map(
    ({ ContainerDefinitions }) => ContainerDefinitions as Container[],
  );

beforeAll(installCdk, 600_000);

it('its types are right', async () => {
  const tsc = join(ROOT, 'node_modules/.bin/tsc');
  await promisify(execFile)(tsc, ['-p', join(ROOT, 'infra/cdk')]);
});

describe('the stack', () => {
  let template: Template;
  beforeAll(async () => {
    template = await templateOf();
  });

  it('has the queue and its dead letters', () => {
    const queues = propertiesOf(template, 'AWS::SQS::Queue');
    expect(queues).toHaveLength(2);
    for (const queue of queues) {
      expect(queue).toMatchObject({ VisibilityTimeout: 45, SqsManagedSseEnabled: true });
    }
    const redrive = { maxReceiveCount: 12, deadLetterTargetArn: expect.anything() };
    expect(queues).toContainEqual(expect.objectContaining({ RedrivePolicy: redrive }));
  });

  it('runs workers for jobs on spot machines, from none, by what is not done', () => {
    expect(propertiesOf(template, 'AWS::ECS::CapacityProvider')).toMatchObject([
      { ManagedInstancesProvider: { InstanceLaunchTemplate: { CapacityOptionType: 'ON_DEMAND' } } },
      {
        ManagedInstancesProvider: {
          InstanceLaunchTemplate: {
            CapacityOptionType: 'SPOT',
            InstanceRequirements: { AcceleratorCount: { Min: 1, Max: 1 } },
          },
        },
      },
    ]);
    expect(propertiesOf(template, 'AWS::ECS::Service')).toMatchObject([
      { DesiredCount: 1, HealthCheckGracePeriodSeconds: 1800 },
      { DesiredCount: 0 },
    ]);
    expect(propertiesOf(template, 'AWS::ApplicationAutoScaling::ScalableTarget')).toMatchObject([
      { MinCapacity: 1, MaxCapacity: 8 },
      { MinCapacity: 0, MaxCapacity: 16 },
    ]);
    expect(policiesOf(template, 'Jobs')).toMatchObject([
      {
        AdjustmentType: 'ExactCapacity',
        StepAdjustments: [{ MetricIntervalUpperBound: 0, ScalingAdjustment: 0 }],
      },
      {
        AdjustmentType: 'ExactCapacity',
        StepAdjustments: [1, 2, 4, 8, 16].map((count) => ({ ScalingAdjustment: count })),
      },
    ]);
  });

  it('runs workers for people by the time until their first token, as they log it', () => {
    const [filter] = propertiesOf(template, 'AWS::Logs::MetricFilter');
    const metric = { MetricName: 'FirstTokenMs', Namespace: 'Blip2Workers' };
    expect(filter).toMatchObject({
      FilterPattern: '{ $.first_token_ms >= 0 }',
      LogGroupName: { Ref: expect.stringContaining('Interactive') },
      MetricTransformations: [
        {
          MetricName: metric.MetricName,
          MetricNamespace: metric.Namespace,
          MetricValue: '$.first_token_ms',
        },
      ],
    });
    expect(policiesOf(template, 'Interactive')).toMatchObject([
      {
        AdjustmentType: 'ChangeInCapacity',
        StepAdjustments: [
          { MetricIntervalLowerBound: 0, ScalingAdjustment: 1 },
          { MetricIntervalLowerBound: 1000, ScalingAdjustment: 2 },
          { MetricIntervalLowerBound: 3000, ScalingAdjustment: 4 },
        ],
      },
      { StepAdjustments: [{ MetricIntervalUpperBound: 0, ScalingAdjustment: -1 }] },
    ]);
    const alarms = propertiesOf(template, 'AWS::CloudWatch::Alarm').filter(({ AlarmActions }) =>
      JSON.stringify(AlarmActions).includes('InteractiveServiceTaskCount'),
    );
    const metrics = [{ MetricStat: { Metric: metric, Stat: 'p95', Period: 60 } }];
    expect(alarms).toHaveLength(2);
    expect(alarms).toMatchObject([
      { ComparisonOperator: 'GreaterThanOrEqualToThreshold', Threshold: 1000, Metrics: metrics },
      // Where nobody asks for a while, there is one worker again.
      { Threshold: 250, EvaluationPeriods: 15, TreatMissingData: 'breaching', Metrics: metrics },
    ]);
  });

  it('reads the first token from lines as workers write them', async () => {
    const worker = await TestWorker.start();
    await using stack = new AsyncDisposableStack();
    stack.defer(() => worker.worker.stop());
    const headers = { 'x-request-id': 'filtered' };
    await framesOf(await worker.send(worker.generate(), worker.image(0), { headers }));
    const [line] = await worker.linesOf('filtered');
    const [filter = {}] = propertiesOf(template, 'AWS::Logs::MetricFilter');
    const transformations = filter.MetricTransformations as { MetricValue: string }[];
    const field = transformations[0]?.MetricValue.replace('$.', '') ?? '';
    expect(line?.[field]).toBeGreaterThan(0);
  });

  it('gives workers variables that they read, and secrets by reference', () => {
    const [people = [], jobs = []] = containersOf(template);
    for (const container of [...people, ...jobs]) {
      expect(container).toMatchObject({ User: '10001', ReadonlyRootFilesystem: true });
      const values = container.Environment?.map(({ Name, Value }) => [
        Name,
        typeof Value === 'string' ? Value : 'https://sqs.us-east-1.amazonaws.com/1/q',
      ]);
      const env = Object.fromEntries(values ?? []) as Record<string, string>;
      expect(unknownVariables(WORKER_OPTIONS, env)).toEqual([]);
      expect(() => readOptions(WORKER_OPTIONS, { env })).not.toThrow();
    }
    const secrets = (containers: Container[]) =>
      containers.flatMap(({ Secrets = [] }) => Secrets.map(({ Name }) => Name));
    expect(secrets(people).sort()).toEqual(['BLIP2_WORKER_SECRET', 'HF_TOKEN']);
    expect(secrets(jobs).sort()).toEqual(['BLIP2_JOBS_SECRET', 'BLIP2_WORKER_SECRET', 'HF_TOKEN']);
    expect(jobs.find(({ Name }) => Name === 'worker')).toMatchObject({
      StopTimeout: TERMINATION_S,
      DependsOn: [{ ContainerName: 'build-0', Condition: 'SUCCESS' }],
    });
  });

  it('lets workers receive, and the edge send, and nobody more', () => {
    const statements = [
      ...propertiesOf(template, 'AWS::IAM::Policy'),
      ...propertiesOf(template, 'AWS::IAM::ManagedPolicy'),
    ].flatMap(
      ({ PolicyDocument }) =>
        (PolicyDocument as { Statement: { Action: string | string[] }[] }).Statement,
    );
    const actions = statements.map(({ Action }) => [Action].flat());
    const ofQueues = actions.filter((each) => each.some((action) => action.startsWith('sqs:')));
    expect(ofQueues).toEqual([
      ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:ChangeMessageVisibility'],
      ['sqs:SendMessage'],
    ]);
  });

  it('asks workers what they answer, within the network alone', () => {
    expect(propertiesOf(template, 'AWS::ElasticLoadBalancingV2::TargetGroup')).toMatchObject([
      { HealthCheckPath: '/readyz', Port: 8788 },
    ]);
    expect(propertiesOf(template, 'AWS::ElasticLoadBalancingV2::LoadBalancer')).toMatchObject([
      { Scheme: 'internal' },
    ]);
  });

  it('tells somebody of each alarm', () => {
    const alarms = propertiesOf(template, 'AWS::CloudWatch::Alarm');
    const telling = alarms.filter(({ AlarmActions }) =>
      JSON.stringify(AlarmActions).includes('ObservabilityAlarms'),
    );
    expect(telling).toHaveLength(6);
    const runbook = readFileSync(join(ROOT, 'docs/operations.md'), 'utf8');
    const [, rows = ''] = runbook.split('## Alarms of AWS\n');
    for (const { AlarmDescription } of telling) {
      const [name = ''] = String(AlarmDescription).split(':');
      expect(rows.split('\n## ')[0]).toMatch(new RegExp(`^\\| \`${name}\` \\| .+ \\|$`, 'm'));
    }
    expect(propertiesOf(template, 'AWS::CloudWatch::Dashboard')).toHaveLength(1);
    expect(Object.keys(template.Outputs).sort()).toEqual([
      'AlarmTopic',
      'DeadLetterUrl',
      'EdgeUser',
      'HubTokenName',
      'JobsSecretName',
      'QueueUrl',
      'WorkerSecretName',
      'WorkersUrl',
    ]);
  });
});

it('may pull its image where that is in ECR', async () => {
  const image = '123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/blip2-gpu-worker:0.1.0';
  const template = await templateOf({ image });
  const roles = propertiesOf(template, 'AWS::IAM::Policy').filter((each) =>
    JSON.stringify(each).includes('ecr:BatchGetImage'),
  );
  expect(roles).toHaveLength(2);
  for (const role of roles) {
    expect(JSON.stringify(role)).toContain(
      ':ecr:eu-west-1:123456789012:repository/team/blip2-gpu-worker',
    );
  }
  const [[worker] = []] = containersOf(template);
  expect(JSON.stringify(worker)).toContain('/team/blip2-gpu-worker:0.1.0');
});

it('runs a tunnel in the network of the workers where its token is named', async () => {
  const template = await templateOf({ tunnelSecret: 'blip2/tunnel' });
  const tunnels = containersOf(template).filter(([container]) => container?.Name === 'cloudflared');
  expect(tunnels).toMatchObject([[{ Secrets: [{ Name: 'TUNNEL_TOKEN' }] }]]);
  expect(JSON.stringify(tunnels)).toContain(':secret:blip2/tunnel');
  expect(propertiesOf(template, 'AWS::ECS::Service')).toContainEqual(
    expect.objectContaining({ LaunchType: 'FARGATE', DesiredCount: 2 }),
  );
});

it('needs no GPU and builds nothing where the settings say so', async () => {
  const template = await templateOf({ accelerator: 'cpu', checkpoint: 'embedded', maxJobs: 1 });
  const [people = [], jobs = []] = containersOf(template);
  expect([...people, ...jobs].map(({ Name }) => Name)).toEqual(['worker', 'worker']);
  expect(JSON.stringify(template)).not.toContain('Accelerator');
  expect(JSON.stringify(template)).not.toContain('"GPU"');
});
