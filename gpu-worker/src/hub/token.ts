/** The token that a hub is sent: that of the configuration, else the one that `hf auth login` has left on this machine. */
import { readFile } from 'node:fs/promises';
import { HubError } from './errors.ts';
import type { HubOptions } from './options.ts';

/** `source` says where it is from, for messages. */
export type Token = { text: string; source: string };

/** @throws HubError naming the file where it holds something else, or cannot be read */
export async function tokenOf({
  token,
  tokenFile,
}: Pick<HubOptions, 'token' | 'tokenFile'>): Promise<Token | undefined> {
  if (token !== undefined) return { text: token, source: 'HF_TOKEN' };
  if (tokenFile === undefined) return undefined;
  const content = await readFile(tokenFile, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT' || cause.code === 'ENOTDIR') return '';
    throw new HubError(`${tokenFile}, the file of HF_TOKEN_PATH, cannot be read: ${cause.code}.`, {
      cause,
    });
  });
  const text = content.trim();
  if (text === '') return undefined;
  if (/^[\x21-\x7e]+$/.test(text)) return { text, source: `the token in ${tokenFile}` };
  throw new HubError(
    `${tokenFile}, the file of HF_TOKEN_PATH, holds no token: log in again (hf auth login), or remove it.`,
  );
}
