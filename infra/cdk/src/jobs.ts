/** Workers for jobs: on spot machines, and none while the queue is empty. */
import { Duration } from 'aws-cdk-lib';
import { AdjustmentType } from 'aws-cdk-lib/aws-applicationautoscaling';
import { type IMetric, MathExpression } from 'aws-cdk-lib/aws-cloudwatch';
import type { FargateService } from 'aws-cdk-lib/aws-ecs';
import { PolicyStatement } from 'aws-cdk-lib/aws-iam';
import type { Settings } from '../../src/settings.ts';
import type { Pool } from './pool.ts';
import type { Queues } from './queues.ts';

/** Messages that wait, and those that workers have: a worker is not taken away from what it does. */
export function backlogOf({ jobs }: Queues): IMetric {
  const period = Duration.minutes(1);
  return new MathExpression({
    expression: 'waiting + running',
    label: 'messages that are not done',
    period,
    usingMetrics: {
      waiting: jobs.metricApproximateNumberOfMessagesVisible({ period, statistic: 'Maximum' }),
      running: jobs.metricApproximateNumberOfMessagesNotVisible({ period, statistic: 'Maximum' }),
    },
  });
}

/**
 * As many workers as there are messages for: one from the first message on, two from two for each slot of it, then twice as
 * many each time. A step says how many there are to be, not how many more: so it ends at none.
 */
export function scaleOnBacklog(service: FargateService, queues: Queues, settings: Settings): void {
  const { slots, maxJobs } = settings;
  const perWorker = 2 * slots;
  const scaling = service.autoScaleTaskCount({ minCapacity: 0, maxCapacity: maxJobs });
  const steps = [{ upper: 0, change: 0 }];
  let workers = 1;
  let lower = 1;
  const counts: { lower: number; change: number }[] = [];
  while (workers < maxJobs) {
    counts.push({ lower, change: workers });
    lower = workers * perWorker + 1;
    workers *= 2;
  }
  counts.push({ lower, change: maxJobs });
  scaling.scaleOnMetric('Backlog', {
    metric: backlogOf(queues),
    adjustmentType: AdjustmentType.EXACT_CAPACITY,
    scalingSteps: [...steps, ...counts],
    evaluationPeriods: 1,
    cooldown: Duration.minutes(2),
  });
}

/** What a worker does with both queues; nothing of SQS beyond it. */
export function allowReceiving({ task }: Pool, { jobs, dead }: Queues): void {
  task.addToTaskRolePolicy(
    new PolicyStatement({
      actions: ['sqs:ReceiveMessage', 'sqs:DeleteMessage', 'sqs:ChangeMessageVisibility'],
      resources: [jobs.queueArn, dead.queueArn],
    }),
  );
}
