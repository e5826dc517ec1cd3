/** What cdk-nag objects to and stays as it is, each with its reason. */
import { Validations } from 'aws-cdk-lib';
import type { IConstruct } from 'constructs';

const MACHINES =
  'CDK makes this role for ECS Managed Instances, with what ECS needs to get machines and register them; workers have a role of their own.';

const REASONS = {
  'AwsSolutions-ECS2': 'Variables that are no secrets; secrets come from Secrets Manager.',
  'AwsSolutions-ELB2':
    'Logs of access need a stack of a fixed region. The edge, the only caller, and the workers log each request.',
  'AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/AmazonECSInfrastructureRolePolicyForManagedInstances]':
    MACHINES,
  'AwsSolutions-IAM5[Resource::*]': `${MACHINES} Where the image is in ECR: ecr:GetAuthorizationToken knows no resource.`,
  'AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:container-instance/*]':
    MACHINES,
  'AwsSolutions-SMG4':
    'The other side is no part of AWS (the edge, a hub): docs/operations.md says how it is replaced on both.',
} as const;

type Finding = keyof typeof REASONS;

/** Accepts findings on a construct and on all within it. */
export function acknowledge(construct: IConstruct, ...findings: Finding[]): void {
  Validations.of(construct).acknowledge(
    ...findings.map((id) => ({ id: `AwsSolutions::${id}`, reason: REASONS[id] })),
  );
}

/** Accepts what CDK's own roles of Managed Instances have. */
export function acknowledgeMachines(provider: IConstruct): void {
  acknowledge(
    provider,
    'AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/AmazonECSInfrastructureRolePolicyForManagedInstances]',
    'AwsSolutions-IAM5[Resource::*]',
    'AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:ecs:<AWS::Region>:<AWS::AccountId>:container-instance/*]',
  );
}
