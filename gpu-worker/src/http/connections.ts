/**
 * The connections of a server, and on which of them replies are under way: the others give way where there are very many, and
 * end at once when the server drains.
 */
import { once } from 'node:events';
import type { Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Beyond so many, each new one ends the one that has been without a reply for longest. */
const MANY = 1024;

export class Connections {
  readonly #server: Server;
  /** Replies under way, by the connection that they go to; who has been without one for longest stands first among those. */
  readonly #replies = new Map<Socket, number>();
  #isDraining = false;

  /** To be made before the server listens. */
  constructor(server: Server, many = MANY) {
    this.#server = server;
    server.on('connection', (socket: Socket) => {
      // Idle, or with a request that comes slowly: whoever opens many and sends half of it shuts nobody out.
      if (this.#replies.size >= many) this.#idle().next().value?.destroy();
      this.#replies.set(socket, 0);
      socket.once('close', () => this.#replies.delete(socket));
    });
    server.on('request', ({ socket }, response: ServerResponse) => {
      this.#count(socket, 1);
      response.once('close', () => {
        this.#count(socket, -1);
        // The bytes of the reply come first.
        if (this.#isDraining) setImmediate(() => this.#closeIdle());
      });
    });
  }

  /**
   * Takes no more connections, and resolves when all have ended. Node's own `closeIdleConnections` leaves those open that
   * were made and never used, as clients do ahead of their next request, and a closing server no longer times them out.
   */
  async drain(): Promise<void> {
    this.#isDraining = true;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#closeIdle();
    await closed;
  }

  #count(socket: Socket, change: number): void {
    const replies = this.#replies.get(socket);
    if (replies === undefined) return;
    this.#replies.delete(socket);
    this.#replies.set(socket, replies + change);
  }

  #closeIdle(): void {
    for (const socket of this.#idle()) socket.destroySoon();
  }

  *#idle(): Generator<Socket, void> {
    for (const [socket, replies] of this.#replies) {
      if (replies === 0 && !socket.destroyed) yield socket;
    }
  }
}
