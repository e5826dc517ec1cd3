/** Alarms and a dashboard of what AWS itself measures; those of the workers are Prometheus'. */
import { Duration } from 'aws-cdk-lib';
import {
  ComparisonOperator,
  Dashboard,
  GraphWidget,
  type IMetric,
  type Metric,
  TreatMissingData,
} from 'aws-cdk-lib/aws-cloudwatch';
import { SnsAction } from 'aws-cdk-lib/aws-cloudwatch-actions';
import { HttpCodeTarget } from 'aws-cdk-lib/aws-elasticloadbalancingv2';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { Construct } from 'constructs';
import type { Settings } from '../../src/settings.ts';
import type { Balancer } from './interactive.ts';
import { backlogOf } from './jobs.ts';
import type { Queues } from './queues.ts';

const MINUTE = Duration.minutes(1);

type AlarmOptions = {
  metric: Metric;
  /** It fires when the metric is above. */
  above: number;
  minutes: number;
};

type Watched = { queues: Queues; balancer: Balancer; firstToken: Metric; settings: Settings };

export class Observability extends Construct {
  /** Subscribe an address to it. */
  readonly topic: Topic;

  constructor(scope: Construct, id: string, { queues, balancer, firstToken, settings }: Watched) {
    super(scope, id);
    this.topic = new Topic(this, 'Alarms', { enforceSSL: true });
    const { jobs, dead } = queues;
    const { targets } = balancer;
    const deadLetters = dead.metricApproximateNumberOfMessagesVisible({ period: MINUTE });
    const age = jobs.metricApproximateAgeOfOldestMessage({ period: MINUTE });
    const healthy = targets.metrics.healthyHostCount({ period: MINUTE, statistic: 'Minimum' });
    const unhealthy = targets.metrics.unhealthyHostCount({ period: MINUTE, statistic: 'Maximum' });
    const errors = targets.metrics.httpCodeTarget(HttpCodeTarget.TARGET_5XX_COUNT, {
      period: MINUTE,
      statistic: 'Sum',
    });
    // Workers take dead letters and commit that they were given up: what stays there found no worker.
    this.#alarm('DeadLettersStay', { metric: deadLetters, above: 0, minutes: 30 });
    this.#alarm('JobsWait', { metric: age, above: Duration.hours(1).toSeconds(), minutes: 10 });
    this.#alarm('WorkersUnhealthy', { metric: unhealthy, above: 0, minutes: 15 });
    // More workers were asked for long before: there are none to be had, or more are allowed.
    const late = 4 * settings.firstTokenMs;
    this.#alarm('FirstTokenIsLate', { metric: firstToken, above: late, minutes: 15 });
    this.#alarm('WorkersFail', { metric: errors, above: 20, minutes: 5 });
    healthy
      .createAlarm(this, 'NoInteractiveWorker', {
        alarmDescription: runbookOf('NoInteractiveWorker'),
        threshold: 1,
        comparisonOperator: ComparisonOperator.LESS_THAN_THRESHOLD,
        evaluationPeriods: 2,
        treatMissingData: TreatMissingData.BREACHING,
      })
      .addAlarmAction(new SnsAction(this.topic));
    const graph = (title: string, ...left: IMetric[]) =>
      new GraphWidget({ title, left, width: 12, leftYAxis: { min: 0 } });
    new Dashboard(this, 'Dashboard', {
      widgets: [
        [
          graph('Messages', backlogOf(queues), deadLetters),
          graph('Age of the oldest message', age),
        ],
        [
          graph('Interactive workers', healthy, unhealthy),
          graph('Time until the first token', firstToken),
        ],
        [graph('Requests', targets.metrics.requestCountPerTarget()), graph('Replies 5xx', errors)],
      ],
    });
  }

  #alarm(id: string, { metric, above, minutes }: AlarmOptions): void {
    metric
      .createAlarm(this, id, {
        alarmDescription: runbookOf(id),
        threshold: above,
        comparisonOperator: ComparisonOperator.GREATER_THAN_THRESHOLD,
        evaluationPeriods: minutes,
        treatMissingData: TreatMissingData.NOT_BREACHING,
      })
      .addAlarmAction(new SnsAction(this.topic));
  }
}

/** For who gets the alarm. @param alarm its name, which has a row there */
function runbookOf(alarm: string): string {
  return `${alarm}: what to do is in docs/operations.md, "Alarms of AWS"`;
}
