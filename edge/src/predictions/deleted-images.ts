/** Whether an image was deleted after it was sent, by whoever may do so in its namespace: what is about it is not shown then. */
import type { Dependencies } from '../dependencies.ts';
import type { StoredPrediction } from './contract.ts';
import { lookUpContext } from './look-up-context.ts';

/** What something is about; null and undefined are about nothing that is known. */
type Image = StoredPrediction['image'] | undefined;

export class DeletedImages {
  readonly #deps: () => Pick<Dependencies, 'config' | 'deletions' | 'now'>;
  readonly #object: Pick<DurableObjectState, 'id' | 'waitUntil'>;

  /** @param deps called when there is an image to look up */
  constructor(
    deps: () => Pick<Dependencies, 'config' | 'deletions' | 'now'>,
    object: Pick<DurableObjectState, 'id' | 'waitUntil'>,
  ) {
    this.#deps = deps;
    this.#object = object;
  }

  async isGone(image: Image): Promise<boolean> {
    if (!image) return false;
    const deps = this.#deps();
    const context = lookUpContext(deps, this.#object);
    return await deps.deletions.hasDeleted(image.path, image.sentAt, context);
  }

  /** Those whose image is still there. */
  async withoutGone<Entry>(
    entries: readonly Entry[],
    imageOf: (entry: Entry) => Image,
  ): Promise<Entry[]> {
    const gone = await Promise.all(entries.map((entry) => this.isGone(imageOf(entry))));
    return entries.filter((_, index) => !gone[index]);
  }
}
