import { writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { CHECKPOINT, HubFixture } from './testing/hub-fixture.ts';
import { COMMIT, HubServer, MODEL } from './testing/hub-server.ts';

const TOKEN = 'hf_secret';

describe('the token', () => {
  it('goes to the hub and to no storage that it redirects to', async () => {
    await using fixture = await HubFixture.open({ token: TOKEN });
    fixture.hub.token = TOKEN;
    await fixture.pull();
    await fixture.expectWhole();
    const at = (server: string) => fixture.hub.requests.filter((seen) => seen.server === server);
    expect(new Set(at('hub').map((seen) => seen.authorization))).toEqual(
      new Set([`Bearer ${TOKEN}`]),
    );
    expect(at('storage')).toHaveLength(5);
    expect(at('storage').every(({ authorization }) => authorization === undefined)).toBe(true);
  });

  it('follows a redirect within the hub, as that of a model which has a new name', async () => {
    await using fixture = await HubFixture.open({ token: TOKEN });
    fixture.hub.token = TOKEN;
    fixture.hub.intercept = ({ path }, response) => {
      if (!path.includes('/old/')) return false;
      response.writeHead(307, { location: path.replace('/old/name', `/${MODEL}`) }).end();
      return true;
    };
    await fixture.pull({}, 'old/name');
    await fixture.expectWhole(fixture.folder.replace('tests--tiny-blip2', 'old--name'));
  });

  it('is not sent again after a redirect to another host', async () => {
    await using fixture = await HubFixture.open({ token: TOKEN });
    fixture.hub.intercept = ({ server, path }, response) => {
      if (server !== 'storage') return false;
      const name = path.split('/').at(-1);
      response.writeHead(302, { location: `${fixture.hub.endpoint}/back/${name}` }).end();
      return true;
    };
    await expect(fixture.pull()).rejects.toThrow(/There is no model/);
    const back = fixture.hub.requests.filter(({ path }) => path.startsWith('/back/'));
    expect(back.length).toBeGreaterThan(0);
    expect(back.every(({ authorization }) => authorization === undefined)).toBe(true);
  });

  it('is not sent to another hub than its own, whose models have folders of their own', async () => {
    await using fixture = await HubFixture.open({ token: TOKEN });
    await using other = await HubServer.start(CHECKPOINT);
    const folder = await fixture.pull({}, `${other.endpoint}/${MODEL}`);
    expect(folder).toMatch(/models--127\.0\.0\.1_\d+--tests--tiny-blip2/);
    await fixture.expectWhole(folder);
    expect(other.requests.every(({ authorization }) => authorization === undefined)).toBe(true);
  });
});

describe('a token that hf auth login has left', () => {
  it.each([
    ['is sent', `${TOKEN}\n`, `Bearer ${TOKEN}`],
    ['is none where the file is empty', ' \n', undefined],
  ])('%s', async (_what, content, sent) => {
    await using fixture = await HubFixture.open();
    fixture.options.tokenFile = join(fixture.cache, 'token');
    await writeFile(fixture.options.tokenFile, content);
    await fixture.pull();
    expect(fixture.hub.requests[0]?.authorization).toBe(sent);
  });

  it('stands behind HF_TOKEN, and may be missing', async () => {
    await using fixture = await HubFixture.open({ token: TOKEN });
    fixture.options.tokenFile = join(fixture.cache, 'token');
    await writeFile(fixture.options.tokenFile, 'hf_other');
    await fixture.pull();
    expect(fixture.hub.requests[0]?.authorization).toBe(`Bearer ${TOKEN}`);
    Object.assign(fixture.options, { token: undefined, tokenFile: join(fixture.cache, 'nothing') });
    await fixture.pull();
    expect(fixture.hub.requests.at(-1)?.authorization).toBeUndefined();
  });

  it('and that is not valid is named by its file', async () => {
    await using fixture = await HubFixture.open();
    fixture.hub.token = TOKEN;
    fixture.options.tokenFile = join(fixture.cache, 'token');
    await writeFile(fixture.options.tokenFile, 'hf_old');
    await expect(fixture.pull()).rejects.toThrow(
      `The token in ${fixture.options.tokenFile} is not valid, or may not read it`,
    );
    await writeFile(fixture.options.tokenFile, 'two words');
    await expect(fixture.pull()).rejects.toThrow(
      /token, the file of HF_TOKEN_PATH, holds no token/,
    );
  });
});

describe('an error says what to do', () => {
  it.each([
    [
      'without a token',
      {},
      /tiny-blip2 may not be read \(401\).*private or gated, or does not exist. Set HF_TOKEN/,
    ],
    ['with a wrong token', { token: 'hf_wrong' }, /HF_TOKEN is not valid, or may not read it/],
  ])('%s', async (_name, env, message) => {
    await using fixture = await HubFixture.open(env);
    fixture.hub.token = TOKEN;
    await expect(fixture.pull()).rejects.toThrow(message);
    expect(fixture.hub.requests).toHaveLength(1);
  });

  it.each([
    ['', {}, 'and set HF_TOKEN to a token of that account, or log in with hf auth login'],
    ['to this token', { token: TOKEN }, 'with the account of HF_TOKEN'],
  ])('for a model that is gated %s', async (_name, env, message) => {
    await using fixture = await HubFixture.open(env);
    fixture.hub.intercept = ({ path }, response) => {
      if (!path.includes('/resolve/')) return false;
      response.writeHead(403, { 'x-error-code': 'GatedRepo' }).end();
      return true;
    };
    const page = `${fixture.hub.endpoint}/${MODEL}`;
    await expect(fixture.pull()).rejects.toThrow(
      `${MODEL} is gated: accept its license at ${page} ${message}.`,
    );
  });

  it.each([
    ['a model', 'tests/nothing', 'There is no model tests/nothing at http'],
    ['a revision', `${MODEL}@v9`, `${MODEL} has no revision "v9"`],
  ])('for %s that is not there', async (_name, model, message) => {
    await using fixture = await HubFixture.open();
    await expect(fixture.pull({}, model)).rejects.toThrow(message);
  });

  it('for a file that is not there', async () => {
    await using fixture = await HubFixture.open();
    fixture.hub.intercept = ({ path }, response) => {
      if (!path.includes('/resolve/')) return false;
      response.writeHead(404, { 'x-error-code': 'EntryNotFound' }).end();
      return true;
    };
    await expect(fixture.pull()).rejects.toThrow(
      `${MODEL} has no file model.safetensors.index.json at main.`,
    );
  });

  it('for a mirror that does not say what is missing', async () => {
    await using fixture = await HubFixture.open();
    fixture.hub.intercept = (_request, response) => {
      response.writeHead(404).end();
      return true;
    };
    await expect(fixture.pull({}, `${MODEL}@v9`)).rejects.toThrow(
      /no model.*or it has no revision "v9"/,
    );
  });

  it('for a host where nobody listens, at once', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((done) => server.once('listening', done));
    const { port } = server.address() as { port: number };
    await new Promise((done) => server.close(done));
    await using fixture = await HubFixture.open({ endpoint: `http://127.0.0.1:${port}` });
    await expect(fixture.pull()).rejects.toThrow(
      `127.0.0.1:${port} cannot be reached (connect ECONNREFUSED 127.0.0.1:${port}). Is this machine online?`,
    );
    expect(fixture.waits).toEqual([]);
  });

  it('for a port that no client asks, at once', async () => {
    await using fixture = await HubFixture.open({ endpoint: 'http://127.0.0.1:1' });
    await expect(fixture.pull()).rejects.toThrow(
      'http://127.0.0.1:1 cannot be asked: bad port. Is HF_ENDPOINT right?',
    );
    expect(fixture.waits).toEqual([]);
  });

  it('for what speaks another protocol, at once', async () => {
    const server = createTcpServer((socket) => socket.end('SSH-2.0-OpenSSH_9.6\r\n'));
    server.listen(0, '127.0.0.1');
    await new Promise((done) => server.once('listening', done));
    const { port } = server.address() as { port: number };
    await using fixture = await HubFixture.open({ endpoint: `http://127.0.0.1:${port}` });
    await expect(fixture.pull()).rejects.toThrow(/cannot be asked: .*HTTP.* Is HF_ENDPOINT right/);
    expect(fixture.waits).toEqual([]);
    server.close();
  });

  it('for an address that is no hub', async () => {
    await using fixture = await HubFixture.open();
    fixture.hub.intercept = (_request, response) => {
      response.end('<html>');
      return true;
    };
    await expect(fixture.pull()).rejects.toThrow(/no JSON. Is HF_ENDPOINT the address of a hub/);
  });

  it('for an address that redirects for ever', async () => {
    await using fixture = await HubFixture.open();
    fixture.hub.intercept = ({ path }, response) => {
      response.writeHead(302, { location: path }).end();
      return true;
    };
    await expect(fixture.pull()).rejects.toThrow(/redirects more than 10 times/);
  });
});

describe('a repository', () => {
  it.each([
    [
      'a variant',
      ['model.fp16.safetensors'],
      /only model\.fp16\.safetensors\. That is a variant: .*rename/,
    ],
    [
      'shards without their index',
      ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'],
      /The index of the shards, model\.safetensors\.index\.json, is missing/,
    ],
    [
      'an adapter that no config describes',
      ['model.safetensors', 'adapter_model.safetensors'],
      /adapter_model\.safetensors beside its weights and no adapter_config\.json/,
    ],
  ])('with %s is refused by what it is', async (_what, weights, message) => {
    await using fixture = await HubFixture.open();
    for (const name of fixture.hub.files.keys()) {
      if (name.includes('safetensors')) fixture.hub.files.delete(name);
    }
    for (const name of weights) fixture.hub.files.set(name, Buffer.from('weights'));
    await expect(fixture.pull()).rejects.toThrow(message);
    expect(fixture.hub.downloads).toEqual([]);
  });

  it('with shards of PyTorch and no index of them is refused before anything is fetched', async () => {
    await using fixture = await HubFixture.open();
    for (const name of fixture.hub.files.keys()) {
      if (name.includes('safetensors')) fixture.hub.files.delete(name);
    }
    fixture.hub.files.set('pytorch_model-00001-of-00002.bin', Buffer.from('pickle'));
    fixture.hub.files.set('pytorch_model-00002-of-00002.bin', Buffer.from('pickle'));
    await expect(fixture.pull()).rejects.toThrow(
      /neither model.safetensors nor pytorch_model.bin, only pytorch_model-00001-of-00002.bin and 1 more.*--revision refs\/pr\/N.*safe_serialization/,
    );
    expect(fixture.hub.downloads).toEqual([]);
  });

  it('with one file of weights gives that, not the shards beside it', async () => {
    await using fixture = await HubFixture.open();
    fixture.hub.files.set('model.safetensors', Buffer.from('weights'));
    await fixture.pull();
    expect(fixture.hub.downloads.filter((name) => name.includes('safetensors'))).toEqual([
      'model.safetensors',
    ]);
  });

  it.each([
    ['that is missing', 'model-9.safetensors', []],
    ['outside of its folder', '../../escaped.safetensors', ['../../escaped.safetensors']],
  ])('with an index that names a shard %s is refused', async (_name, shard, listed) => {
    await using fixture = await HubFixture.open();
    const index = { weight_map: { query_tokens: shard } };
    fixture.hub.files.set('model.safetensors.index.json', Buffer.from(JSON.stringify(index)));
    for (const name of listed) fixture.hub.files.set(name, Buffer.from('weights'));
    await expect(fixture.pull()).rejects.toThrow(`names ${shard}, which is not there`);
  });

  it('with an index that is damaged is refused', async () => {
    await using fixture = await HubFixture.open();
    fixture.hub.files.set('model.safetensors.index.json', Buffer.from('{'));
    await expect(fixture.pull()).rejects.toThrow(
      'model.safetensors.index.json is not a JSON index of shards',
    );
  });

  it('without a config is refused', async () => {
    await using fixture = await HubFixture.open();
    fixture.hub.files.delete('config.json');
    await expect(fixture.pull({}, `${MODEL}@${COMMIT}`)).rejects.toThrow(/has no config.json/);
  });
});
