/** Cloudflare's tunnel within the network, by which the edge reaches the balancer: two tasks that connect outwards, and nothing listens. */
import { SubnetType } from 'aws-cdk-lib/aws-ec2';
import {
  type Cluster,
  ContainerImage,
  FargateService,
  FargateTaskDefinition,
  Secret as Injected,
  LogDrivers,
} from 'aws-cdk-lib/aws-ecs';
import { LogGroup, RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';

type TunnelOptions = {
  cluster: Cluster;
  image: string;
  /** Name of the secret that is the tunnel's token. */
  secretName: string;
};

export class Tunnel extends Construct {
  constructor(scope: Construct, id: string, { cluster, image, secretName }: TunnelOptions) {
    super(scope, id);
    const task = new FargateTaskDefinition(this, 'Task', { cpu: 256, memoryLimitMiB: 512 });
    const logGroup = new LogGroup(this, 'Logs', { retention: RetentionDays.ONE_MONTH });
    const token = Secret.fromSecretNameV2(this, 'Token', secretName);
    task.addContainer('cloudflared', {
      image: ContainerImage.fromRegistry(image),
      command: ['tunnel', '--no-autoupdate', 'run'],
      secrets: { TUNNEL_TOKEN: Injected.fromSecretsManager(token) },
      readonlyRootFilesystem: true,
      logging: LogDrivers.awsLogs({ streamPrefix: 'tunnel', logGroup }),
    });
    new FargateService(this, 'Service', {
      cluster,
      taskDefinition: task,
      desiredCount: 2,
      minHealthyPercent: 50,
      circuitBreaker: { rollback: true },
      vpcSubnets: { subnetType: SubnetType.PRIVATE_WITH_EGRESS },
    });
  }
}
