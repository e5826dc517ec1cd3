import { createServer } from 'node:http';
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
    ['', {}, 'and set HF_TOKEN to a token of that account'],
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
