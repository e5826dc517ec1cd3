/** The queue of jobs, what came back from it too often, and who may send. */
import { Duration } from 'aws-cdk-lib';
import { ManagedPolicy, PolicyStatement, User } from 'aws-cdk-lib/aws-iam';
import { Queue, QueueEncryption } from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';

/** A worker that is killed counts as one receive for everything that it had. */
const MAX_RECEIVES = 12;
/** For which a message is hidden, unless a worker says otherwise (`BLIP2_JOBS_VISIBILITY_S`): workers prolong it while they work. */
const VISIBILITY = Duration.seconds(45);

export class Queues extends Construct {
  readonly jobs: Queue;
  readonly dead: Queue;
  /** For the edge, which is not within AWS: its operator makes an access key. */
  readonly sender: User;

  constructor(scope: Construct, id: string) {
    super(scope, id);
    const common = { encryption: QueueEncryption.SQS_MANAGED, enforceSSL: true };
    this.dead = new Queue(this, 'Dead', {
      ...common,
      retentionPeriod: Duration.days(14),
      visibilityTimeout: VISIBILITY,
    });
    this.jobs = new Queue(this, 'Jobs', {
      ...common,
      retentionPeriod: Duration.days(14),
      visibilityTimeout: VISIBILITY,
      receiveMessageWaitTime: Duration.seconds(20),
      deadLetterQueue: { queue: this.dead, maxReceiveCount: MAX_RECEIVES },
    });
    this.sender = new User(this, 'Edge');
    const sending = new ManagedPolicy(this, 'Sending', {
      statements: [
        new PolicyStatement({
          actions: ['sqs:SendMessage'],
          resources: [this.jobs.queueArn],
        }),
      ],
    });
    this.sender.addManagedPolicy(sending);
  }
}
