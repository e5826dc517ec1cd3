/** Where workers run: subnets without a way in, and out only to hub, queue and edge. */
import { FlowLogDestination, IpAddresses, SubnetType, Vpc } from 'aws-cdk-lib/aws-ec2';
import type { Construct } from 'constructs';

/** Addresses of the network. */
export const CIDR = '10.20.0.0/16';

export function networkOf(scope: Construct): Vpc {
  return new Vpc(scope, 'Network', {
    ipAddresses: IpAddresses.cidr(CIDR),
    maxAzs: 2,
    natGateways: 1,
    subnetConfiguration: [
      { name: 'out', subnetType: SubnetType.PUBLIC, cidrMask: 24 },
      { name: 'workers', subnetType: SubnetType.PRIVATE_WITH_EGRESS, cidrMask: 20 },
    ],
    flowLogs: { all: { destination: FlowLogDestination.toCloudWatchLogs() } },
  });
}
