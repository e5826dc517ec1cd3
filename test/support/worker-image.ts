/** The container image of the GPU worker for processors: built by buildah, and run as a container of few rights is. */
import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, chown, copyFile, cp, mkdir, realpath, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { ROOT } from '../../tools/prepare-edge.ts';

const run = promisify(execFile);

const UNSHARED = ['unshare', '--mount', '--propagation', 'private'];
const END_WITH_PARENT = join(ROOT, 'tools/end-with-parent.sh');

/** Images are built and mounted as root, where that may mount. */
export const canRunImages =
  process.getuid?.() === 0 &&
  spawnSync('buildah', ['--version']).status === 0 &&
  spawnSync('sh', ['-c', `${UNSHARED.join(' ')} mount --bind /tmp /tmp`]).status === 0;
if (!canRunImages)
  console.warn('Not root, or no buildah (apt-get install buildah): the image is not tested.');

/** The user by number of the images. */
export const USER = 10001;

/** Of glibc, beside what programs here load: native packages load it. */
const GLIBC = ['librt.so.1', 'libresolv.so.2', 'libutil.so.1'];
/** What the commands of the Dockerfile run, and npm. */
const PROGRAMS = ['sh', 'env', 'rm', 'mkdir', 'chown'];

type ImageConfig = { Env: string[]; Cmd: string[]; User: string; WorkingDir: string };

export class WorkerImage {
  readonly config: ImageConfig;
  readonly #folder: string;
  /** What the image holds, unpacked: its root file system. */
  readonly #root: string;

  private constructor(folder: string, root: string, config: ImageConfig) {
    this.#folder = folder;
    this.#root = root;
    this.config = config;
  }

  /**
   * Builds `infra/images/Dockerfile.cpu`. Its base, which would be pulled from a registry, is made of this machine's own
   * files: Node, npm, a shell, and the libraries that they load.
   * @param folder for images, containers, and what the worker writes
   */
  static async build(folder: string): Promise<WorkerImage> {
    await makeBase(join(folder, 'base'));
    const buildah = async (...args: string[]) => {
      const store = ['--root', join(folder, 'store'), '--runroot', join(folder, 'run')];
      const options = {
        cwd: ROOT,
        maxBuffer: 2 ** 26,
        env: { ...process.env, BUILDAH_LAYERS: 'false' },
      };
      const { stdout } = await run(
        'buildah',
        [...store, '--storage-driver', 'vfs', ...args],
        options,
      );
      return stdout.trim();
    };
    const isolation = ['--isolation', 'chroot', '--network', 'host', '--format', 'docker'];
    const base = join(folder, 'base');
    await buildah('bud', ...isolation, '--quiet', '--tag', 'machine', base);
    const file = join(ROOT, 'infra/images/Dockerfile.cpu');
    const from = ['--pull-never', '--build-arg', 'BASE=localhost/machine'];
    const ignore = ['--ignorefile', `${file}.dockerignore`, '--file', file];
    await buildah(
      'bud',
      ...isolation,
      ...npmOfThisMachine(),
      ...from,
      ...ignore,
      '--quiet',
      '--tag',
      'worker',
      ROOT,
    );
    const root = await buildah('mount', await buildah('from', '--pull-never', 'localhost/worker'));
    const { OCIv1 } = JSON.parse(await buildah('inspect', '--type', 'image', 'localhost/worker'));
    return new WorkerImage(folder, root, OCIv1.config);
  }

  /**
   * Starts a command as `docker run --read-only --tmpfs /tmp --volume …:/bundles --cap-drop all --security-opt no-new-privileges
   * --network host` would: the image's own, unless another is named.
   */
  async start(env: Record<string, string>, command = this.config.Cmd): Promise<ChildProcess> {
    const bundles = join(this.#folder, 'bundles');
    await mkdir(bundles, { recursive: true });
    await chown(bundles, USER, USER);
    const { User, Env, WorkingDir } = this.config;
    const variables = [...Env, ...Object.entries(env).map(([name, value]) => `${name}=${value}`)];
    // Mounts end with the process, whose namespace they are in; signals reach it, as every step replaces the one before.
    const script = `set -e
      mount --bind "$ROOT" "$ROOT" && mount -o remount,bind,ro "$ROOT"
      mount -t proc proc "$ROOT/proc" && mount --rbind /dev "$ROOT/dev"
      mount -t tmpfs -o mode=1777 tmpfs "$ROOT/tmp" && mount --bind "$BUNDLES" "$ROOT/bundles"
      exec setpriv --no-new-privs --bounding-set=-all,+setuid,+setgid,+sys_chroot \\
        chroot --userspec="$OWNER" --groups= "$ROOT" /usr/bin/env -i -C "$FOLDER" "$@"`;
    const container = [...UNSHARED, 'sh', '-c', script, 'sh', ...variables, ...command];
    const paths = { ROOT: this.#root, BUNDLES: bundles, OWNER: User, FOLDER: WorkingDir };
    return spawn('/bin/sh', [END_WITH_PARENT, ...container], {
      env: { ...process.env, ...paths, END_GRACE_S: '1' },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  }
}

/** Registry, token and cache of npm as mounts, so that no layer has them; and what npm of this machine trusts. */
function npmOfThisMachine(): string[] {
  const mounts = [
    [join(homedir(), '.npmrc'), '/root/.npmrc:ro'],
    [join(homedir(), '.npm'), '/root/.npm'],
  ];
  return mounts.flatMap(([from = '', to]) =>
    existsSync(from) ? ['--volume', `${from}:${to}`] : [],
  );
}

/** A folder with a Dockerfile, and beside it the file system that it makes an image of. */
async function makeBase(folder: string): Promise<void> {
  const root = join(folder, 'root');
  for (const path of [
    'usr/local/bin',
    'usr/bin',
    'etc/ssl/certs',
    'root',
    'tmp',
    'proc',
    'dev',
    'run',
    'sys',
    'var/tmp',
  ]) {
    await mkdir(join(root, path), { recursive: true });
  }
  await chmod(join(root, 'tmp'), 0o1777);
  const programs = await Promise.all(
    PROGRAMS.map(async (name) => [
      name,
      (await run('sh', ['-c', `command -v ${name}`])).stdout.trim(),
    ]),
  );
  const copies = [
    ['usr/local/bin/node', process.execPath],
    ...programs.map(([name, path]) => [`usr/bin/${name}`, path]),
  ] as [string, string][];
  for (const [to, from] of copies) {
    await copyFile(from, join(root, to));
    const libraries = await librariesOf(from);
    const libc = dirname(
      libraries.find((path) => basename(path) === 'libc.so.6') ?? '/lib/libc.so.6',
    );
    const others = GLIBC.map((name) => join(libc, name)).filter((path) => existsSync(path));
    for (const library of [...libraries, ...others]) await copyInto(root, library);
  }
  await cp(join(root, 'usr/bin'), join(root, 'bin'), { recursive: true });
  const npm = dirname(
    dirname(await realpath((await run('sh', ['-c', 'command -v npm'])).stdout.trim())),
  );
  await cp(npm, join(root, 'usr/local/lib/node_modules/npm'), { recursive: true });
  const start =
    '#!/bin/sh\nexec /usr/local/bin/node /usr/local/lib/node_modules/npm/bin/npm-cli.js "$@"\n';
  await writeFile(join(root, 'usr/local/bin/npm'), start, { mode: 0o755 });
  await writeFile(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\n');
  await writeFile(join(root, 'etc/group'), 'root:x:0:\n');
  const certificates = process.env.NODE_EXTRA_CA_CERTS ?? '/etc/ssl/certs/ca-certificates.crt';
  const trusted = existsSync(certificates);
  if (trusted) await copyFile(certificates, join(root, 'etc/ssl/certs/ca-certificates.crt'));
  const lines = [
    'FROM scratch',
    'COPY root /',
    'ENV PATH=/usr/local/bin:/usr/bin:/bin',
    ...(trusted ? ['ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt'] : []),
  ];
  await writeFile(join(folder, 'Dockerfile'), `${lines.join('\n')}\n`);
}

/** Paths of the shared libraries that a program loads, its loader among them. */
async function librariesOf(program: string): Promise<string[]> {
  const { stdout } = await run('ldd', [program]);
  return stdout.match(/\/\S+(?= \(0x)/g) ?? [];
}

async function copyInto(root: string, path: string): Promise<void> {
  await mkdir(dirname(join(root, path)), { recursive: true });
  await copyFile(path, join(root, path));
}
