/** The balancer before workers for people, within the network. */
import { Duration } from 'aws-cdk-lib';
import { type IVpc, Peer, Port, SecurityGroup, SubnetType } from 'aws-cdk-lib/aws-ec2';
import {
  ApplicationLoadBalancer,
  ApplicationProtocol,
  type ApplicationTargetGroup,
  TargetGroupLoadBalancingAlgorithmType,
} from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import { Construct } from 'constructs';
import { REQUEST_DEADLINE_S } from '../../src/settings.ts';
import { acknowledge } from './acknowledged.ts';
import { CIDR } from './network.ts';
import { type Pool, WORKER_PORT } from './pool.ts';

/** The balancer knows no images: `x-image` counts for HAProxy alone, on Kubernetes. */
export class Balancer extends Construct {
  readonly loadBalancer: ApplicationLoadBalancer;
  readonly targets: ApplicationTargetGroup;

  constructor(scope: Construct, id: string, vpc: IVpc, pool: Pool) {
    super(scope, id);
    const securityGroup = new SecurityGroup(this, 'Inside', {
      vpc,
      description: 'The tunnel to the edge, which runs in this network',
      allowAllOutbound: false,
    });
    this.loadBalancer = new ApplicationLoadBalancer(this, 'Workers', {
      vpc,
      internetFacing: false,
      vpcSubnets: { subnetType: SubnetType.PRIVATE_WITH_EGRESS },
      securityGroup,
      idleTimeout: Duration.seconds(120),
      dropInvalidHeaderFields: true,
      deletionProtection: true,
    });
    acknowledge(this.loadBalancer, 'AwsSolutions-ELB2');
    const listener = this.loadBalancer.addListener('Http', {
      port: 80,
      protocol: ApplicationProtocol.HTTP,
      open: false,
    });
    securityGroup.addIngressRule(Peer.ipv4(CIDR), Port.tcp(80), 'from the tunnel');
    this.targets = listener.addTargets('Interactive', {
      port: WORKER_PORT,
      protocol: ApplicationProtocol.HTTP,
      targets: [pool.service],
      deregistrationDelay: Duration.seconds(REQUEST_DEADLINE_S + 5),
      loadBalancingAlgorithmType: TargetGroupLoadBalancingAlgorithmType.LEAST_OUTSTANDING_REQUESTS,
      healthCheck: {
        path: '/readyz',
        interval: Duration.seconds(5),
        timeout: Duration.seconds(2),
        healthyThresholdCount: 2,
        unhealthyThresholdCount: 2,
      },
    });
  }
}
