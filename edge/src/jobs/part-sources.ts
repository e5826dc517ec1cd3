/** Where a GPU worker finds what an item of a part is about, and how often that could not be had. */
import { imageKey, type SourceOfItem } from './contract.ts';
import type { PartTable } from './part-table.ts';

/** How often an image that cannot be had is asked for. */
const MAX_TRIES = 4;

export class PartSources {
  readonly #table: PartTable;
  /** How often the source of an item could not be had: a host may be back soon. */
  readonly #failures = new Map<number, number>();
  /** How often the edge had no time or memory for it: that says nothing of the source. */
  readonly #refusals = new Map<number, number>();

  constructor(table: PartTable) {
    this.#table = table;
  }

  of(item: number): SourceOfItem {
    const { state } = this.#table;
    const open = this.#table.openItem(item);
    if (state === null || open === null || state.ending !== null) return { kind: 'ended' };
    const { namespace, owner, job, client } = state.order;
    const { task, source } = open.work;
    switch (source.kind) {
      case 'none':
        return { kind: 'ended' };
      case 'url':
        return { kind: 'url', url: source.url, client };
      case 'object':
        return { kind: 'object', key: source.key };
      case 'stored':
        return { kind: 'stored', key: imageKey(owner, job, source.sha256) };
      case 'embeddings': {
        const ids =
          task.kind === 'generate' || task.kind === 'embed' ? task.instruction_ids : undefined;
        const { sha256, isStored } = source;
        return {
          ...{ kind: 'embeddings', namespace, sha256, ...(ids && { instructionIds: ids }) },
          ...(isStored && { key: imageKey(owner, job, sha256) }),
        };
      }
    }
  }

  /** How often it could not be had, whoever was to blame. */
  failures(item: number): number {
    return (this.#failures.get(item) ?? 0) + (this.#refusals.get(item) ?? 0);
  }

  /** The edge had no time or memory for it: it is asked for again, however often that is. */
  refused(item: number): void {
    this.#refusals.set(item, (this.#refusals.get(item) ?? 0) + 1);
  }

  /**
   * It could not be had.
   * @param mayPass whether another try may have it
   * @returns whether that was the last try
   */
  failed(item: number, mayPass: boolean): boolean {
    const tries = (this.#failures.get(item) ?? 0) + 1;
    if (mayPass && tries < MAX_TRIES) {
      this.#failures.set(item, tries);
      return false;
    }
    this.#failures.delete(item);
    this.#refusals.delete(item);
    return true;
  }
}
