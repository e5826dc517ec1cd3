/** Workers for people, scaled on the time until the first token: each worker logs it with each request, and CloudWatch makes a metric of the lines. */
import { Duration, Stack } from 'aws-cdk-lib';
import { AdjustmentType, type StepScalingPolicy } from 'aws-cdk-lib/aws-applicationautoscaling';
import { type CfnAlarm, type Metric, TreatMissingData, Unit } from 'aws-cdk-lib/aws-cloudwatch';
import { FilterPattern, MetricFilter } from 'aws-cdk-lib/aws-logs';
import type { Settings } from '../../src/settings.ts';
import type { Pool } from './pool.ts';

const MINUTE = Duration.minutes(1);
/** Minutes of the last three in which it has to be late: one burst asks for no machine. */
const LATE = { evaluationPeriods: 3, datapointsToAlarm: 2 };
/** A worker pulls and loads a model before it helps: until then more of them are not asked for because of the same lateness. */
const UNTIL_IT_HELPS = Duration.minutes(5);
/** Minutes for which it has to be early before a worker is taken away, and the share of the target that is early. */
const EARLY_MINUTES = 15;
const EARLY = 1 / 4;

/** Milliseconds from a request's arrival at a worker to its first token, of 95 % of a minute's. None while nobody asks. */
export function firstTokenOf(pool: Pool): Metric {
  const filter = new MetricFilter(pool, 'FirstToken', {
    logGroup: pool.logGroup,
    filterPattern: FilterPattern.numberValue('$.first_token_ms', '>=', 0),
    metricNamespace: Stack.of(pool).stackName,
    metricName: 'FirstTokenMs',
    metricValue: '$.first_token_ms',
    unit: Unit.MILLISECONDS,
  });
  return filter.metric({ statistic: 'p95', period: MINUTE, label: 'first token, p95 (ms)' });
}

/**
 * One more worker where first tokens are later than `firstTokenMs`, two where they take twice as long, four where they take four
 * times; one less after a quarter of an hour in which they came within a quarter of it, or nobody asked.
 */
export function scaleOnFirstToken({ service }: Pool, metric: Metric, settings: Settings): void {
  const { firstTokenMs: target, maxInteractive } = settings;
  const scaling = service.autoScaleTaskCount({ minCapacity: 1, maxCapacity: maxInteractive });
  scaling.scaleOnMetric('Late', {
    metric,
    adjustmentType: AdjustmentType.CHANGE_IN_CAPACITY,
    scalingSteps: [1, 2, 4].map((times) => ({ lower: times * target, change: times })),
    ...LATE,
    cooldown: UNTIL_IT_HELPS,
  });
  scaling.scaleOnMetric('Early', {
    metric,
    adjustmentType: AdjustmentType.CHANGE_IN_CAPACITY,
    scalingSteps: [
      { upper: EARLY * target, change: -1 },
      { lower: EARLY * target, change: 0 },
    ],
    evaluationPeriods: EARLY_MINUTES,
    cooldown: UNTIL_IT_HELPS,
  });
  // Minutes in which nobody asks.
  const early = scaling.node.findChild('Target').node.findChild('Early') as StepScalingPolicy;
  const alarm = early.lowerAlarm?.node.defaultChild as CfnAlarm;
  alarm.treatMissingData = TreatMissingData.BREACHING;
}
