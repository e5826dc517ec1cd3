/** The image of the workers: of ECR with the right to pull it, of any other registry as everybody may. */
import { Stack } from 'aws-cdk-lib';
import { Repository } from 'aws-cdk-lib/aws-ecr';
import { ContainerImage } from 'aws-cdk-lib/aws-ecs';
import type { Construct } from 'constructs';

/** `<account>.dkr.ecr.<region>.<suffix>/<repository>`, and a tag or a digest. */
const OF_ECR =
  /^(\d{12})\.dkr\.ecr\.([\w-]+)\.amazonaws\.com[\w.]*\/([\w./-]+)(?::([\w.-]+)|@(sha256:[0-9a-f]{64}))?$/;

/** @param name as `docker push` has it; tasks that use the image may pull it */
export function imageOf(scope: Construct, name: string): ContainerImage {
  const [isOfEcr, account, region, repositoryName = '', tag, digest] = OF_ECR.exec(name) ?? [];
  if (isOfEcr === undefined) return ContainerImage.fromRegistry(name);
  const { partition } = Stack.of(scope);
  const repositoryArn = `arn:${partition}:ecr:${region}:${account}:repository/${repositoryName}`;
  const attributes = { repositoryName, repositoryArn };
  const repository = Repository.fromRepositoryAttributes(scope, 'Repository', attributes);
  return ContainerImage.fromEcrRepository(repository, digest ?? tag);
}

/** Whether a task of this image has rights of ECR. */
export const isOfEcr = (name: string): boolean => OF_ECR.test(name);
