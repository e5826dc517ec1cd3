/** GPU workers of one kind: machines that ECS gets and gives back, and a service on them. */
import { Duration, Size } from 'aws-cdk-lib';
import { AcceleratorManufacturer, type IVpc, SecurityGroup, SubnetType } from 'aws-cdk-lib/aws-ec2';
import {
  type CapacityOptionType,
  type Cluster,
  Compatibility,
  ContainerDependencyCondition,
  FargateService,
  LogDrivers,
  ManagedInstancesCapacityProvider,
  NetworkMode,
  Secret,
  TaskDefinition,
} from 'aws-cdk-lib/aws-ecs';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { ISecret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { QUEUE_LIMIT, type Settings, TERMINATION_S } from '../../src/settings.ts';
import { acknowledge, acknowledgeMachines } from './acknowledged.ts';
import { imageOf, isOfEcr } from './image.ts';

export const WORKER_PORT = 8788;
/** What the image runs as; see infra/images. */
const USER = '10001';
const BUNDLES = '/bundles';

type PoolOptions = {
  settings: Settings;
  cluster: Cluster;
  vpc: IVpc;
  capacity: CapacityOptionType;
  /** Tasks at first, and after a change of the template where nothing scales them. */
  desired: number;
  /** For which a balancer does not ask a new task whether it is ready. */
  grace?: Duration;
  /** Token of the hub, for those who build. */
  hubToken: ISecret;
  /** Signs what is asked of workers. */
  workerSecret: ISecret;
  environment?: Record<string, string>;
  secrets?: Record<string, Secret>;
};

export class Pool extends Construct {
  readonly service: FargateService;
  readonly task: TaskDefinition;
  readonly securityGroup: SecurityGroup;
  /** What its workers log: JSON, a line for each request. */
  readonly logGroup: LogGroup;

  constructor(scope: Construct, id: string, options: PoolOptions) {
    super(scope, id);
    const { cluster, vpc, capacity, desired, grace, settings } = options;
    this.logGroup = new LogGroup(this, 'Logs', { retention: RetentionDays.ONE_MONTH });
    this.securityGroup = new SecurityGroup(this, 'Workers', {
      vpc,
      description: 'GPU workers, which serve who signs',
    });
    const provider = new ManagedInstancesCapacityProvider(this, 'Machines', {
      subnets: vpc.selectSubnets({ subnetType: SubnetType.PRIVATE_WITH_EGRESS }).subnets,
      securityGroups: [this.securityGroup],
      capacityOptionType: capacity,
      taskVolumeStorage: Size.gibibytes(100),
      instanceRequirements: {
        vCpuCountMin: 4,
        memoryMin: Size.gibibytes(16),
        ...(settings.accelerator === 'cuda' && {
          acceleratorCountMin: 1,
          acceleratorCountMax: 1,
          acceleratorManufacturers: [AcceleratorManufacturer.NVIDIA],
          acceleratorTotalMemoryMin: Size.gibibytes(16),
        }),
      },
    });
    acknowledgeMachines(provider);
    cluster.addManagedInstancesCapacityProvider(provider);
    this.task = this.#taskOf(options);
    this.service = new FargateService(this, 'Service', {
      cluster,
      taskDefinition: this.task,
      desiredCount: desired,
      minHealthyPercent: 100,
      maxHealthyPercent: 200,
      ...(grace !== undefined && { healthCheckGracePeriod: grace }),
      circuitBreaker: { rollback: true },
      securityGroups: [this.securityGroup],
      vpcSubnets: { subnetType: SubnetType.PRIVATE_WITH_EGRESS },
      capacityProviderStrategies: [{ capacityProvider: provider.capacityProviderName, weight: 1 }],
    });
  }

  #taskOf({
    settings,
    hubToken,
    workerSecret,
    environment = {},
    secrets = {},
  }: PoolOptions): TaskDefinition {
    const { image, accelerator, checkpoint, retrievalCheckpoint, slots } = settings;
    const task = new TaskDefinition(this, 'Task', {
      compatibility: Compatibility.MANAGED_INSTANCES,
      networkMode: NetworkMode.AWS_VPC,
      cpu: '4096',
      memoryMiB: '14336',
      volumes: [{ name: 'bundles' }, { name: 'tmp' }],
    });
    acknowledge(task, 'AwsSolutions-ECS2');
    if (isOfEcr(image)) acknowledge(task.obtainExecutionRole(), 'AwsSolutions-IAM5[Resource::*]');
    const logging = LogDrivers.awsLogs({ streamPrefix: 'worker', logGroup: this.logGroup });
    const storage = { BLIP2_BUNDLES: BUNDLES, HF_HOME: `${BUNDLES}/hub` };
    const common = {
      image: imageOf(this, image),
      user: USER,
      readonlyRootFilesystem: true,
      logging,
    };
    const mounts = [
      { sourceVolume: 'bundles', containerPath: BUNDLES, readOnly: false },
      { sourceVolume: 'tmp', containerPath: '/tmp', readOnly: false },
    ];
    const worker = task.addContainer('worker', {
      ...common,
      essential: true,
      ...(accelerator === 'cuda' && { gpuCount: 1 }),
      stopTimeout: Duration.seconds(Math.min(TERMINATION_S, 120)),
      portMappings: [{ containerPort: WORKER_PORT }],
      healthCheck: {
        command: ['CMD', '/usr/local/bin/node', 'infra/images/health.mjs'],
        interval: Duration.seconds(10),
        timeout: Duration.seconds(5),
        retries: 3,
        // As long as it may be: until the model is loaded nothing answers.
        startPeriod: Duration.seconds(300),
      },
      environment: {
        BLIP2_WORKER_HOST: '0.0.0.0',
        BLIP2_WORKER_PORT: `${WORKER_PORT}`,
        ...(checkpoint !== 'embedded' && { BLIP2_CHECKPOINT: checkpoint }),
        ...(retrievalCheckpoint !== undefined && {
          BLIP2_RETRIEVAL_CHECKPOINT: retrievalCheckpoint,
        }),
        BLIP2_EXECUTION_PROVIDER: accelerator,
        BLIP2_MAX_SLOTS: `${slots}`,
        BLIP2_QUEUE_LIMIT: `${QUEUE_LIMIT}`,
        ...storage,
        HF_HUB_OFFLINE: '1',
        ...environment,
      },
      secrets: { BLIP2_WORKER_SECRET: Secret.fromSecretsManager(workerSecret), ...secrets },
    });
    worker.addMountPoints(...mounts);
    const checkpoints = [checkpoint, retrievalCheckpoint].filter(
      (each) => each !== undefined && each !== 'embedded',
    );
    let previous = undefined as ReturnType<typeof task.addContainer> | undefined;
    for (const [index, each] of checkpoints.entries()) {
      const builder = task.addContainer(`build-${index}`, {
        ...common,
        essential: false,
        command: ['/usr/local/bin/node', 'gpu-worker/src/cli/model.ts', 'build', each!],
        environment: storage,
        secrets: { HF_TOKEN: Secret.fromSecretsManager(hubToken) },
      });
      builder.addMountPoints(...mounts);
      const condition = ContainerDependencyCondition.SUCCESS;
      if (previous !== undefined) {
        builder.addContainerDependencies({ container: previous, condition });
      }
      worker.addContainerDependencies({ container: builder, condition });
      previous = builder;
    }
    return task;
  }
}
