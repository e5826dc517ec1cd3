/** Ends a server once its last reply has been sent: a connection on which nobody waits for one is closed at once. */
import { once } from 'node:events';
import type { Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export class Drain {
  readonly #server: Server;
  /** Replies under way, by the connection that they go to. */
  readonly #replies = new Map<Socket, number>();
  #isDraining = false;

  /** To be made before the server listens. */
  constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket: Socket) => {
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
    if (replies !== undefined) this.#replies.set(socket, replies + change);
  }

  #closeIdle(): void {
    for (const [socket, replies] of this.#replies) if (replies === 0) socket.destroySoon();
  }
}
