/** Everything of a deployment that runs on AWS: queues, workers for jobs and for people, secrets, alarms. */
import { CfnOutput, Duration, Stack, type StackProps } from 'aws-cdk-lib';
import {
  CapacityOptionType,
  Cluster,
  ContainerInsights,
  Secret as Injected,
} from 'aws-cdk-lib/aws-ecs';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import type { Construct } from 'constructs';
import type { Settings } from '../../src/settings.ts';
import { acknowledge } from './acknowledged.ts';
import { firstTokenOf, scaleOnFirstToken } from './first-token.ts';
import { Balancer } from './interactive.ts';
import { allowReceiving, scaleOnBacklog } from './jobs.ts';
import { networkOf } from './network.ts';
import { Observability } from './observability.ts';
import { Pool } from './pool.ts';
import { Queues } from './queues.ts';
import { Tunnel } from './tunnel.ts';

export class WorkersStack extends Stack {
  constructor(scope: Construct, id: string, settings: Settings, props: StackProps = {}) {
    super(scope, id, props);
    const queues = new Queues(this, 'Queues');
    const vpc = networkOf(this);
    const cluster = new Cluster(this, 'Cluster', {
      vpc,
      containerInsightsV2: ContainerInsights.ENABLED,
    });
    const jobsSecret = new Secret(this, 'JobsSecret', {
      description: 'Signs what workers commit; the same as JOBS_SECRET of the edge',
      generateSecretString: { passwordLength: 48, excludePunctuation: true },
    });
    const workerSecret = new Secret(this, 'WorkerSecret', {
      description: 'Signs what the edge asks of workers; the same as GPU_WORKER_SECRET of the edge',
      generateSecretString: { passwordLength: 48, excludePunctuation: true },
    });
    const hubToken = new Secret(this, 'HubToken', {
      description: 'Token of the hub: replace it where a checkpoint is private or gated',
      generateSecretString: { passwordLength: 16, excludePunctuation: true },
    });
    for (const secret of [jobsSecret, workerSecret, hubToken])
      acknowledge(secret, 'AwsSolutions-SMG4');
    const common = { settings, cluster, vpc, hubToken, workerSecret };
    const interactive = new Pool(this, 'Interactive', {
      ...common,
      capacity: CapacityOptionType.ON_DEMAND,
      desired: 1,
      // It pulls and builds first.
      grace: Duration.minutes(30),
    });
    const jobs = new Pool(this, 'Jobs', {
      ...common,
      capacity: CapacityOptionType.SPOT,
      desired: 0,
      environment: {
        BLIP2_JOBS_QUEUE_URL: queues.jobs.queueUrl,
        BLIP2_JOBS_DEAD_LETTER_URL: queues.dead.queueUrl,
        BLIP2_JOBS_EDGE_URL: settings.edgeUrl,
        BLIP2_JOBS_REGION: this.region,
      },
      secrets: { BLIP2_JOBS_SECRET: Injected.fromSecretsManager(jobsSecret) },
    });
    allowReceiving(jobs, queues);
    scaleOnBacklog(jobs.service, queues, settings);
    const firstToken = firstTokenOf(interactive);
    scaleOnFirstToken(interactive, firstToken, settings);
    const balancer = new Balancer(this, 'Balancer', vpc, interactive);
    const { tunnelSecret: secretName, tunnelImage: image } = settings;
    if (secretName !== undefined) new Tunnel(this, 'Tunnel', { cluster, image, secretName });
    const watched = { queues, balancer, firstToken, settings };
    const { topic } = new Observability(this, 'Observability', watched);
    const outputs = {
      QueueUrl: queues.jobs.queueUrl,
      DeadLetterUrl: queues.dead.queueUrl,
      EdgeUser: queues.sender.userName,
      JobsSecretName: jobsSecret.secretName,
      WorkerSecretName: workerSecret.secretName,
      HubTokenName: hubToken.secretName,
      WorkersUrl: `http://${balancer.loadBalancer.loadBalancerDnsName}`,
      AlarmTopic: topic.topicArn,
    };
    for (const [name, value] of Object.entries(outputs)) new CfnOutput(this, name, { value });
  }
}
