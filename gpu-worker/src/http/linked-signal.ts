/**
 * One signal that aborts with the first of several, for as long as somebody needs it.
 *
 * `AbortSignal.any` has no end: Node keeps such a signal, and all that its listeners hold, for as long as one of its
 * sources may still abort. Of a request with a source that outlives it, that is a leak of the whole request.
 */
export class LinkedSignal implements Disposable {
  readonly #controller = new AbortController();
  readonly #links = new DisposableStack();

  /** @example using linked = new LinkedSignal(deadline.signal, clientGone); await work(linked.signal); */
  constructor(...sources: readonly AbortSignal[]) {
    for (const source of sources) this.#follow(source);
  }

  /** Aborts with the reason of the source that aborts first, until this is disposed. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Lets go of the sources: what they do no longer reaches the signal. */
  [Symbol.dispose](): void {
    this.#links.dispose();
  }

  #follow(source: AbortSignal): void {
    if (this.#controller.signal.aborted) return;
    if (source.aborted) {
      this.#controller.abort(source.reason);
      return;
    }
    const abort = () => this.#controller.abort(source.reason);
    source.addEventListener('abort', abort, { once: true });
    this.#links.defer(() => source.removeEventListener('abort', abort));
  }
}
