/**
 * Reads pickles that hold data and nothing else: numbers, texts, lists, dicts, and the few calls that the caller offers.
 * A pickle is a program. Every global that it names is looked up in a list of what is known to be harmless; none is
 * imported, no code of the file's choice can run.
 */

import { damaged, PickleError, PickleReader } from './pickle-reader.ts';

/** A call that a pickle may make. */
export class PickleCall {
  readonly call: (args: readonly unknown[]) => unknown;

  constructor(call: (args: readonly unknown[]) => unknown) {
    this.call = call;
  }
}

export type PickleOptions = {
  /** What may be named, by its full name: a `PickleCall`, or a constant. */
  globals: ReadonlyMap<string, unknown>;
  /** What a persistent id stands for. */
  persistent: (id: unknown) => unknown;
};

const MARK = Symbol('mark');

/**
 * The value of a pickle. Dicts become maps, lists and tuples arrays; whole numbers beyond 2^53 are bigint.
 * @returns the value, and where the pickle ends in `bytes`
 * @throws PickleCutOff, or PickleError where it is damaged or names what is not known
 * @example unpickle(Buffer.from('80024b2a2e', 'hex'), 0, options) // { value: 42, end: 5 }
 */
export function unpickle(
  bytes: Buffer,
  start: number,
  options: PickleOptions,
): { value: unknown; end: number } {
  return new Unpickler(bytes, start, options).run();
}

class Unpickler {
  readonly #reader: PickleReader;
  readonly #options: PickleOptions;
  readonly #stack: unknown[] = [];
  readonly #memo = new Map<number, unknown>();
  /** Entries of lists that calls have read. A list may be named again in two bytes: honest files give each to one call. */
  #entriesRead = 0;
  readonly #maxEntriesRead: number;

  constructor(bytes: Buffer, start: number, options: PickleOptions) {
    this.#reader = new PickleReader(bytes, start);
    this.#options = options;
    this.#maxEntriesRead = bytes.length;
  }

  run(): { value: unknown; end: number } {
    for (;;) {
      const code = this.#reader.uint(1);
      if (code === 0x2e) {
        const value = this.#pop();
        if (this.#stack.length > 0) throw damaged('it ends in the middle of a value');
        return { value, end: this.#reader.position };
      }
      this.#step(code);
    }
  }

  #step(code: number): void {
    switch (code) {
      case 0x80: // PROTO
        this.#expectProtocol(this.#reader.uint(1));
        break;
      case 0x95: // FRAME: the bytes are here already
        this.#reader.take(8);
        break;
      case 0x4e: // NONE
        this.#push(null);
        break;
      case 0x88: // NEWTRUE
        this.#push(true);
        break;
      case 0x89: // NEWFALSE
        this.#push(false);
        break;
      case 0x4b: // BININT1
        this.#push(this.#reader.uint(1));
        break;
      case 0x4d: // BININT2
        this.#push(this.#reader.uint(2));
        break;
      case 0x4a: // BININT
        this.#push(this.#reader.take(4).readInt32LE());
        break;
      case 0x8a: // LONG1
        this.#push(this.#reader.long(this.#reader.uint(1)));
        break;
      case 0x8b: // LONG4
        this.#push(this.#reader.long(this.#reader.uint(4)));
        break;
      case 0x47: // BINFLOAT
        this.#push(this.#reader.take(8).readDoubleBE());
        break;
      case 0x58: // BINUNICODE
        this.#push(this.#reader.text(this.#reader.uint(4)));
        break;
      case 0x8c: // SHORT_BINUNICODE
        this.#push(this.#reader.text(this.#reader.uint(1)));
        break;
      case 0x54: // BINSTRING, of Python 2
        this.#push(this.#reader.text(this.#reader.uint(4)));
        break;
      case 0x55: // SHORT_BINSTRING
        this.#push(this.#reader.text(this.#reader.uint(1)));
        break;
      case 0x28: // MARK
        this.#stack.push(MARK);
        break;
      case 0x30: // POP
        if (this.#stack.pop() === undefined) throw damaged('it takes from nothing');
        break;
      case 0x5d: // EMPTY_LIST
      case 0x29: // EMPTY_TUPLE
        this.#push([]);
        break;
      case 0x74: // TUPLE
        this.#push(this.#popToMark());
        break;
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        this.#push(this.#popSome(code - 0x84));
        break;
      case 0x7d: // EMPTY_DICT
        this.#push(new Map());
        break;
      case 0x61: // APPEND
        this.#append([this.#pop()]);
        break;
      case 0x65: // APPENDS
        this.#append(this.#popToMark());
        break;
      case 0x73: // SETITEM
        this.#set(this.#popSome(2));
        break;
      case 0x75: // SETITEMS
        this.#set(this.#popToMark());
        break;
      case 0x71: // BINPUT
        this.#memo.set(this.#reader.uint(1), this.#top());
        break;
      case 0x72: // LONG_BINPUT
        this.#memo.set(this.#reader.uint(4), this.#top());
        break;
      case 0x94: // MEMOIZE
        this.#memo.set(this.#memo.size, this.#top());
        break;
      case 0x68: // BINGET
        this.#push(this.#remembered(this.#reader.uint(1)));
        break;
      case 0x6a: // LONG_BINGET
        this.#push(this.#remembered(this.#reader.uint(4)));
        break;
      case 0x63: // GLOBAL
        this.#push(this.#global(`${this.#reader.line()}.${this.#reader.line()}`));
        break;
      case 0x93: {
        // STACK_GLOBAL
        const [module, name] = this.#popSome(2);
        this.#push(this.#global(`${module}.${name}`));
        break;
      }
      case 0x52: // REDUCE
        this.#call();
        break;
      case 0x62: // BUILD
        this.#build();
        break;
      case 0x51: // BINPERSID
        this.#push(this.#options.persistent(this.#pop()));
        break;
      default:
        throw damaged(`it has the instruction 0x${code.toString(16)}, which no weights need`);
    }
  }

  #push(value: unknown): void {
    this.#stack.push(value);
  }

  #pop(): unknown {
    const value = this.#top();
    this.#stack.pop();
    return value;
  }

  #top(): unknown {
    const value = this.#stack.at(-1);
    if (value === undefined || value === MARK) throw damaged('it takes from nothing');
    return value;
  }

  #popSome(count: number): unknown[] {
    return Array.from({ length: count }, () => this.#pop()).reverse();
  }

  #popToMark(): unknown[] {
    const start = this.#stack.lastIndexOf(MARK);
    if (start < 0) throw damaged('it takes from nothing');
    return this.#stack.splice(start).slice(1);
  }

  #append(values: readonly unknown[]): void {
    const list = this.#top();
    if (!Array.isArray(list)) throw damaged('it appends to what is no list');
    for (const value of values) list.push(value);
  }

  #set(pairs: readonly unknown[]): void {
    const dict = this.#top();
    if (!(dict instanceof Map) || pairs.length % 2 !== 0) throw damaged('it fills what is no dict');
    for (let i = 0; i < pairs.length; i += 2) dict.set(pairs[i], pairs[i + 1]);
  }

  #remembered(index: number): unknown {
    const value = this.#memo.get(index);
    if (value === undefined) throw damaged(`it recalls value ${index}, which it has not stored`);
    return value;
  }

  #global(name: string): unknown {
    const value = this.#options.globals.get(name);
    if (value !== undefined) return value;
    const shown = name.length > 100 ? `${name.slice(0, 99)}…` : name;
    throw new PickleError(
      `it asks for ${JSON.stringify(shown)}. Only tensors, dicts, lists, numbers and texts are read: no code of a file is run. If you trust it, load it in Python and torch.save its state_dict() alone`,
    );
  }

  #call(): void {
    const [callable, args] = this.#popSome(2);
    if (!(callable instanceof PickleCall) || !Array.isArray(args)) {
      throw damaged('it calls what is no function');
    }
    for (const arg of args) if (Array.isArray(arg)) this.#entriesRead += arg.length;
    if (this.#entriesRead > this.#maxEntriesRead) {
      throw damaged('its calls read more entries of lists than it has bytes');
    }
    this.#push(callable.call(args));
  }

  /** Attributes of a dict, `_metadata` of a state dict's among them, say nothing of its values. */
  #build(): void {
    const [value] = this.#popSome(2);
    if (!(value instanceof Map)) throw damaged('it sets attributes of what is no dict');
    this.#push(value);
  }

  #expectProtocol(protocol: number): void {
    if (protocol > 5) throw damaged(`it is of protocol ${protocol}`);
  }
}
